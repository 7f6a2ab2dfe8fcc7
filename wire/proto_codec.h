// The protobuf wire format for plain structs: one `fields(visit, self)` per message names number
// and member. Ours, because libdaos and its siblings may need only libc and libstdc++ at load and
// distributions ship libprotobuf.a without position-independent code
// (docs/decisions/0004-control-messages.md). Schemas: *.proto. Follows proto3: fields of default
// value are left out, unknown fields are skipped, the last one wins. Pure. Bytes from a peer or a
// medium become a Result: lengths are checked, nesting is limited.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"

namespace cairn::wire {

inline constexpr int kProtoDepthMax = 8;
inline constexpr size_t kProtoBytesMax = size_t{1} << 30;

enum class ProtoType : uint8_t { varint = 0, fixed64 = 1, length = 2, fixed32 = 5 };

void proto_put_varint(Bytes& out, uint64_t value);
void proto_put_tag(Bytes& out, uint32_t number, ProtoType type);
void proto_put_bytes(Bytes& out, uint32_t number, ByteView value);

/// Cuts a message into fields.
class ProtoReader {
 public:
  explicit ProtoReader(ByteView bytes) : rest_(bytes) {}
  bool done() const { return rest_.empty(); }
  struct Field {
    uint32_t number = 0;
    ProtoType type = ProtoType::varint;
    uint64_t integer = 0;   // varint and fixed
    ByteView bytes;         // length
  };
  /// @error protocol  malformed or cut short
  Result<Field> next();

 private:
  Result<uint64_t> varint();
  ByteView rest_;
};

template <class M>
Bytes proto_encode(const M& message);
/// @error protocol  malformed, a field of another type than the schema's, or nested too deeply
template <class M>
Result<M> proto_decode(ByteView bytes, int depth = 0);

namespace detail {

template <class T>
concept ProtoInteger = std::unsigned_integral<T> || std::is_enum_v<T>;

struct ProtoWriter {
  Bytes& out;

  template <ProtoInteger T>
  void put(uint32_t number, T value) {
    proto_put_tag(out, number, ProtoType::varint);
    proto_put_varint(out, static_cast<uint64_t>(value));
  }
  void put(uint32_t number, const std::string& value) {
    proto_put_bytes(out, number, as_bytes(value));
  }
  void put(uint32_t number, const Bytes& value) { proto_put_bytes(out, number, value); }
  void put(uint32_t number, const Uuid& value) {
    proto_put_bytes(out, number, view_of(value.bytes.data(), value.bytes.size()));
  }
  template <class M>
    requires requires { &M::is_proto_message; }
  void put(uint32_t number, const M& message) {
    proto_put_bytes(out, number, proto_encode(message));
  }

  template <class T>
  void operator()(uint32_t number, const T& value) {
    if constexpr (requires { &T::is_proto_message; }) {
      // A nested message of default values is left out, like any other field.
      if (!proto_encode(value).empty()) put(number, value);
    } else {
      if (value != T{}) put(number, value);
    }
  }
  template <class T>
  void operator()(uint32_t number, const std::optional<T>& value) {
    if (value) put(number, *value);
  }
  template <class T>
    requires(!std::same_as<T, std::byte>)
  void operator()(uint32_t number, const std::vector<T>& values) {
    for (const T& value : values) put(number, value);
  }
};

/// What is absent on the wire is zero, whatever a new message of the struct starts with: a message
/// without a version must not pass for one of the newest.
struct ProtoClearer {
  template <class T>
  void operator()(uint32_t, T& field) {
    field = T{};
  }
};

struct ProtoSetter {
  const ProtoReader::Field& field;
  int depth;
  bool malformed = false;

  template <ProtoInteger T>
  void set(T& into) {
    malformed |= field.type != ProtoType::varint;
    if constexpr (std::same_as<T, bool>) {
      into = field.integer != 0;
    } else {
      into = static_cast<T>(field.integer);
      malformed |= static_cast<uint64_t>(into) != field.integer;
    }
  }
  void set(std::string& into) {
    malformed |= field.type != ProtoType::length;
    into.assign(as_chars(field.bytes));
  }
  void set(Bytes& into) {
    malformed |= field.type != ProtoType::length;
    into.assign(field.bytes.begin(), field.bytes.end());
  }
  void set(Uuid& into) {
    malformed |= field.bytes.size() != into.bytes.size();
    if (malformed) return;
    for (size_t i = 0; i < into.bytes.size(); ++i) {
      into.bytes[i] = static_cast<uint8_t>(field.bytes[i]);
    }
  }
  template <class M>
    requires requires { &M::is_proto_message; }
  void set(M& into) {
    malformed |= field.type != ProtoType::length;
    auto parsed = proto_decode<M>(field.bytes, depth + 1);
    malformed |= !parsed;
    if (parsed) into = std::move(*parsed);
  }

  template <class T>
  void operator()(uint32_t number, T& into) {
    if (number == field.number) set(into);
  }
  template <class T>
  void operator()(uint32_t number, std::optional<T>& into) {
    if (number == field.number) set(into.emplace());
  }
  template <class T>
    requires(!std::same_as<T, std::byte>)
  void operator()(uint32_t number, std::vector<T>& into) {
    if (number == field.number) set(into.emplace_back());
  }
};

}  // namespace detail

template <class M>
Bytes proto_encode(const M& message) {
  Bytes out;
  detail::ProtoWriter writer{out};
  M::fields(writer, message);
  return out;
}

template <class M>
Result<M> proto_decode(ByteView bytes, int depth) {
  if (depth > kProtoDepthMax) return fail(Errc::protocol, "control message: nested too deeply");
  M message;
  detail::ProtoClearer clearer;
  M::fields(clearer, message);
  ProtoReader reader(bytes);
  while (!reader.done()) {
    TRY(field, reader.next());
    detail::ProtoSetter setter{field, depth};
    M::fields(setter, message);
    if (setter.malformed) return fail(Errc::protocol, "control message: a field of a wrong type");
  }
  return message;
}

}  // namespace cairn::wire
