#include "vos/request.h"

#include <algorithm>

namespace cairn::vos {

namespace {

Result<void> check_recxs(const model::Iod& iod, CheckedIod& out) {
  if (iod.recxs.empty()) return fail(Errc::invalid, "iod: an array without extents");
  if (iod.recxs.size() > model::kRecxsMax) return fail(Errc::invalid, "iod: too many extents");
  uint64_t records = 0;
  for (const model::Recx& r : iod.recxs) {
    uint64_t end = 0;
    if (r.index > model::kArrayIndexMax || __builtin_add_overflow(r.index, r.count, &end) ||
        __builtin_add_overflow(records, r.count, &records)) {
      return fail(Errc::invalid, "iod: an extent beyond 2^63");
    }
    if (r.count == 0) continue;
    out.recxs.push_back({{r.index, end}, (records - r.count) * iod.record_bytes});
    out.spans.push_back({r.index, end});
  }
  if (out.spans.empty()) return fail(Errc::invalid, "iod: only empty extents");
  if (!std::is_sorted(out.spans.begin(), out.spans.end(),
                      [](const Span& a, const Span& b) { return a.begin < b.begin; })) {
    std::sort(out.spans.begin(), out.spans.end(),
              [](const Span& a, const Span& b) { return a.begin < b.begin; });
  }
  for (size_t i = 1; i < out.spans.size(); ++i) {
    if (out.spans[i].begin < out.spans[i - 1].end) {
      return fail(Errc::invalid, "iod: extents overlap");
    }
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(records, iod.record_bytes, &bytes)) {
    return fail(Errc::invalid, "iod: more bytes than an address space has");
  }
  out.record_count = records;
  return {};
}

}  // namespace

Result<void> check_request(const KeyPath& path, ByteView dkey, const model::Iods& iods,
                           CheckedRequest& checked) {
  if (dkey.empty()) return fail(Errc::invalid, "dkey: empty");
  if (iods.empty() || iods.size() > model::kIodsMax) {
    return fail(Errc::invalid, "iods: none, or more than 65,536");
  }
  checked.dkey_prefix = path.object();
  TRY(dkey_added, add_key(checked.dkey_prefix, path.dkey_kind(), dkey));
  checked.iods.reserve(iods.size());
  for (const model::Iod& iod : iods) {
    CheckedIod& out = checked.iods.emplace_back();
    out.iod = &iod;
    out.akey_prefix = checked.dkey_prefix;
    TRY(akey_added, add_key(out.akey_prefix, path.akey_kind(), iod.akey));
    switch (iod.type) {
      case model::ValueType::single:
        out.record_count = 1;
        break;
      case model::ValueType::array: {
        TRY(done, check_recxs(iod, out));
        break;
      }
      default:
        return fail(Errc::invalid, "iod: neither a single value nor an array");
    }
  }
  return {};
}

}  // namespace cairn::vos
