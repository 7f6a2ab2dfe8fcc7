// WormPolicies: what a shard knows of its containers' worm_* properties, one of which is that a
// container is sealed. The tree has a record of each container whose properties are not the default
// ones, and only those are in memory. Internal to vos/. Home: the shard's reactor. Plain calls.
#pragma once

#include <map>
#include <vector>

#include "model/worm_policy.h"
#include "vos/value_format.h"

namespace cairn::vos {

class WormPolicies {
 public:
  /// The reference is good until the container's policy is set.
  const model::WormPolicy& of(ContNumber container) const;
  /// May it be changed? Costs next to nothing where no container is sealed. Good until the caller
  /// waits for something.
  /// @error no_perm  it is sealed; the text says when and by whom
  Result<void> check_open(ContNumber container) const {
    if (sealed_ == 0) [[likely]]
      return {};
    return check_seal(container);
  }
  /// As set(), of a seal that is not written yet: nothing changes what it covers meanwhile, and
  /// nothing does if it cannot be written.
  void seal_ahead(ContNumber container, model::WormPolicy policy);
  bool is_written(ContNumber container) const {
    const auto found = entries_.find(container);
    return found == entries_.end() || found->second.is_written;
  }
  /// Precondition: model::check_worm_policy() takes it.
  void set(ContNumber container, model::WormPolicy policy);
  /// A record of the tree, at an open. @error checksum  malformed
  Result<void> load(ByteView key, ByteView value);
  /// Those whose policy is not the default, ascending.
  std::vector<ContNumber> containers() const;

 private:
  struct Entry {
    model::WormPolicy policy;
    const char* refusal = nullptr;  // sealed: what changes are answered with
    bool is_written = true;         // the tree has it
  };
  Result<void> check_seal(ContNumber container) const;

  std::map<ContNumber, Entry> entries_;
  size_t sealed_ = 0;
};

}  // namespace cairn::vos
