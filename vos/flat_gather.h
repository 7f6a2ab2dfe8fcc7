// An object on its way into a buffer: what it holds is gathered, and later, if it still is what it
// was, its records are exchanged for the buffer's. Internal to vos/. Home: the shard's reactor.
// Plain calls.
#pragma once

#include <optional>
#include <vector>

#include "vos/flat_view.h"
#include "vos/overlay.h"
#include "vos/plan.h"

namespace cairn::vos {

class FlatGather {
 public:
  FlatGather(Shard::State& state, const ObjectPath& object, const FlattenOptions& options)
      : state_(state), options_(options), object_(object), path_(object), before_(state.tree()) {}
  FlatGather(const FlatGather&) = delete;
  FlatGather& operator=(const FlatGather&) = delete;

  /// What becomes of it; `flattened`: it goes on.
  Flattened result;
  /// Memory or blocks were short while it was looked at.
  bool was_short = false;
  /// Memory that it takes until it is written.
  uint64_t fresh_bytes() const {
    uint64_t bytes = 0;
    for (const Fresh& fresh : fresh_) bytes += fresh.bytes.size();
    return bytes;
  }
  /// What has to be read before encode().
  std::vector<DataRead> reads;
  /// What the extent gets, once encoded: the buffer, or its compressed form.
  Bytes buffer;
  uint32_t checksum = 0;

  const ObjectPath& object() const { return object_; }
  const KeyPath& path() const { return path_; }
  /// Looks at the object and decides. @error page_absent: again, from the start   @error checksum
  Result<void> look();
  void encode();
  /// The extent gets its compressed form.
  void compressed_to(Bytes stored);
  /// Before the commit: reserves blocks for what stays outside and has none, in small pieces of the
  /// tree until now. @error no_space  nothing is reserved
  Result<void> stage_outside();
  /// Of what was staged.
  void add_writes(std::vector<index::Store::DataWrite>& writes) const;
  /// Gives it back: nothing published it.
  void cancel_outside();
  /// In the step of the commit: adds the exchange to `batch`, or, where it may concern what other
  /// objects change, to `into`. False: the object is not what it was, as `result` says; nothing was
  /// added. @error page_absent, checksum
  Result<bool> exchange(Overlay& into, index::Batch& batch, const FlatPlace& place);
  /// In the step of the commit, after it: what memory knows of it. @param epoch  of the commit
  void committed(model::Epoch epoch);
  /// The most that the exchange takes in the log.
  uint64_t change_bytes() const { return change_bytes_; }

 private:
  /// A part of an array, or a single value, as the tree has it.
  struct Piece {
    uint64_t begin = 0, end = 0;  // records
    ValueView value;              // borrowed, of this step
    Key key;
  };
  /// An akey that has values.
  struct Source {
    size_t dkey = 0, akey = 0;  // in `content_`
    Key prefix;
    std::vector<Piece> pieces;
  };
  /// A piece that stays in its blocks: from where to where among what stands outside.
  struct Outside {
    Key key;
    Key prefix;        // of its akey
    uint64_t end = 0;  // as its checksum records say it: 0 for a single value
    uint64_t to = 0;   // its end outside, bytes
    uint64_t bytes = 0;
  };
  /// Neighbours that had no blocks, and get some outside.
  struct Fresh {
    uint64_t begin = 0;  // outside
    Bytes bytes;
    std::optional<Staged> staged;
  };
  struct Record {
    ByteView key, raw;
    ParsedKey parsed;
  };

  void reset();
  void stop(FlattenOutcome outcome) { result.outcome = outcome; }
  bool goes_on() const { return result.outcome == FlattenOutcome::flattened; }
  Result<bool> is_flat_already();
  /// Is the object as everybody sees it, with nothing under way?
  bool is_settled();
  Result<void> take_out();
  View view_before();
  /// Visits the records of the object in `view`: Result<bool>(const Record&), false: enough.
  template <class Visit>
  Result<void> walk(const View& view, Visit visit);
  Result<void> add(const Record& record);
  Result<void> add_name(const Record& record, const ValueView& value);
  FlatContent::Akey& akey_of(const Record& record);
  void add_value(const Record& record, const ValueView& value);
  void check_so_far();
  void check_unchanged();
  void check_snapshots();
  void check_levels();
  Result<void> place_all(Look& look);
  Result<void> place_source(Look& look, Source& source, bool all_inside);
  Result<void> fill(Look& look, const Source& source, const Piece& piece, ByteSpan into);
  void leave_outside(const Source& source, const Piece& piece, uint64_t bytes);
  void check_inflated();
  Result<void> plan_exchange(Plan& plan, const Overlay& into, const Record& record,
                             size_t& next_outside);

  Shard::State& state_;
  const FlattenOptions& options_;
  ObjectPath object_;
  KeyPath path_;
  BlockCache cache_;
  /// Of what is flat in part: what is still in its buffer, taken out.
  Overlay before_;
  FlatContent content_;
  std::vector<Source> sources_;
  std::vector<Outside> outside_;
  std::vector<Fresh> fresh_;
  Bytes dkey_name_, akey_name_;
  Key last_dkey_, last_akey_;  // whose names these are
  size_t runs_ = 0;            // of the last source: neighbours are one
  uint64_t small_bytes_ = 0;   // of single values that stand in the buffer in any case
  uint64_t payload_bytes_ = 0;
  uint64_t outside_bytes_ = 0;
  // Of the piece that came to `fresh_` last.
  uint64_t last_fresh_end_ = 0;
  size_t last_fresh_akey_ = 0, last_fresh_dkey_ = 0;
  uint64_t change_bytes_ = 0;
  model::Epoch oldest_ = model::kEpochMax, newest_ = 0;
  uint64_t print_ = 0;  // of all records
};

}  // namespace cairn::vos
