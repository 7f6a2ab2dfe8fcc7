// Access control lists in memory. Entries stand one behind the other, sorted by kind of principal,
// each padded to 8 bytes. A list that a program gives is walked only after daos_acl_validate().
#include <daos_cont.h>
#include <daos_pool.h>
#include <daos_security.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

namespace {

constexpr size_t kHead = sizeof(daos_ace);
static_assert(kHead == 32);

bool named(unsigned type) { return type == DAOS_ACL_USER || type == DAOS_ACL_GROUP; }
bool group_kind(unsigned type) { return type == DAOS_ACL_OWNER_GROUP || type == DAOS_ACL_GROUP; }

size_t ace_bytes(const daos_ace* ace) { return kHead + ace->dae_principal_len; }

bool same_principal(const daos_ace* a, const daos_ace* b) {
  if (a->dae_principal_type != b->dae_principal_type) return false;
  return !named(a->dae_principal_type) ||
         std::strncmp(a->dae_principal, b->dae_principal, DAOS_ACL_MAX_PRINCIPAL_BUF_LEN) == 0;
}

/// The entry at `offset`, if a whole one is there.
daos_ace* ace_at(const daos_acl* acl, size_t offset) {
  if (offset + kHead > acl->dal_len) return nullptr;
  auto* const ace = reinterpret_cast<daos_ace*>(const_cast<uint8_t*>(acl->dal_ace) + offset);
  return offset + ace_bytes(ace) <= acl->dal_len ? ace : nullptr;
}

bool perms_fit(const daos_ace* ace, uint8_t access, uint64_t perms) {
  if ((perms & ~uint64_t{DAOS_ACL_PERM_ALL}) != 0) return false;
  return perms == 0 || (ace->dae_access_types & access) != 0;
}

/// A list of copies, in order of kind; entries of one kind stay as they stand. Null: too long, no
/// memory.
daos_acl* build(std::vector<const daos_ace*> aces) {
  size_t bytes = 0;
  for (const daos_ace* ace : aces) bytes += ace_bytes(ace);
  if (bytes > DAOS_ACL_MAX_ACE_LEN) return nullptr;
  auto* const acl = static_cast<daos_acl*>(std::calloc(1, sizeof(daos_acl) + bytes));
  if (acl == nullptr) return nullptr;
  acl->dal_ver = DAOS_ACL_VERSION;
  for (unsigned type = 0; type < NUM_DAOS_ACL_TYPES; ++type) {
    for (const daos_ace* ace : aces) {
      if (ace->dae_principal_type != type) continue;
      std::memcpy(acl->dal_ace + acl->dal_len, ace, ace_bytes(ace));
      acl->dal_len += static_cast<uint32_t>(ace_bytes(ace));
    }
  }
  return acl;
}

std::vector<const daos_ace*> entries_of(daos_acl* acl) {
  std::vector<const daos_ace*> out;
  for (daos_ace* ace = nullptr; (ace = daos_acl_get_next_ace(acl, ace)) != nullptr;) {
    out.push_back(ace);
  }
  return out;
}

/// Rights by the first rule that applies (reference pool_container.md section 6).
uint64_t evaluate(daos_acl* acl, const std::string& user, const std::vector<std::string>& groups,
                  const std::string& owner, const std::string& owner_group) {
  uint64_t from_groups = 0;
  bool any_group = false;
  uint64_t everyone = 0;
  for (const daos_ace* ace : entries_of(acl)) {
    const std::string name = named(ace->dae_principal_type) ? ace->dae_principal : "";
    const auto member = [&](const std::string& of) {
      return std::find(groups.begin(), groups.end(), of) != groups.end();
    };
    switch (ace->dae_principal_type) {
      case DAOS_ACL_OWNER:
        if (user == owner) return ace->dae_allow_perms;
        break;
      case DAOS_ACL_USER:
        if (user == name) return ace->dae_allow_perms;
        break;
      case DAOS_ACL_OWNER_GROUP:
      case DAOS_ACL_GROUP:
        if (!member(ace->dae_principal_type == DAOS_ACL_GROUP ? name : owner_group)) break;
        any_group = true;
        from_groups |= ace->dae_allow_perms;
        break;
      default:
        everyone = ace->dae_allow_perms;
    }
  }
  return any_group ? from_groups : everyone;
}

struct PermsQuery {
  uint32_t acl, owner, owner_group;  // property numbers
  uid_t uid;
  const gid_t* gids;
  size_t gid_count;
  uint64_t owner_always;
};

int perms_of(daos_prop_t* prop, PermsQuery q, uint64_t* perms) {
  if (prop == nullptr || perms == nullptr || (q.gids == nullptr && q.gid_count != 0)) {
    return -DER_INVAL;
  }
  const daos_prop_entry* const acl = daos_prop_entry_get(prop, q.acl);
  const daos_prop_entry* const owner = daos_prop_entry_get(prop, q.owner);
  const daos_prop_entry* const group = daos_prop_entry_get(prop, q.owner_group);
  if (acl == nullptr || owner == nullptr || group == nullptr || owner->dpe_str == nullptr ||
      group->dpe_str == nullptr ||
      daos_acl_validate(static_cast<daos_acl*>(acl->dpe_val_ptr)) != 0) {
    return -DER_INVAL;
  }
  char* name = nullptr;
  int rc = daos_acl_uid_to_principal(q.uid, &name);
  if (rc != 0) return rc;
  const std::string user = name;
  std::free(name);
  std::vector<std::string> groups;
  for (size_t i = 0; i < q.gid_count; ++i) {
    rc = daos_acl_gid_to_principal(q.gids[i], &name);
    if (rc != 0) return rc;
    groups.emplace_back(name);
    std::free(name);
  }
  *perms = evaluate(static_cast<daos_acl*>(acl->dpe_val_ptr), user, groups, owner->dpe_str,
                    group->dpe_str);
  if (user == owner->dpe_str) *perms |= q.owner_always;
  return 0;
}

int name_to_principal(const char* account, char** name) {
  if (account == nullptr) return -DER_NONEXIST;
  *name = strdup((std::string(account) + "@").c_str());
  return *name == nullptr ? -DER_NOMEM : 0;
}

}  // namespace

