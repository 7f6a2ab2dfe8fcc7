// Sessions: which updates of which client session have been done, so that a resend is answered and
// never executed twice (store.md rule 13). The newest part is in memory, the log records repeat it,
// and each checkpoint writes it to the tree. Home: the shard's reactor. Plain calls.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>

#include "base/flat_map.h"
#include "index/batch.h"
#include "model/ids.h"

namespace cairn::vos {

/// Sessions known at a time, however little memory there is; the one that was silent longest is
/// forgotten first, and the updates of a client that still lives end as "unknown" from then on.
inline constexpr size_t kSessionsMax = 4096;
/// Updates of one session whose answers were not acknowledged; a client keeps far fewer under way.
inline constexpr size_t kSessionWindowMax = 65'536;
/// Memory of one of these, in a node of a std::map.
inline constexpr size_t kSessionEntryBytes = 64;

class Sessions {
 public:
  enum class Verdict : uint8_t {
    fresh,    // execute it; begin() has noted it
    running,  // the first copy is under way: wait, then ask again
    done,     // answered before: `epoch`
    unknown,  // too old, or an unknown session: never execute
    full,     // the session has too many that it did not acknowledge; not executed, not noted
  };
  struct Answer {
    Verdict verdict = Verdict::fresh;
    model::Epoch epoch = 0;
  };

  /// How many updates all windows together may hold; beyond it the session that was silent longest
  /// is forgotten, or a session that has more than its share is told to acknowledge first.
  void limit_entries(size_t entries) { entries_max_ = entries; }
  /// What the table of sessions may take of memory; kSessionsMax of them are known in any case.
  void limit_bytes(uint64_t bytes);
  size_t sessions_max() const { return sessions_max_; }
  void open(uint64_t session);
  /// Looks the update up and, if it is fresh, notes that it runs. Drops what `acknowledged_below`
  /// covers.
  Answer begin(uint64_t session, uint64_t sequence, uint64_t acknowledged_below);
  /// It was committed at `epoch`.
  void committed(uint64_t session, uint64_t sequence, model::Epoch epoch);
  /// It failed and changed nothing: a resend may run.
  void failed(uint64_t session, uint64_t sequence);

  /// Replay: the log holds this update. As load(), it forgets nobody: a session that comes back
  /// with a part of what it knew would take what it has done for new. Until trim(), memory is
  /// bounded by what the log and the saved table hold.
  void replayed(uint64_t session, uint64_t sequence, model::Epoch epoch);
  /// Is that update noted as running?
  bool runs(uint64_t session, uint64_t sequence) const;

  /// What one save() put into its batch.
  struct Saving {
    size_t forgotten = 0;
    std::vector<std::pair<uint64_t, uint64_t>> chunks;  // of each session
  };
  /// Puts the records of sessions that changed since they were saved, at most `count` of them; none
  /// left: the batch stays empty. Changes nothing: saved() follows in the step that commits.
  Saving save(index::Batch& batch, model::Epoch stamp, size_t count) const;
  void saved(const Saving& saving);
  /// Takes one saved record, after replay. @error checksum
  Result<void> load(ByteView key, ByteView value);
  /// Everything was replayed and loaded: forgets sessions until the limits hold, those first that
  /// the log does not know.
  void trim();
  size_t count() const { return sessions_.size(); }
  size_t entry_count() const { return entries_; }

 private:
  using Window = std::map<uint64_t, model::Epoch>;
  struct Session {
    uint64_t floor = 1;                       // sequences below it are forgotten
    Window window;                            // epoch 0: running
    uint64_t used = 0;                        // for forgetting; 0: not since the last checkpoint
    uint64_t saved_chunks = 0;
    bool changed = true;
  };
  Session& touch(uint64_t session);
  /// Forgets what is below its floor.
  void drop_acknowledged(Session& s);
  /// Notes that it runs, or finds it.
  std::pair<Window::iterator, bool> note(Window& window, uint64_t sequence);
  /// Forgets sessions until the windows fit; the one that was used last stays.
  void make_room();
  void forget_oldest();
  /// Those to be forgotten next.
  void find_oldest();

  FlatMap<uint64_t, Session> sessions_;
  std::vector<std::pair<uint64_t, uint64_t>> forgotten_;  // session, saved chunks: records to erase
  // Nodes of entries that went: an update takes one and gives one back, and the next one may be
  // another thread's turn, whose heap would not have it.
  std::vector<Window::node_type> spare_;
  uint64_t uses_ = 0;
  // When and which, the oldest one last: of those that were used since, the newer time counts.
  std::vector<std::pair<uint64_t, uint64_t>> oldest_;
  size_t entries_ = 0;  // in all windows
  size_t entries_max_ = 16 * kSessionWindowMax;
  size_t sessions_max_ = kSessionsMax;
};

}  // namespace cairn::vos
