// Control messages between client and services; the C++ of wire/control.proto, which documents
// them.
#pragma once

#include "wire/proto_codec.h"

namespace cairn::wire {

inline constexpr uint32_t kControlVersion = 1;

struct Prop {
  static constexpr bool is_proto_message = true;
  uint32_t number = 0;
  std::optional<uint64_t> integer;   // exactly one of the three is set
  std::optional<std::string> text;
  std::optional<Bytes> raw;
  friend bool operator==(const Prop&, const Prop&) = default;
  static void fields(auto& f, auto& self) {
    f(1, self.number), f(2, self.integer), f(3, self.text), f(4, self.raw);
  }
};

struct Attr {
  static constexpr bool is_proto_message = true;
  std::string name;
  Bytes value;
  friend bool operator==(const Attr&, const Attr&) = default;
  static void fields(auto& f, auto& self) { f(1, self.name), f(2, self.value); }
};

enum class Op : uint32_t {
  none = 0,
  pool_create = 1, pool_list = 2, pool_destroy = 3, pool_connect = 4, pool_disconnect = 5,
  pool_query = 6, pool_attrs = 7, pool_set_attrs = 8, pool_delete_attrs = 9, pool_attach = 10,
  pool_set_props = 11, pool_extend = 12,
  cont_create = 20, cont_list = 21, cont_open = 22, cont_destroy = 23, cont_close = 24,
  cont_query = 25, cont_set_props = 26, cont_attrs = 27, cont_set_attrs = 28,
  cont_delete_attrs = 29, cont_alloc_oids = 30, cont_attach = 31, cont_aggregate = 32,
  cont_seal = 33, cont_unseal = 34, cont_worm = 35,
  snap_create = 40, snap_list = 41, snap_destroy = 42, snap_set_table = 43,
  snap_rollback = 44,
  storage_query = 60, system_query = 61, storage_format = 62, system_stop = 63,
  system_start = 64, machine_join = 65, machine_report = 66,
};

/// A target of a pool.
struct Target {
  static constexpr bool is_proto_message = true;
  uint32_t rank = 0, index = 0;
  uint32_t state = 0;       // model::TargetState
  uint32_t weight = 0;      // of placement
  uint32_t generation = 0;  // of placement: the first one that it takes part in
  friend bool operator==(const Target&, const Target&) = default;
  static void fields(auto& f, auto& self) {
    f(1, self.rank), f(2, self.index), f(3, self.state), f(4, self.weight);
    f(5, self.generation);
  }
};

/// An engine of another machine, as that machine's server sees it.
struct MachineEngine {
  static constexpr bool is_proto_message = true;
  uint32_t rank = 0;
  std::vector<std::string> addresses;
  bool running = false, starting = false;
  uint64_t done = 0;  // MachineOrder::id, the last that was carried out
  friend bool operator==(const MachineEngine&, const MachineEngine&) = default;
  static void fields(auto& f, auto& self) {
    f(1, self.rank), f(2, self.addresses), f(3, self.running), f(4, self.starting);
    f(5, self.done);
  }
};

/// A machine whose engines belong to the system, and whose services are on another one.
struct Machine {
  static constexpr bool is_proto_message = true;
  Uuid uuid;
  std::string name;
  uint32_t first_rank = 0, engine_count = 0, target_count = 0;
  uint64_t incarnation = 0;  // of the process that reports
  std::vector<MachineEngine> engines;
  friend bool operator==(const Machine&, const Machine&) = default;
  static void fields(auto& f, auto& self) {
    f(1, self.uuid), f(2, self.name), f(3, self.first_rank), f(4, self.engine_count);
    f(5, self.target_count), f(6, self.incarnation), f(7, self.engines);
  }
};

enum class MachineAction : uint32_t { none = 0, launch = 1, terminate = 2, kill = 3 };

/// To a machine's server; carried out once.
struct MachineOrder {
  static constexpr bool is_proto_message = true;
  uint32_t rank = 0;
  uint64_t id = 0;  // another one for each order; 0: none
  MachineAction action = MachineAction::none;
  friend bool operator==(const MachineOrder&, const MachineOrder&) = default;
  static void fields(auto& f, auto& self) { f(1, self.rank), f(2, self.id), f(3, self.action); }
};

struct ControlRequest {
  static constexpr bool is_proto_message = true;
  uint32_t version = kControlVersion;
  Op op = Op::none;
  std::string name, label;
  uint64_t bytes = 0, meta_bytes = 0;
  uint32_t access = 0;
  bool force = false;
  uint64_t pool_handle = 0, cont_handle = 0;
  std::vector<Prop> props;
  std::vector<Attr> attrs;
  std::vector<std::string> names;
  uint64_t count = 0;
  uint64_t memory_bytes = 0;
  uint32_t memory_ratio = 0;
  uint64_t epoch = 0;
  std::vector<Target> targets;
  Machine machine;
  static void fields(auto& f, auto& self) {
    f(1, self.version), f(2, self.op), f(3, self.name), f(4, self.label), f(5, self.bytes);
    f(6, self.meta_bytes), f(7, self.access), f(8, self.force), f(9, self.pool_handle);
    f(10, self.cont_handle), f(11, self.props), f(12, self.attrs), f(13, self.names);
    f(14, self.count), f(15, self.memory_bytes), f(16, self.memory_ratio), f(17, self.epoch);
    f(18, self.targets), f(19, self.machine);
  }
};

/// Of an engine, as the system sees it.
enum class EngineState : uint32_t {
  none = 0,
  joined = 1,    // serves
  starting = 2,  // is there and catches up
  away = 3,
  await_format = 4,
};

struct EngineInfo {
  static constexpr bool is_proto_message = true;
  uint32_t rank = 0;
  uint64_t incarnation = 0;  // 0: not known
  std::vector<std::string> addresses;
  EngineState state = EngineState::none;
  uint32_t process = 0;
  std::string host;  // of another machine; empty: that of the services
  friend bool operator==(const EngineInfo&, const EngineInfo&) = default;
  static void fields(auto& f, auto& self) {
    f(1, self.rank), f(2, self.incarnation), f(3, self.addresses), f(4, self.state);
    f(5, self.process), f(6, self.host);
  }
};

struct PoolMap {
  static constexpr bool is_proto_message = true;
  uint32_t version = 0;
  uint32_t generation = 0;  // of placement, the newest
  std::vector<Target> targets;
  std::vector<EngineInfo> engines;  // in replies
  friend bool operator==(const PoolMap&, const PoolMap&) = default;
  static void fields(auto& f, auto& self) {
    f(1, self.version), f(2, self.generation), f(3, self.targets), f(4, self.engines);
  }
};

struct PoolReply {
  static constexpr bool is_proto_message = true;
  Uuid uuid;
  std::string label;
  uint32_t target_count = 0, engine_count = 0, disabled_count = 0, map_version = 0, leader = 0;
  uint64_t data_total = 0, data_free = 0, meta_total = 0, meta_free = 0, meta_used = 0;
  std::vector<Prop> props;
  uint64_t memory_bytes = 0;
  PoolMap map;
  static void fields(auto& f, auto& self) {
    f(1, self.uuid), f(2, self.label), f(3, self.target_count), f(4, self.engine_count);
    f(5, self.disabled_count), f(6, self.map_version), f(7, self.leader), f(8, self.data_total);
    f(9, self.data_free), f(10, self.meta_total), f(11, self.meta_free), f(12, self.meta_used);
    f(13, self.props), f(14, self.memory_bytes), f(15, self.map);
  }
};

struct ContReply {
  static constexpr bool is_proto_message = true;
  Uuid uuid;
  std::string label;
  uint32_t handle_count = 0, snapshot_count = 0;
  uint64_t last_snapshot = 0, open_time = 0, modify_time = 0;
  std::vector<Prop> props;
  uint32_t generation = 0;
  static void fields(auto& f, auto& self) {
    f(1, self.uuid), f(2, self.label), f(3, self.handle_count), f(4, self.snapshot_count);
    f(5, self.last_snapshot), f(6, self.open_time), f(7, self.modify_time), f(8, self.props);
    f(9, self.generation);
  }
};

struct SnapReply {
  static constexpr bool is_proto_message = true;
  uint64_t epoch = 0;
  uint32_t has_table = 0;
  static void fields(auto& f, auto& self) { f(1, self.epoch), f(2, self.has_table); }
};

/// The worm_* properties of a container (wire/worm.h makes a model::WormPolicy of it).
struct Worm {
  static constexpr bool is_proto_message = true;
  uint64_t inline_bytes_max = 0, object_bytes_max = 0;
  bool compress = false;
  uint64_t cold_after_s = 0, sealed_at = 0;
  std::string sealed_by;
  friend bool operator==(const Worm&, const Worm&) = default;
  static void fields(auto& f, auto& self) {
    f(1, self.inline_bytes_max), f(2, self.object_bytes_max), f(3, self.compress);
    f(4, self.cold_after_s), f(5, self.sealed_at), f(6, self.sealed_by);
  }
};

struct FlattenProgress {
  static constexpr bool is_proto_message = true;
  bool running = false;
  uint64_t flat = 0, left = 0;
  std::vector<uint64_t> skipped;  // by outcome
  uint64_t damaged = 0;
  friend bool operator==(const FlattenProgress&, const FlattenProgress&) = default;
  static void fields(auto& f, auto& self) {
    f(1, self.running), f(2, self.flat), f(3, self.left), f(4, self.skipped);
    f(5, self.damaged);
  }
};

/// Under way means: it is decided, and some engine may not know yet.
enum class SealState : uint32_t { none = 0, sealing = 1, sealed = 2, unsealing = 3 };

struct WormReply {
  static constexpr bool is_proto_message = true;
  Worm worm;
  SealState seal_state = SealState::none;
  FlattenProgress progress;
  uint32_t targets_away = 0;
  static void fields(auto& f, auto& self) {
    f(1, self.worm), f(2, self.seal_state), f(3, self.progress), f(4, self.targets_away);
  }
};

struct DeviceReply {
  static constexpr bool is_proto_message = true;
  std::string path, roles;
  uint64_t total_bytes = 0, free_bytes = 0;
  uint32_t rank = 0;
  Uuid uuid;
  bool directory = false;
  static void fields(auto& f, auto& self) {
    f(1, self.path), f(2, self.roles), f(3, self.total_bytes), f(4, self.free_bytes);
    f(5, self.rank), f(6, self.uuid), f(7, self.directory);
  }
};

struct RankResult {
  static constexpr bool is_proto_message = true;
  uint32_t rank = 0;
  uint32_t status = 0;
  std::string text;
  static void fields(auto& f, auto& self) {
    f(1, self.rank), f(2, self.status), f(3, self.text);
  }
};

struct ControlReply {
  static constexpr bool is_proto_message = true;
  Uuid uuid;
  uint64_t handle = 0;
  uint32_t io_index = 0, io_generation = 0;
  uint64_t first = 0;
  std::vector<PoolReply> pools;
  std::vector<ContReply> conts;
  std::vector<Attr> attrs;
  std::vector<SnapReply> snapshots;
  uint32_t access = 0;
  std::vector<DeviceReply> devices;
  PoolMap map;
  std::vector<EngineInfo> engines;
  std::vector<RankResult> results;
  Machine machine;
  Bytes secret;
  std::vector<MachineOrder> orders;
  WormReply worm;
  static void fields(auto& f, auto& self) {
    f(1, self.uuid), f(2, self.handle), f(3, self.io_index), f(4, self.io_generation);
    f(5, self.first), f(6, self.pools), f(7, self.conts), f(8, self.attrs);
    f(9, self.snapshots), f(10, self.access), f(11, self.devices), f(12, self.map);
    f(13, self.engines), f(14, self.results), f(15, self.machine), f(16, self.secret);
    f(17, self.orders), f(18, self.worm);
  }
};

}  // namespace cairn::wire
