// Records in the ConfigStore and their keys; schema in wire/control.proto, keys in
// docs/formats/config.md.
#pragma once

#include <charconv>
#include <optional>
#include <string>

#include "wire/control.h"

namespace cairn::service {

enum class State : uint32_t { none = 0, creating = 1, ready = 2, destroying = 3 };
inline constexpr uint32_t kRecordVersion = 1;

/// Targets in `map`; a record of before there were several names none: one target of rank 0.
struct PoolRecord {
  static constexpr bool is_proto_message = true;
  uint32_t version = kRecordVersion;
  State state = State::none;
  std::string label;
  uint64_t wal_bytes = 0, meta_bytes = 0, data_bytes = 0;  // of each target
  uint32_t next_container = 1;
  std::vector<wire::Prop> props;
  uint64_t memory_bytes = 0;  // 0: the host's default
  wire::PoolMap map;
  static void fields(auto& f, auto& self) {
    f(1, self.version), f(2, self.state), f(3, self.label), f(4, self.wal_bytes);
    f(5, self.meta_bytes), f(6, self.data_bytes), f(7, self.next_container), f(8, self.props);
    f(9, self.memory_bytes), f(10, self.map);
  }
};

/// A rollback that is decided and that some targets may not have done yet.
struct RollbackIntent {
  static constexpr bool is_proto_message = true;
  uint64_t epoch = 0;  // of the snapshot; 0: none is under way
  uint64_t session = 0, sequence = 0;
  uint64_t at = 0;     // when it happens, which names it
  static void fields(auto& f, auto& self) {
    f(1, self.epoch), f(2, self.session), f(3, self.sequence), f(4, self.at);
  }
};

/// A seal, and how far it is. Being sealed or unsealed is decided: it is ended, whatever happens.
struct SealRecord {
  static constexpr bool is_proto_message = true;
  wire::SealState state = wire::SealState::none;
  uint64_t epoch = 0;  // changes at or above it are refused
  std::string by;
  uint64_t session = 0, sequence = 0;  // of the request, while it is under way
  bool is_under_way() const {
    return state == wire::SealState::sealing || state == wire::SealState::unsealing;
  }
  static void fields(auto& f, auto& self) {
    f(1, self.state), f(2, self.epoch), f(3, self.by), f(4, self.session), f(5, self.sequence);
  }
};

struct ContRecord {
  static constexpr bool is_proto_message = true;
  uint32_t version = kRecordVersion;
  State state = State::none;
  uint32_t number = 0;
  std::string label;
  uint64_t open_time = 0, modify_time = 0;
  std::vector<wire::Prop> props;
  uint32_t generation = 0;  // of placement; 0: made before there were several, which means 1
  RollbackIntent rollback;
  SealRecord seal;
  bool worm_told = false;  // engines may hold worm_* properties other than the default ones
  static void fields(auto& f, auto& self) {
    f(1, self.version), f(2, self.state), f(3, self.number), f(4, self.label);
    f(5, self.open_time), f(6, self.modify_time), f(7, self.props);
    f(8, self.generation), f(9, self.rollback), f(10, self.seal), f(11, self.worm_told);
  }
};

/// A snapshot, by its epoch; the key says which.
struct SnapRecord {
  static constexpr bool is_proto_message = true;
  uint32_t version = kRecordVersion;
  uint32_t has_table = 0;  // its object id table is whole
  static void fields(auto& f, auto& self) { f(1, self.version), f(2, self.has_table); }
};

enum class HandleKind : uint32_t { none = 0, pool = 1, cont = 2 };

/// An open handle; the key says whose, and its id.
struct HandleRecord {
  static constexpr bool is_proto_message = true;
  uint32_t version = kRecordVersion;
  HandleKind kind = HandleKind::none;
  Uuid pool, cont;
  uint32_t access = 0;
  uint64_t owner = 0, pool_handle = 0;
  uint32_t io_index = 0, io_generation = 0;
  static void fields(auto& f, auto& self) {
    f(1, self.version), f(2, self.kind), f(3, self.pool), f(4, self.cont), f(5, self.access);
    f(6, self.owner), f(7, self.pool_handle), f(8, self.io_index), f(9, self.io_generation);
  }
};

/// A request that was executed; the key says which.
struct DoneRecord {
  static constexpr bool is_proto_message = true;
  uint32_t version = kRecordVersion;
  Bytes reply;  // an encoded ControlReply
  static void fields(auto& f, auto& self) { f(1, self.version), f(2, self.reply); }
};

/// A machine whose engines belong to the system; the key says which.
struct MachineRecord {
  static constexpr bool is_proto_message = true;
  uint32_t version = kRecordVersion;
  std::string name;
  uint32_t first_rank = 0, engine_count = 0;
  static void fields(auto& f, auto& self) {
    f(1, self.version), f(2, self.name), f(3, self.first_rank), f(4, self.engine_count);
  }
};

struct OidRecord {
  static constexpr bool is_proto_message = true;
  uint64_t next = 0;
  static void fields(auto& f, auto& self) { f(1, self.next); }
};

inline constexpr std::string_view kMachinesPrefix = "machines/";
/// An OidRecord: no rank below `next` is given to a machine again.
inline constexpr std::string_view kMachineRanksKey = "machine_ranks";
inline std::string machine_key(const Uuid& machine) {
  return std::string(kMachinesPrefix) + to_string(machine);
}
inline std::string pool_key(const Uuid& pool) { return "pools/" + to_string(pool); }
inline std::string pool_label_key(const std::string& label) { return "pool_labels/" + label; }
/// Everything of a pool but its record.
inline std::string pool_prefix(const Uuid& pool) { return "pool/" + to_string(pool) + "/"; }
inline std::string pool_attr_prefix(const Uuid& pool) { return pool_prefix(pool) + "attr/"; }
inline std::string conts_prefix(const Uuid& pool) { return pool_prefix(pool) + "conts/"; }
inline std::string cont_key(const Uuid& pool, const Uuid& cont) {
  return conts_prefix(pool) + to_string(cont);
}
inline std::string cont_label_key(const Uuid& pool, const std::string& label) {
  return pool_prefix(pool) + "cont_labels/" + label;
}
/// Everything of a container but its record and label.
inline std::string cont_prefix(const Uuid& pool, const Uuid& cont) {
  return pool_prefix(pool) + "cont/" + to_string(cont) + "/";
}
inline std::string cont_oid_key(const Uuid& pool, const Uuid& cont) {
  return cont_prefix(pool, cont) + "oid";
}
inline std::string cont_attr_prefix(const Uuid& pool, const Uuid& cont) {
  return cont_prefix(pool, cont) + "attr/";
}

inline std::string snaps_prefix(const Uuid& pool, const Uuid& cont) {
  return cont_prefix(pool, cont) + "snap/";
}
/// As 16 hexadecimal digits: keys ascend as numbers do.
inline std::string digits_of(uint64_t number) {
  std::string digits(16, '0');
  for (size_t i = 0; i < 16; ++i) digits[15 - i] = "0123456789abcdef"[number >> (4 * i) & 15];
  return digits;
}
/// Nullopt: not what digits_of() writes.
inline std::optional<uint64_t> parse_digits(std::string_view digits) {
  uint64_t number = 0;
  const auto end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, number, 16);
  if (digits.size() != 16 || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}
inline std::string snap_key(const Uuid& pool, const Uuid& cont, uint64_t epoch) {
  return snaps_prefix(pool, cont) + digits_of(epoch);
}

inline constexpr std::string_view kHandlesPrefix = "handles/";
inline std::string handle_key(uint64_t session, uint64_t id) {
  return std::string(kHandlesPrefix) + digits_of(session) + "/" + digits_of(id);
}
inline constexpr std::string_view kDonePrefix = "done/";
inline std::string done_key(uint64_t session, uint64_t sequence) {
  return std::string(kDonePrefix) + digits_of(session) + "/" + digits_of(sequence);
}

/// The two numbers of a key of handles or requests.
struct SessionKey {
  uint64_t session = 0, number = 0;
};
inline std::optional<SessionKey> parse_session_key(std::string_view key, std::string_view prefix) {
  const std::string_view rest = key.substr(prefix.size());
  if (rest.size() != 33 || rest[16] != '/') return std::nullopt;
  const auto session = parse_digits(rest.substr(0, 16)), number = parse_digits(rest.substr(17));
  if (!session || !number) return std::nullopt;
  return SessionKey{*session, *number};
}

/// @error format_newer  written by a newer version   @error checksum  no record of ours
template <class R>
Result<R> parse_record(ByteView bytes) {
  auto record = wire::proto_decode<R>(bytes);
  if (!record) return fail(Errc::checksum, "service record: not what this program writes");
  if constexpr (requires { record->version; }) {
    if (record->version != kRecordVersion) {
      return fail(Errc::format_newer, "service record: written by a newer version; upgrade");
    }
  }
  return record;
}

}  // namespace cairn::service