extern "C" {

struct daos_acl* daos_acl_create(struct daos_ace** aces, uint16_t num_aces) {
  if (aces == nullptr && num_aces != 0) return nullptr;
  std::vector<const daos_ace*> list;
  for (uint16_t i = 0; i < num_aces; ++i) {
    if (!daos_ace_is_valid(aces[i])) return nullptr;
    for (const daos_ace* other : list) {
      if (same_principal(other, aces[i])) return nullptr;
    }
    list.push_back(aces[i]);
  }
  return build(std::move(list));
}

struct daos_acl* daos_acl_dup(struct daos_acl* acl) {
  const ssize_t bytes = daos_acl_get_size(acl);
  if (bytes < 0) return nullptr;
  auto* const copy = static_cast<daos_acl*>(std::malloc(static_cast<size_t>(bytes)));
  if (copy != nullptr) std::memcpy(static_cast<void*>(copy), acl, static_cast<size_t>(bytes));
  return copy;
}

void daos_acl_free(struct daos_acl* acl) { std::free(acl); }

ssize_t daos_acl_get_size(struct daos_acl* acl) {
  if (acl == nullptr || acl->dal_len > DAOS_ACL_MAX_ACE_LEN || acl->dal_len % 8 != 0) {
    return -DER_INVAL;
  }
  return static_cast<ssize_t>(sizeof(daos_acl) + acl->dal_len);
}

struct daos_ace* daos_acl_get_next_ace(struct daos_acl* acl, struct daos_ace* current_ace) {
  if (daos_acl_get_size(acl) < 0) return nullptr;
  if (current_ace == nullptr) return ace_at(acl, 0);
  const auto* const at = reinterpret_cast<const uint8_t*>(current_ace);
  if (at < acl->dal_ace || at >= acl->dal_ace + acl->dal_len) return nullptr;
  return ace_at(acl, static_cast<size_t>(at - acl->dal_ace) + ace_bytes(current_ace));
}

int daos_acl_get_ace_for_principal(struct daos_acl* acl, enum daos_acl_principal_type type,
                                   const char* principal, struct daos_ace** ace) try {
  if (acl == nullptr || ace == nullptr || (named(type) && principal == nullptr)) return -DER_INVAL;
  for (daos_ace* at = nullptr; (at = daos_acl_get_next_ace(acl, at)) != nullptr;) {
    if (at->dae_principal_type != type) continue;
    if (named(type) && std::strncmp(at->dae_principal, principal, at->dae_principal_len) != 0) {
      continue;
    }
    *ace = at;
    return 0;
  }
  return -DER_NONEXIST;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_acl_add_ace(struct daos_acl** acl, struct daos_ace* new_ace) try {
  if (acl == nullptr || *acl == nullptr || !daos_ace_is_valid(new_ace)) return -DER_INVAL;
  std::vector<const daos_ace*> list = entries_of(*acl);
  std::erase_if(list, [&](const daos_ace* ace) { return same_principal(ace, new_ace); });
  list.push_back(new_ace);
  daos_acl* const grown = build(std::move(list));
  if (grown == nullptr) return -DER_NOMEM;
  std::free(*acl);
  *acl = grown;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_acl_remove_ace(struct daos_acl** acl, enum daos_acl_principal_type type,
                        const char* principal_name) try {
  if (acl == nullptr || *acl == nullptr) return -DER_INVAL;
  daos_ace* found = nullptr;
  const int rc = daos_acl_get_ace_for_principal(*acl, type, principal_name, &found);
  if (rc != 0) return rc;
  std::vector<const daos_ace*> list = entries_of(*acl);
  std::erase(list, found);
  daos_acl* const smaller = build(std::move(list));
  if (smaller == nullptr) return -DER_NOMEM;
  std::free(*acl);
  *acl = smaller;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_acl_validate(struct daos_acl* acl) try {
  if (daos_acl_get_size(acl) < 0 || acl->dal_ver != DAOS_ACL_VERSION) return -DER_INVAL;
  std::vector<const daos_ace*> seen;
  for (size_t offset = 0; offset < acl->dal_len;) {
    daos_ace* const ace = ace_at(acl, offset);
    if (ace == nullptr || !daos_ace_is_valid(ace)) return -DER_INVAL;
    if (!seen.empty() && seen.back()->dae_principal_type > ace->dae_principal_type) {
      return -DER_INVAL;
    }
    for (const daos_ace* other : seen) {
      if (same_principal(other, ace)) return -DER_INVAL;
    }
    seen.push_back(ace);
    offset += ace_bytes(ace);
  }
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

struct daos_ace* daos_ace_create(enum daos_acl_principal_type type, const char* principal_name) {
  if (static_cast<unsigned>(type) >= NUM_DAOS_ACL_TYPES) return nullptr;
  size_t name_bytes = 0;
  if (named(type)) {
    if (!daos_acl_principal_is_valid(principal_name)) return nullptr;
    name_bytes = (std::strlen(principal_name) + 8) / 8 * 8;
  }
  auto* const ace = static_cast<daos_ace*>(std::calloc(1, kHead + name_bytes));
  if (ace == nullptr) return nullptr;
  ace->dae_principal_type = static_cast<uint8_t>(type);
  ace->dae_principal_len = static_cast<uint16_t>(name_bytes);
  if (group_kind(type)) ace->dae_access_flags = DAOS_ACL_FLAG_GROUP;
  if (named(type)) std::strcpy(ace->dae_principal, principal_name);
  return ace;
}

void daos_ace_free(struct daos_ace* ace) { std::free(ace); }

ssize_t daos_ace_get_size(struct daos_ace* ace) {
  return ace == nullptr ? -DER_INVAL : static_cast<ssize_t>(ace_bytes(ace));
}

bool daos_ace_is_valid(struct daos_ace* ace) {
  if (ace == nullptr || ace->dae_principal_type >= NUM_DAOS_ACL_TYPES) return false;
  if (ace->dae_access_types == 0 || (ace->dae_access_types & ~DAOS_ACL_ACCESS_ALL) != 0)
    return false;
  if ((ace->dae_access_flags & ~DAOS_ACL_FLAG_ALL) != 0) return false;
  if (ace->dae_principal_len % 8 != 0) return false;
  const unsigned type = ace->dae_principal_type;
  if (((ace->dae_access_flags & DAOS_ACL_FLAG_GROUP) != 0) != group_kind(type)) return false;
  constexpr unsigned kOutcomes = DAOS_ACL_FLAG_ACCESS_FAIL | DAOS_ACL_FLAG_ACCESS_SUCCESS;
  constexpr unsigned kWatching = DAOS_ACL_ACCESS_AUDIT | DAOS_ACL_ACCESS_ALARM;
  if (((ace->dae_access_flags & kOutcomes) != 0) != ((ace->dae_access_types & kWatching) != 0)) {
    return false;
  }
  if (!perms_fit(ace, DAOS_ACL_ACCESS_ALLOW, ace->dae_allow_perms) ||
      !perms_fit(ace, DAOS_ACL_ACCESS_AUDIT, ace->dae_audit_perms) ||
      !perms_fit(ace, DAOS_ACL_ACCESS_ALARM, ace->dae_alarm_perms)) {
    return false;
  }
  if (!named(type)) return ace->dae_principal_len == 0;
  return strnlen(ace->dae_principal, ace->dae_principal_len) < ace->dae_principal_len &&
         daos_acl_principal_is_valid(ace->dae_principal);
}

bool daos_acl_principal_is_valid(const char* name) {
  if (name == nullptr) return false;
  const size_t bytes = strnlen(name, DAOS_ACL_MAX_PRINCIPAL_LEN + 1);
  const char* const at = std::strchr(name, '@');
  return bytes <= DAOS_ACL_MAX_PRINCIPAL_LEN && at != nullptr && at != name &&
         std::strchr(at + 1, '@') == nullptr;
}

int daos_acl_uid_to_principal(uid_t uid, char** name) {
  if (name == nullptr) return -DER_INVAL;
  const passwd* const account = getpwuid(uid);
  return name_to_principal(account == nullptr ? nullptr : account->pw_name, name);
}

int daos_acl_gid_to_principal(gid_t gid, char** name) {
  if (name == nullptr) return -DER_INVAL;
  const group* const account = getgrgid(gid);
  return name_to_principal(account == nullptr ? nullptr : account->gr_name, name);
}

int daos_acl_principal_to_uid(const char* principal, uid_t* uid) try {
  if (uid == nullptr || !daos_acl_principal_is_valid(principal)) return -DER_INVAL;
  const std::string name(principal, std::strchr(principal, '@'));
  const passwd* const account = getpwnam(name.c_str());
  if (account == nullptr) return -DER_NONEXIST;
  *uid = account->pw_uid;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_acl_principal_to_gid(const char* principal, gid_t* gid) try {
  if (gid == nullptr || !daos_acl_principal_is_valid(principal)) return -DER_INVAL;
  const std::string name(principal, std::strchr(principal, '@'));
  const group* const account = getgrnam(name.c_str());
  if (account == nullptr) return -DER_NONEXIST;
  *gid = account->gr_gid;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_pool_get_perms(daos_prop_t* pool_prop, uid_t uid, gid_t* gids, size_t nr_gids,
                        uint64_t* perms) {
  return perms_of(pool_prop,
                  {.acl = DAOS_PROP_PO_ACL,
                   .owner = DAOS_PROP_PO_OWNER,
                   .owner_group = DAOS_PROP_PO_OWNER_GROUP,
                   .uid = uid,
                   .gids = gids,
                   .gid_count = nr_gids,
                   .owner_always = 0},
                  perms);
}

int daos_cont_get_perms(daos_prop_t* cont_prop, uid_t uid, gid_t* gids, size_t nr_gids,
                        uint64_t* perms) {
  return perms_of(cont_prop,
                  {.acl = DAOS_PROP_CO_ACL,
                   .owner = DAOS_PROP_CO_OWNER,
                   .owner_group = DAOS_PROP_CO_OWNER_GROUP,
                   .uid = uid,
                   .gids = gids,
                   .gid_count = nr_gids,
                   .owner_always = DAOS_ACL_PERM_GET_ACL | DAOS_ACL_PERM_SET_ACL},
                  perms);
}

}  // extern "C"
