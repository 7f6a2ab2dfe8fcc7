#include "capi/daos/attr.h"

#include <algorithm>
#include <cstring>

#include "model/limits.h"

namespace cairn::capi {

Result<std::vector<std::string>> attr_names(AttrArgs args) {
  if (args.count <= 0 || args.names == nullptr) return fail(Errc::invalid, "attributes: no names");
  std::vector<std::string> out;
  for (int i = 0; i < args.count; ++i) {
    const char* const name = args.names[i];
    const size_t bytes = name == nullptr ? 0 : strnlen(name, model::kAttrNameBytesMax + 1);
    if (bytes == 0 || bytes > model::kAttrNameBytesMax) {
      return fail(Errc::invalid, "attributes: a name has 1 to 511 bytes");
    }
    out.emplace_back(name, bytes);
  }
  return out;
}

Result<client::Attrs> attrs_to_set(AttrArgs args, const void* const* values, const size_t* sizes) {
  TRY(names, attr_names(args));
  if (values == nullptr || sizes == nullptr) return fail(Errc::invalid, "attributes: no values");
  client::Attrs out;
  for (size_t i = 0; i < names.size(); ++i) {
    if (values[i] == nullptr || sizes[i] == 0) {
      return fail(Errc::invalid, "attributes: a value has at least one byte");
    }
    if (sizes[i] > model::kAttrValueBytesMax) {
      return fail(Errc::invalid, "attributes: a value has at most 1 MiB; use an object");
    }
    const ByteView bytes = view_of(values[i], sizes[i]);
    out.insert_or_assign(names[i], Bytes(bytes.begin(), bytes.end()));
  }
  return out;
}

void answer_names(const client::Attrs& attrs, char* buffer, size_t* size) {
  std::vector<const std::string*> names;
  for (const auto& [name, value] : attrs) names.push_back(&name);
  std::sort(names.begin(), names.end(), [](const std::string* a, const std::string* b) {
    return a->size() != b->size() ? a->size() < b->size() : *a < *b;
  });
  const size_t room = buffer == nullptr ? 0 : *size;
  size_t used = 0;
  size_t total = 0;
  for (const std::string* name : names) {
    const size_t bytes = name->size() + 1;
    total += bytes;
    if (used + bytes > room) continue;
    std::memcpy(buffer + used, name->c_str(), bytes);
    used += bytes;
  }
  *size = total;
}

Result<void> answer_values(const client::Attrs& attrs, const std::vector<std::string>& names,
                           void* const* buffers, size_t* sizes) {
  bool any = false;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto found = attrs.find(names[i]);
    const size_t room = buffers == nullptr || buffers[i] == nullptr ? 0 : sizes[i];
    sizes[i] = 0;
    if (found == attrs.end()) continue;
    any = true;
    sizes[i] = found->second.size();
    if (room != 0) std::memcpy(buffers[i], found->second.data(), std::min(room, sizes[i]));
  }
  if (!any) return fail(Errc::nonexistent, "attributes: none of these names is set");
  return {};
}

}  // namespace cairn::capi
