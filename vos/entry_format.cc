#include "vos/entry_format.h"

#include <algorithm>

#include "base/check.h"
#include "base/endian.h"
#include "base/varint.h"
#include "index/batch.h"

namespace cairn::vos {

namespace {

/// A count and three varints of a key take less than this beside the key.
constexpr size_t kFieldBytes = 12;

void put_epoch(Bytes& out, model::Epoch epoch) {
  std::byte le[8];
  store_le64(le, epoch);
  out.assign(le, le + 8);
}

std::unexpected<Error> malformed() { return fail(Errc::checksum, "entry: malformed record"); }

size_t shared_bytes(std::string_view key, std::string_view before) {
  const auto differ = std::mismatch(key.begin(), key.end(), before.begin(), before.end());
  return static_cast<size_t>(differ.first - key.begin());
}

}  // namespace

void put_entry_head(Bytes& out, const EntryHead& head) {
  put_epoch(out, head.epoch);
  out.push_back(static_cast<std::byte>(head.state));
}

Result<EntryHead> parse_entry_head(ByteView value) {
  if (value.size() != kEntryHeadBytes) return malformed();
  const auto state = static_cast<uint8_t>(value[8]);
  if (state < 1 || state > 3) return malformed();
  return EntryHead{load_le64(value.data()), static_cast<TxState>(state)};
}

size_t put_entry_keys(Bytes& out, model::Epoch epoch, std::span<const std::string> keys) {
  CHECK(!keys.empty());
  size_t count = 0;
  size_t bytes = 8 + kFieldBytes;
  std::string_view before;
  for (const std::string& key : keys) {
    bytes += key.size() - shared_bytes(key, before) + kFieldBytes;
    if (bytes > index::kValueBytesMax) break;
    before = key;
    ++count;
  }
  CHECK(count > 0);
  put_epoch(out, epoch);
  put_varint(out, count);
  before = {};
  for (const std::string& key : keys.first(count)) {
    const size_t shared = shared_bytes(key, before);
    put_varint(out, shared);
    put_varint(out, key.size() - shared);
    const ByteView suffix = as_bytes(key).subspan(shared);
    out.insert(out.end(), suffix.begin(), suffix.end());
    before = key;
  }
  return count;
}

Result<std::vector<std::string>> parse_entry_keys(ByteView value) {
  if (value.size() < 8) return malformed();
  ByteView in = value.subspan(8);
  uint64_t count = 0;
  if (!take_varint(in, &count) || count == 0) return malformed();
  std::vector<std::string> keys;
  std::string key;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t shared = 0;
    uint64_t suffix_bytes = 0;
    ByteView suffix;
    if (!take_varint(in, &shared) || !take_varint(in, &suffix_bytes)) return malformed();
    if (shared > key.size() || suffix_bytes > index::kKeyBytesMax ||
        shared + suffix_bytes > index::kKeyBytesMax || shared + suffix_bytes == 0 ||
        !take_bytes(in, suffix_bytes, &suffix)) {
      return malformed();
    }
    key.resize(shared);
    key += as_chars(suffix);
    keys.push_back(key);
  }
  if (!in.empty()) return malformed();
  return keys;
}

}  // namespace cairn::vos
