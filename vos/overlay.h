// Overlay: the changes that the operations of a transaction have planned so far, in front of the
// tree, so that each sees those before it; at the end, one batch of what is left of them. Only keys
// of the live range are looked up; a plan may bring others along. Home: the shard's reactor.
// Internal to vos/.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "index/batch.h"
#include "vos/view.h"

namespace cairn::vos {

class Overlay final : public Lens {
 public:
  /// What becomes of one key.
  struct Change {
    enum class Kind : uint8_t { put, erase, move };
    Kind kind = Kind::erase;
    Bytes value;             // put
    std::string moved_from;  // move: the key that the tree has it under
  };
  using Changes = std::map<std::string, Change, std::less<>>;

  explicit Overlay(index::Tree& tree) : tree_(tree) {}

  Result<std::optional<ByteView>> get(ByteView key) override;
  std::unique_ptr<LensCursor> cursor(ByteView within) override;

  /// Adds what a plan, made through this overlay, changes.
  void absorb(const index::Batch& batch);
  /// All changes and extents, each key once.
  void emit(index::Batch& batch) const;
  /// The most that the record of emit() takes in the log.
  uint64_t bytes() const;
  void clear();
  const Changes& changes() const { return changes_; }

 private:
  index::Tree& tree_;
  Changes changes_;
  std::vector<index::BatchData> published_;
  std::vector<media::Extent> freed_;
};

}  // namespace cairn::vos
