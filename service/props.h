// Which properties may be given to pools and containers, and with which values. Numbers are
// DAOS_PROP_*.
#pragma once

#include <vector>

#include "base/result.h"
#include "model/scrub_policy.h"
#include "model/worm_policy.h"
#include "wire/control.h"

namespace cairn::service {

namespace prop {
inline constexpr uint32_t kPoolLabel = 1;
inline constexpr uint32_t kPoolRedunFac = 11;
inline constexpr uint32_t kPoolScrubMode = 16;
inline constexpr uint32_t kPoolScrubFrequency = 17;
inline constexpr uint32_t kPoolScrubThreshold = 18;
inline constexpr uint32_t kContLabel = 0x1001;
inline constexpr uint32_t kContStatus = 0x1012;
inline constexpr uint32_t kContAllocedOid = 0x1013;
// Our own, far away from those of DAOS (include/cairn_worm.h has them, too).
inline constexpr uint32_t kContWormInlineMax = 0x43410001;
inline constexpr uint32_t kContWormObjectMax = 0x43410002;
inline constexpr uint32_t kContWormCompress = 0x43410003;
inline constexpr uint32_t kContWormColdAfter = 0x43410004;
inline constexpr uint32_t kContWormSealed = 0x43410005;  // text: when and by whom; absent: no
}  // namespace prop

/// @param domains  fault domains, which bound the redundancy factor
/// @error invalid  unknown, read only, of another kind, or out of range
Result<void> check_pool_props(const std::vector<wire::Prop>& props, uint32_t domains);
Result<void> check_cont_props(const std::vector<wire::Prop>& props, uint32_t domains);
/// For changes after creation. @error no_perm  fixed at creation
/// @error invalid  as above, or none given
Result<void> check_cont_prop_changes(const std::vector<wire::Prop>& props, uint32_t domains);

/// The first of that number, or null.
const wire::Prop* find_prop(const std::vector<wire::Prop>& props, uint32_t number);
/// Replaces or adds.
void set_prop(std::vector<wire::Prop>& props, const wire::Prop& prop);

/// What the worm_* properties of a container say; of those that are not given the defaults. Not
/// whether it is sealed.
model::WormPolicy worm_policy(const std::vector<wire::Prop>& props);
/// Is any of them worm_*?
bool has_worm_props(const std::vector<wire::Prop>& props);

/// What the properties of a pool say about scrubs; of those that are not given the defaults.
model::ScrubPolicy scrub_policy(const std::vector<wire::Prop>& props);

}  // namespace cairn::service
