// Property lists in memory: allocation, copies, merging, parsing. Nothing here needs the library
// running.
#include <daos_prop.h>
#include <daos_security.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "capi/daos/prop_table.h"

namespace {

using cairn::capi::value_kind;
using cairn::capi::ValueKind;

bool ranks_type(uint32_t type) { return type == DAOS_PROP_PO_SVC_LIST; }

void free_ranks(d_rank_list_t* ranks) {
  if (ranks != nullptr) std::free(ranks->rl_ranks);
  std::free(ranks);
}

void free_value(daos_prop_entry& entry) {
  if (value_kind(entry.dpe_type) == ValueKind::text) {
    std::free(std::exchange(entry.dpe_str, nullptr));
  } else if (ranks_type(entry.dpe_type)) {
    free_ranks(static_cast<d_rank_list_t*>(std::exchange(entry.dpe_val_ptr, nullptr)));
  } else if (value_kind(entry.dpe_type) == ValueKind::pointer) {
    std::free(std::exchange(entry.dpe_val_ptr, nullptr));
  }
}

d_rank_list_t* copy_ranks(const d_rank_list_t* from) {
  auto* const to = static_cast<d_rank_list_t*>(std::calloc(1, sizeof(d_rank_list_t)));
  if (to == nullptr || from->rl_nr == 0) return to;
  to->rl_ranks = static_cast<d_rank_t*>(std::calloc(from->rl_nr, sizeof(d_rank_t)));
  if (to->rl_ranks == nullptr) {
    std::free(to);
    return nullptr;
  }
  std::memcpy(to->rl_ranks, from->rl_ranks, from->rl_nr * sizeof(d_rank_t));
  to->rl_nr = from->rl_nr;
  return to;
}

/// Bytes behind the pointer of an entry, 0 if unknown.
size_t pointer_bytes(const daos_prop_entry& entry) {
  switch (entry.dpe_type) {
    case DAOS_PROP_PO_ACL:
    case DAOS_PROP_CO_ACL: {
      const ssize_t size = daos_acl_get_size(static_cast<daos_acl*>(entry.dpe_val_ptr));
      return size > 0 ? static_cast<size_t>(size) : 0;
    }
    case DAOS_PROP_CO_ROOTS:
      return sizeof(daos_prop_co_roots);
    default:
      return 0;
  }
}

int copy_entry(daos_prop_entry& to, const daos_prop_entry& from) {
  to = from;
  if (value_kind(from.dpe_type) == ValueKind::number || from.dpe_val_ptr == nullptr) return 0;
  if (value_kind(from.dpe_type) == ValueKind::text) {
    to.dpe_str = strndup(from.dpe_str, DAOS_ACL_MAX_PRINCIPAL_LEN);
  } else if (ranks_type(from.dpe_type)) {
    to.dpe_val_ptr = copy_ranks(static_cast<const d_rank_list_t*>(from.dpe_val_ptr));
  } else {
    const size_t bytes = pointer_bytes(from);
    to.dpe_val_ptr = bytes == 0 ? nullptr : std::malloc(bytes);
    if (bytes == 0) return -DER_INVAL;
    if (to.dpe_val_ptr != nullptr) std::memcpy(to.dpe_val_ptr, from.dpe_val_ptr, bytes);
  }
  return to.dpe_val_ptr == nullptr ? -DER_NOMEM : 0;
}

void* copy_bytes(const void* from, size_t bytes) {
  void* const to = std::malloc(bytes);
  if (to != nullptr) std::memcpy(to, from, bytes);
  return to;
}

/// Adds "name:value" to a list that has room. @return a -DER_ code
int add_from_text(daos_prop_t& prop, std::string_view item) {
  const size_t colon = item.find(':');
  if (colon == std::string_view::npos) return -DER_INVAL;
  const std::string value(item.substr(colon + 1));
  const auto parsed = cairn::capi::parse_cont_prop(item.substr(0, colon), value);
  if (!parsed) return -DER_INVAL;
  for (uint32_t i = 0; i < prop.dpp_nr; ++i) {
    if (prop.dpp_entries[i].dpe_type == parsed->type) return -DER_INVAL;
  }
  if (prop.dpp_nr == DAOS_PROP_ENTRIES_MAX_NR) return -DER_INVAL;
  daos_prop_entry& entry = prop.dpp_entries[prop.dpp_nr++];
  entry.dpe_type = parsed->type;
  if (parsed->type != DAOS_PROP_CO_LABEL) {
    entry.dpe_val = parsed->number;
    return 0;
  }
  entry.dpe_str = strdup(value.c_str());
  return entry.dpe_str == nullptr ? -DER_NOMEM : 0;
}

}  // namespace

