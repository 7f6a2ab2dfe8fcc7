#include "capi/daos/global.h"

#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "base/hash.h"

namespace cairn::capi {
namespace {
constexpr uint64_t kMagic = 0x4361'6972'6e48'6c31;

uint32_t checksum_of(const GlobalBlob& blob) {
  return static_cast<uint32_t>(xxh3_64(view_of(&blob, offsetof(GlobalBlob, checksum))));
}
}  // namespace

uint64_t this_process() {
  static const int anchor = 0;  // its address tells apart processes that got the same id
  const uint64_t parts[] = {static_cast<uint64_t>(getpid()), reinterpret_cast<uint64_t>(&anchor)};
  return xxh3_64(view_of(parts, sizeof parts));
}

Result<void> export_blob(GlobalBlob blob, d_iov_t* out) {
  if (out == nullptr) return fail(Errc::invalid, "global handle: NULL iov");
  if (out->iov_buf == nullptr) {
    out->iov_buf_len = sizeof blob;
    return {};
  }
  if (out->iov_buf_len < sizeof blob) {
    out->iov_buf_len = sizeof blob;
    return fail(Errc::truncated, "global handle: the buffer is too small");
  }
  blob.magic = kMagic;
  blob.checksum = checksum_of(blob);
  std::memcpy(out->iov_buf, &blob, sizeof blob);
  out->iov_len = sizeof blob;
  return {};
}

void set_system(GlobalBlob& blob, const Uuid& system) {
  static_assert(sizeof blob.oid == sizeof system.bytes);
  std::memcpy(blob.oid.data(), system.bytes.data(), sizeof blob.oid);
}

Result<void> check_system(const GlobalBlob& blob, const Uuid& system) {
  if (std::memcmp(blob.oid.data(), system.bytes.data(), sizeof blob.oid) == 0) return {};
  return fail(Errc::invalid,
              "global handle: of another home or system; both processes must use the same one");
}

Result<GlobalBlob> import_blob(const d_iov_t& in, GlobalKind kind) {
  GlobalBlob blob;
  if (in.iov_buf == nullptr || in.iov_buf_len < sizeof blob || in.iov_len < sizeof blob) {
    return fail(Errc::invalid, "global handle: NULL or of a wrong length");
  }
  std::memcpy(static_cast<void*>(&blob), in.iov_buf, sizeof blob);
  if (blob.magic != kMagic || blob.kind != kind || blob.checksum != checksum_of(blob)) {
    return fail(Errc::invalid, "global handle: not one of ours, or damaged");
  }
  return blob;
}

}  // namespace cairn::capi
