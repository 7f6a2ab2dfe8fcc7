// Messages between the engines of a system; the C++ of wire/engine_admin.proto, which documents
// them.
#pragma once

#include "wire/control.h"

namespace cairn::wire {

inline constexpr uint32_t kAdminVersion = 1;

enum class AdminVerb : uint32_t {
  none = 0,
  join = 1, serve = 2, watch = 3, leave = 4,
  create_pool = 10, open_pool = 11, settle_pool = 12, close_pool = 13, remove_pool = 14,
  extend_pool = 15, scrub = 16,
  destroy_container = 20, freeze = 21, unfreeze = 22, add_snapshot = 23, remove_snapshot = 24,
  snapshots = 25, rollback = 26, hold = 27, aggregate = 28, set_worm = 29,
  space = 30, devices = 31, flattened = 32,
  restore_handles = 40, revoke_handle = 41, retain_handles = 42, end_session = 43,
  peer_draw = 60, peer_prepare = 61, peer_commit = 62, peer_abort = 63, peer_outcome = 64,
  locate = 70,
};

struct AdminHandle {
  static constexpr bool is_proto_message = true;
  uint32_t index = 0, generation = 0;
  Uuid pool;
  uint32_t container = 0;
  bool writable = false;
  uint64_t session = 0;
  friend bool operator==(const AdminHandle&, const AdminHandle&) = default;
  static void fields(auto& f, auto& self) {
    f(1, self.index), f(2, self.generation), f(3, self.pool), f(4, self.container);
    f(5, self.writable), f(6, self.session);
  }
};

struct AdminRequest {
  static constexpr bool is_proto_message = true;
  uint32_t version = kAdminVersion;
  AdminVerb verb = AdminVerb::none;
  uint64_t incarnation = 0;
  Uuid pool;
  uint32_t container = 0;
  uint64_t epoch = 0;
  std::vector<Target> targets;
  uint64_t wal_bytes = 0, meta_bytes = 0, data_bytes = 0, memory_bytes = 0;
  uint64_t session = 0, sequence = 0, acknowledged_below = 0;
  std::vector<AdminHandle> handles;
  uint64_t tx_high = 0, tx_low = 0;
  Bytes body;
  uint32_t rank = 0;  // that is asked about
  uint64_t number = 0;
  uint32_t scrub_mode = 0;  // model::ScrubMode
  uint64_t scrub_frequency = 0, scrub_threshold = 0;
  Worm worm;
  static void fields(auto& f, auto& self) {
    f(1, self.version), f(2, self.verb), f(3, self.incarnation), f(4, self.pool);
    f(5, self.container), f(6, self.epoch), f(7, self.targets), f(8, self.wal_bytes);
    f(9, self.meta_bytes), f(10, self.data_bytes), f(11, self.memory_bytes), f(12, self.session);
    f(13, self.sequence), f(14, self.acknowledged_below), f(15, self.handles);
    f(16, self.tx_high), f(17, self.tx_low), f(18, self.body), f(19, self.number);
    f(20, self.rank), f(21, self.scrub_mode), f(22, self.scrub_frequency);
    f(23, self.scrub_threshold), f(24, self.worm);
  }
};

struct AdminSpace {
  static constexpr bool is_proto_message = true;
  uint64_t data_total = 0, data_free = 0, meta_total = 0, meta_free = 0, meta_used = 0;
  static void fields(auto& f, auto& self) {
    f(1, self.data_total), f(2, self.data_free), f(3, self.meta_total), f(4, self.meta_free);
    f(5, self.meta_used);
  }
};

struct AdminReply {
  static constexpr bool is_proto_message = true;
  uint32_t rank = 0;
  uint64_t incarnation = 0;
  std::vector<std::string> addresses;
  bool serving = false;
  uint64_t epoch = 0;
  bool open = false;
  std::vector<uint64_t> any, all;
  AdminSpace space;
  std::vector<DeviceReply> devices;
  uint32_t process = 0;
  bool held = false;
  FlattenProgress progress;
  static void fields(auto& f, auto& self) {
    f(1, self.rank), f(2, self.incarnation), f(3, self.addresses), f(4, self.serving);
    f(5, self.epoch), f(6, self.open), f(7, self.any), f(8, self.all), f(9, self.space);
    f(10, self.devices), f(11, self.process), f(12, self.held), f(13, self.progress);
  }
};

}  // namespace cairn::wire