extern "C" {

daos_prop_t* daos_prop_alloc(uint32_t entries_nr) {
  if (entries_nr > DAOS_PROP_ENTRIES_MAX_NR) return nullptr;
  auto* const prop = static_cast<daos_prop_t*>(std::calloc(1, sizeof(daos_prop_t)));
  if (prop == nullptr || entries_nr == 0) return prop;
  prop->dpp_nr = entries_nr;
  prop->dpp_entries =
      static_cast<daos_prop_entry*>(std::calloc(entries_nr, sizeof(daos_prop_entry)));
  if (prop->dpp_entries == nullptr) {
    std::free(prop);
    return nullptr;
  }
  return prop;
}

void daos_prop_fini(daos_prop_t* prop) {
  if (prop == nullptr) return;
  if (prop->dpp_entries != nullptr) {
    for (uint32_t i = 0; i < prop->dpp_nr; ++i) free_value(prop->dpp_entries[i]);
    std::free(prop->dpp_entries);
  }
  prop->dpp_entries = nullptr;
  prop->dpp_nr = 0;
}

void daos_prop_free(daos_prop_t* prop) {
  daos_prop_fini(prop);
  std::free(prop);
}

int daos_prop_from_str(const char* str, daos_size_t len, daos_prop_t** prop) try {
  if (str == nullptr || len == 0 || prop == nullptr) return -DER_INVAL;
  daos_prop_t* const list = daos_prop_alloc(DAOS_PROP_ENTRIES_MAX_NR);
  if (list == nullptr) return -DER_NOMEM;
  list->dpp_nr = 0;
  std::string_view rest(str, strnlen(str, len));
  int rc = rest.empty() ? -DER_INVAL : 0;
  while (rc == 0 && !rest.empty()) {
    const size_t end = std::min(rest.find(';'), rest.size());
    rc = add_from_text(*list, rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (rc != 0) {
    daos_prop_free(list);
    return rc;
  }
  *prop = list;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_prop_merge2(daos_prop_t* old_prop, daos_prop_t* new_prop, daos_prop_t** out_prop) {
  if (out_prop == nullptr) return -DER_INVAL;
  const uint32_t old_count = old_prop == nullptr ? 0 : old_prop->dpp_nr;
  const uint32_t new_count = new_prop == nullptr ? 0 : new_prop->dpp_nr;
  if (old_count == 0 && new_count == 0) return -DER_INVAL;
  daos_prop_t* const out = daos_prop_alloc(DAOS_PROP_ENTRIES_MAX_NR);
  if (out == nullptr) return -DER_NOMEM;
  out->dpp_nr = 0;
  int rc = 0;
  const auto add = [&](const daos_prop_entry& entry) {
    if (rc != 0) return;
    if (out->dpp_nr == DAOS_PROP_ENTRIES_MAX_NR) {
      rc = -DER_INVAL;
      return;
    }
    rc = copy_entry(out->dpp_entries[out->dpp_nr++], entry);
  };
  for (uint32_t i = 0; i < old_count; ++i) {
    const daos_prop_entry& entry = old_prop->dpp_entries[i];
    if (new_prop == nullptr || daos_prop_entry_get(new_prop, entry.dpe_type) == nullptr) add(entry);
  }
  for (uint32_t i = 0; i < new_count; ++i) add(new_prop->dpp_entries[i]);
  if (rc != 0) {
    daos_prop_free(out);
    return rc;
  }
  *out_prop = out;
  return 0;
}

daos_prop_t* daos_prop_merge(daos_prop_t* old_prop, daos_prop_t* new_prop) {
  daos_prop_t* out = nullptr;
  return daos_prop_merge2(old_prop, new_prop, &out) == 0 ? out : nullptr;
}

struct daos_prop_entry* daos_prop_entry_get(daos_prop_t* prop, uint32_t type) {
  if (prop == nullptr || prop->dpp_entries == nullptr) return nullptr;
  for (uint32_t i = 0; i < prop->dpp_nr; ++i) {
    if (prop->dpp_entries[i].dpe_type == type) return &prop->dpp_entries[i];
  }
  return nullptr;
}

int daos_prop_entry_set_str(struct daos_prop_entry* entry, const char* str, daos_size_t len) {
  if (entry == nullptr || str == nullptr || !daos_prop_has_str(entry)) return -DER_INVAL;
  char* const copy = strndup(str, len);
  if (copy == nullptr) return -DER_NOMEM;
  free_value(*entry);
  entry->dpe_str = copy;
  return 0;
}

int daos_prop_set_str(daos_prop_t* prop, uint32_t type, const char* str, daos_size_t len) {
  if (prop == nullptr || str == nullptr) return -DER_INVAL;
  daos_prop_entry* const entry = daos_prop_entry_get(prop, type);
  return entry == nullptr ? -DER_NONEXIST : daos_prop_entry_set_str(entry, str, len);
}

int daos_prop_entry_set_ptr(struct daos_prop_entry* entry, const void* ptr, daos_size_t size) {
  if (entry == nullptr || ptr == nullptr || size == 0 || !daos_prop_has_ptr(entry)) {
    return -DER_INVAL;
  }
  void* const copy = ranks_type(entry->dpe_type)
                         ? static_cast<void*>(copy_ranks(static_cast<const d_rank_list_t*>(ptr)))
                         : copy_bytes(ptr, size);
  if (copy == nullptr) return -DER_NOMEM;
  free_value(*entry);
  entry->dpe_val_ptr = copy;
  return 0;
}

int daos_prop_set_ptr(daos_prop_t* prop, uint32_t type, const void* ptr, daos_size_t size) {
  if (prop == nullptr || ptr == nullptr) return -DER_INVAL;
  daos_prop_entry* const entry = daos_prop_entry_get(prop, type);
  return entry == nullptr ? -DER_NONEXIST : daos_prop_entry_set_ptr(entry, ptr, size);
}

int daos_prop_entry_dup_ptr(struct daos_prop_entry* entry_dst, struct daos_prop_entry* entry_src,
                            size_t len) {
  if (entry_dst == nullptr || entry_src == nullptr || entry_src->dpe_val_ptr == nullptr ||
      len == 0) {
    return -DER_INVAL;
  }
  entry_dst->dpe_val_ptr = copy_bytes(entry_src->dpe_val_ptr, len);
  return entry_dst->dpe_val_ptr == nullptr ? -DER_NOMEM : 0;
}

// No property holds a byte value at present, so there is no entry that these could change.
int daos_prop_entry_set_byteval(struct daos_prop_entry* entry, const void* data, size_t len) {
  (void)data;
  (void)len;
  return entry != nullptr && daos_prop_has_byteval(entry) ? -DER_NOSYS : -DER_INVAL;
}

int daos_prop_set_byteval(daos_prop_t* prop, uint32_t type, const void* data, size_t len) {
  if (prop == nullptr || data == nullptr) return -DER_INVAL;
  daos_prop_entry* const entry = daos_prop_entry_get(prop, type);
  return entry == nullptr ? -DER_NONEXIST : daos_prop_entry_set_byteval(entry, data, len);
}

int daos_prop_entry_dup_byteval(struct daos_prop_entry* entry_dst,
                                struct daos_prop_entry* entry_src) {
  if (entry_dst == nullptr || entry_src == nullptr) return -DER_INVAL;
  return -DER_INVAL;
}

int daos_prop_entry_cmp_acl(struct daos_prop_entry* entry1, struct daos_prop_entry* entry2) try {
  if (entry1 == nullptr || entry2 == nullptr) return -DER_INVAL;
  const ssize_t size1 = daos_acl_get_size(static_cast<daos_acl*>(entry1->dpe_val_ptr));
  const ssize_t size2 = daos_acl_get_size(static_cast<daos_acl*>(entry2->dpe_val_ptr));
  if (size1 < 0 && size2 < 0 && entry1->dpe_val_ptr == entry2->dpe_val_ptr) return 0;
  if (size1 < 0 || size1 != size2) return -DER_MISMATCH;
  const int differ =
      std::memcmp(entry1->dpe_val_ptr, entry2->dpe_val_ptr, static_cast<size_t>(size1));
  return differ == 0 ? 0 : -DER_MISMATCH;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_prop_entry_dup_co_roots(struct daos_prop_entry* dst, struct daos_prop_entry* src) try {
  if (dst == nullptr || src == nullptr || src->dpe_val_ptr == nullptr) return -DER_INVAL;
  if (dst->dpe_val_ptr == nullptr) {
    return daos_prop_entry_dup_ptr(dst, src, sizeof(daos_prop_co_roots));
  }
  std::memcpy(dst->dpe_val_ptr, src->dpe_val_ptr, sizeof(daos_prop_co_roots));
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

bool daos_prop_has_str(struct daos_prop_entry* entry) {
  return entry != nullptr && value_kind(entry->dpe_type) == ValueKind::text;
}

bool daos_prop_has_ptr(struct daos_prop_entry* entry) {
  return entry != nullptr && value_kind(entry->dpe_type) == ValueKind::pointer;
}

bool daos_prop_has_byteval(struct daos_prop_entry* entry) {
  (void)entry;
  return false;
}

}  // extern "C"
