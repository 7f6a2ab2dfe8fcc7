// Between C property lists and the client's properties: what a program gives is checked here, what
// it asks for is put together here from what was set and the defaults.
#include <cairn_worm.h>
#include <daos_security.h>
#include <grp.h>
#include <pwd.h>

#include <cstdlib>
#include <cstring>
#include <set>

#include "capi/daos/prop_table.h"
#include "model/label.h"

namespace cairn::capi {
namespace {

/// The entries of a list that came from a program. @error invalid
Result<std::span<const daos_prop_entry>> entries_of(const daos_prop_t* prop) {
  if (prop == nullptr) return std::span<const daos_prop_entry>{};
  if (prop->dpp_nr > DAOS_PROP_ENTRIES_MAX_NR || (prop->dpp_nr != 0 && !prop->dpp_entries)) {
    return fail(Errc::invalid, "properties: more than 128 entries, or no entries behind the count");
  }
  return std::span<const daos_prop_entry>(prop->dpp_entries, prop->dpp_nr);
}

Result<client::PropValue> pointer_value(const daos_prop_entry& entry) {
  if (entry.dpe_val_ptr == nullptr) return fail(Errc::invalid, "property: NULL value");
  if (entry.dpe_type == DAOS_PROP_CO_ROOTS) {
    const ByteView bytes = view_of(entry.dpe_val_ptr, sizeof(daos_prop_co_roots));
    return Bytes(bytes.begin(), bytes.end());
  }
  auto* const acl = static_cast<daos_acl*>(entry.dpe_val_ptr);
  if (daos_acl_validate(acl) != 0) return fail(Errc::invalid, "property: malformed ACL");
  const ByteView bytes = view_of(acl, static_cast<size_t>(daos_acl_get_size(acl)));
  return Bytes(bytes.begin(), bytes.end());
}

/// One entry that may be set by a program, checked.
Result<client::PropValue> value_of(const PropRule& rule, const daos_prop_entry& entry) {
  if (rule.kind == ValueKind::pointer) return pointer_value(entry);
  if (rule.kind == ValueKind::number) {
    if (!number_is_valid(rule, entry.dpe_val)) {
      return fail(Errc::invalid, "property: number out of its range");
    }
    return client::PropValue(entry.dpe_val);
  }
  if (entry.dpe_str == nullptr) return fail(Errc::invalid, "property: NULL string");
  if (rule.type == DAOS_PROP_CO_LABEL) {
    TRY(ok, model::check_label(entry.dpe_str));
  } else if (!daos_acl_principal_is_valid(entry.dpe_str)) {
    return fail(Errc::invalid, "property: an owner has the form \"name@\"");
  }
  return client::PropValue(std::string(entry.dpe_str));
}

/// What a query's answers are made of; `found` is null where nothing was set.
struct Source {
  std::string_view label;
  const client::Props* props;
  const PropRule* (*rule_of)(uint32_t type);
};

Result<void> put_text(daos_prop_entry& entry, std::string_view text) {
  entry.dpe_str = strndup(text.data(), text.size());
  if (entry.dpe_str == nullptr) return fail(Errc::no_memory, "property: no memory for a string");
  return {};
}

Result<void> put_bytes(daos_prop_entry& entry, ByteView bytes) {
  entry.dpe_val_ptr = std::malloc(bytes.size());
  if (entry.dpe_val_ptr == nullptr) return fail(Errc::no_memory, "property: no memory for a value");
  std::memcpy(entry.dpe_val_ptr, bytes.data(), bytes.size());
  return {};
}

/// The ACL of a pool or container that was made without one.
Result<void> put_default_acl(daos_prop_entry& entry, bool pool) {
  daos_ace* owner = daos_ace_create(DAOS_ACL_OWNER, nullptr);
  daos_ace* group = daos_ace_create(DAOS_ACL_OWNER_GROUP, nullptr);
  daos_acl* acl = nullptr;
  if (owner != nullptr && group != nullptr) {
    constexpr uint64_t kReadWrite = DAOS_ACL_PERM_READ | DAOS_ACL_PERM_WRITE;
    owner->dae_access_types = group->dae_access_types = DAOS_ACL_ACCESS_ALLOW;
    owner->dae_allow_perms = pool ? kReadWrite : uint64_t{DAOS_ACL_PERM_CONT_ALL};
    group->dae_allow_perms =
        pool ? kReadWrite : kReadWrite | DAOS_ACL_PERM_GET_PROP | DAOS_ACL_PERM_SET_PROP;
    daos_ace* both[] = {owner, group};
    acl = daos_acl_create(both, 2);
  }
  daos_ace_free(owner);
  daos_ace_free(group);
  if (acl == nullptr) return fail(Errc::no_memory, "property: no memory for an ACL");
  entry.dpe_val_ptr = acl;
  return {};
}

Result<void> put_default_roots(daos_prop_entry& entry) {
  daos_prop_co_roots roots{};
  // The first root: user bits 0, type 0, the class chosen without hints; on one target that is S1.
  roots.cr_oids[0].hi = uint64_t{0x00010001} << 32;
  return put_bytes(entry, view_of(&roots, sizeof roots));
}

Result<void> put_default_ranks(daos_prop_entry& entry) {
  auto* const list = static_cast<d_rank_list_t*>(std::calloc(1, sizeof(d_rank_list_t)));
  auto* const ranks = static_cast<d_rank_t*>(std::calloc(1, sizeof(d_rank_t)));
  if (list == nullptr || ranks == nullptr) {
    std::free(list);
    std::free(ranks);
    return fail(Errc::no_memory, "property: no memory for a rank list");
  }
  *list = {ranks, 1};
  entry.dpe_val_ptr = list;
  return {};
}

Result<void> put_default(const PropRule& rule, daos_prop_entry& entry) {
  switch (rule.type) {
    case DAOS_PROP_PO_OWNER:
    case DAOS_PROP_CO_OWNER:
      return put_text(entry, caller_user());
    case DAOS_PROP_PO_OWNER_GROUP:
    case DAOS_PROP_CO_OWNER_GROUP:
      return put_text(entry, caller_group());
    case CAIRN_PROP_CO_WORM_SEALED:
      entry.dpe_flags = DAOS_PROP_ENTRY_NOT_SET;
      return {};
    case DAOS_PROP_PO_ACL:
      return put_default_acl(entry, true);
    case DAOS_PROP_CO_ACL:
      return put_default_acl(entry, false);
    case DAOS_PROP_CO_ROOTS:
      return put_default_roots(entry);
    case DAOS_PROP_PO_SVC_LIST:
      return put_default_ranks(entry);
    default:
      entry.dpe_val = rule.initial;
      return {};
  }
}

Result<void> put_value(const PropRule& rule, const Source& source, daos_prop_entry& entry) {
  entry.dpe_flags = 0;
  entry.dpe_val = 0;
  if (rule.type == DAOS_PROP_CO_LABEL || rule.type == DAOS_PROP_PO_LABEL) {
    if (!source.label.empty()) return put_text(entry, source.label);
    entry.dpe_flags = DAOS_PROP_ENTRY_NOT_SET;
    return {};
  }
  const auto found = source.props->find(rule.type);
  if (found == source.props->end()) return put_default(rule, entry);
  if (const auto* number = std::get_if<uint64_t>(&found->second)) {
    entry.dpe_val = *number;
    return {};
  }
  if (const auto* text = std::get_if<std::string>(&found->second)) return put_text(entry, *text);
  return put_bytes(entry, std::get<Bytes>(found->second));
}

Result<void> answer(daos_prop_t* prop, std::span<const PropRule> rules, const Source& source) {
  if (prop == nullptr) return {};
  TRY(entries, entries_of(prop));
  if (entries.empty()) {
    daos_prop_t* const all = daos_prop_alloc(static_cast<uint32_t>(rules.size()));
    if (all == nullptr) return fail(Errc::no_memory, "properties: no memory for the list");
    for (size_t i = 0; i < rules.size(); ++i) {
      all->dpp_entries[i].dpe_type = rules[i].type;
      TRY(done, put_value(rules[i], source, all->dpp_entries[i]));
    }
    prop->dpp_nr = all->dpp_nr;
    prop->dpp_entries = all->dpp_entries;
    std::free(all);
    return {};
  }
  std::set<uint32_t> seen;
  for (const daos_prop_entry& entry : entries) {
    if (source.rule_of(entry.dpe_type) == nullptr || !seen.insert(entry.dpe_type).second) {
      return fail(Errc::invalid, "properties: an unknown or repeated type is asked for");
    }
  }
  for (uint32_t i = 0; i < prop->dpp_nr; ++i) {
    daos_prop_entry& entry = prop->dpp_entries[i];
    TRY(done, put_value(*source.rule_of(entry.dpe_type), source, entry));
  }
  return {};
}

const PropRule* pool_prop_rule(uint32_t type) {
  for (const PropRule& rule : pool_prop_rules()) {
    if (rule.type == type) return &rule;
  }
  return nullptr;
}

}  // namespace

std::string caller_user() {
  const passwd* const account = getpwuid(geteuid());
  return (account != nullptr ? account->pw_name : std::to_string(geteuid())) + std::string("@");
}

std::string caller_group() {
  const group* const account = getgrgid(getegid());
  return (account != nullptr ? account->gr_name : std::to_string(getegid())) + std::string("@");
}

Result<ContCreation> creation_of(const daos_prop_t* prop, uint32_t redundancy_max) {
  TRY(entries, entries_of(prop));
  ContCreation out;
  for (const daos_prop_entry& entry : entries) {
    const PropRule* const rule = cont_prop_rule(entry.dpe_type);
    if (rule == nullptr || rule->settable == Settable::by_system ||
        entry.dpe_type == DAOS_PROP_CO_STATUS) {
      return fail(Errc::invalid, "container property: unknown, or only the system sets it");
    }
    TRY(value, value_of(*rule, entry));
    if (entry.dpe_type == DAOS_PROP_CO_REDUN_FAC && entry.dpe_val > redundancy_max) {
      return fail(Errc::invalid, "rd_fac: the pool has too few fault domains; use 0");
    }
    if (entry.dpe_type == DAOS_PROP_CO_LABEL) {
      out.label = entry.dpe_str;
      continue;
    }
    if ((entry.dpe_type == DAOS_PROP_CO_OWNER && entry.dpe_str != caller_user()) ||
        (entry.dpe_type == DAOS_PROP_CO_OWNER_GROUP && entry.dpe_str != caller_group())) {
      return fail(Errc::invalid, "container owner: only the caller; change it afterwards");
    }
    if (!out.props.emplace(entry.dpe_type, std::move(value)).second) {
      return fail(Errc::invalid, "container property: given twice");
    }
  }
  return out;
}

Result<client::Props> change_of(const daos_prop_t* prop) {
  TRY(entries, entries_of(prop));
  if (entries.empty()) return fail(Errc::invalid, "container properties: an empty list");
  client::Props out;
  for (const daos_prop_entry& entry : entries) {
    const PropRule* const rule = cont_prop_rule(entry.dpe_type);
    if (rule == nullptr || rule->settable == Settable::by_system) {
      return fail(Errc::invalid, "container property: unknown, or only the system sets it");
    }
    if (entry.dpe_type == DAOS_PROP_CO_STATUS) {
      daos_co_status status;
      daos_prop_val_2_co_status(entry.dpe_val, &status);
      if (status.dcs_status != DAOS_PROP_CO_HEALTHY) {
        return fail(Errc::invalid, "container status: can only be set to healthy");
      }
      continue;  // it is healthy
    }
    TRY(value, value_of(*rule, entry));
    if (rule->settable == Settable::at_create) {
      return fail(Errc::no_perm, "container property: can only be given at creation");
    }
    out.insert_or_assign(entry.dpe_type, std::move(value));
  }
  return out;
}

Result<void> answer_cont(daos_prop_t* prop, const client::ContInfo& info) {
  return answer(prop, cont_prop_rules(), {info.label, &info.props, cont_prop_rule});
}

Result<void> answer_pool(daos_prop_t* prop, const client::PoolInfo& info) {
  return answer(prop, pool_prop_rules(), {info.label, &info.props, pool_prop_rule});
}

}  // namespace cairn::capi
