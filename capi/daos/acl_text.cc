// Access control lists as text: "access:flags:principal:rights", and the same in words.
#include <daos_security.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Letter {
  char letter;
  uint64_t bit;
  const char* word;
};
constexpr std::array kAccess{Letter{'A', DAOS_ACL_ACCESS_ALLOW, "Allow"},
                             Letter{'U', DAOS_ACL_ACCESS_AUDIT, "Audit"},
                             Letter{'L', DAOS_ACL_ACCESS_ALARM, "Alarm"}};
constexpr std::array kFlags{Letter{'G', DAOS_ACL_FLAG_GROUP, "Group"},
                            Letter{'S', DAOS_ACL_FLAG_ACCESS_SUCCESS, "Access-Success"},
                            Letter{'F', DAOS_ACL_FLAG_ACCESS_FAIL, "Access-Failure"},
                            Letter{'P', DAOS_ACL_FLAG_POOL_INHERIT, "Pool-Inherit"}};
constexpr std::array kPerms{Letter{'r', DAOS_ACL_PERM_READ, "Read"},
                            Letter{'w', DAOS_ACL_PERM_WRITE, "Write"},
                            Letter{'c', DAOS_ACL_PERM_CREATE_CONT, "Create-Container"},
                            Letter{'d', DAOS_ACL_PERM_DEL_CONT, "Delete-Container"},
                            Letter{'t', DAOS_ACL_PERM_GET_PROP, "Get-Prop"},
                            Letter{'T', DAOS_ACL_PERM_SET_PROP, "Set-Prop"},
                            Letter{'a', DAOS_ACL_PERM_GET_ACL, "Get-ACL"},
                            Letter{'A', DAOS_ACL_PERM_SET_ACL, "Set-ACL"},
                            Letter{'o', DAOS_ACL_PERM_SET_OWNER, "Set-Owner"}};

template <size_t N>
bool parse_letters(const std::array<Letter, N>& known, std::string_view text, uint64_t* bits) {
  *bits = 0;
  for (const char c : text) {
    uint64_t bit = 0;
    for (const Letter& l : known) {
      if (l.letter == c) bit = l.bit;
    }
    if (bit == 0) return false;
    *bits |= bit;
  }
  return true;
}

template <size_t N>
std::string letters_of(const std::array<Letter, N>& known, uint64_t bits) {
  std::string out;
  for (const Letter& l : known) {
    if ((bits & l.bit) != 0) out += l.letter;
  }
  return out;
}

template <size_t N>
std::string words_of(const std::array<Letter, N>& known, uint64_t bits, const char* none) {
  std::string out;
  for (const Letter& l : known) {
    if ((bits & l.bit) == 0) continue;
    if (!out.empty()) out += '/';
    out += l.word;
  }
  return out.empty() ? none : out;
}

uint64_t perms_of(const daos_ace& ace) {
  return ace.dae_allow_perms | ace.dae_audit_perms | ace.dae_alarm_perms;
}

daos_acl_principal_type type_of(std::string_view principal, bool group) {
  if (principal == DAOS_ACL_PRINCIPAL_OWNER) return DAOS_ACL_OWNER;
  if (principal == DAOS_ACL_PRINCIPAL_OWNER_GRP) return DAOS_ACL_OWNER_GROUP;
  if (principal == DAOS_ACL_PRINCIPAL_EVERYONE) return DAOS_ACL_EVERYONE;
  return group ? DAOS_ACL_GROUP : DAOS_ACL_USER;
}

/// Both kinds of right are given by one letter string, so they must agree.
bool one_set_of_perms(const daos_ace& ace) {
  const uint64_t perms = perms_of(ace);
  const auto agrees = [&](uint8_t access, uint64_t given) {
    return (ace.dae_access_types & access) == 0 || given == perms;
  };
  return agrees(DAOS_ACL_ACCESS_ALLOW, ace.dae_allow_perms) &&
         agrees(DAOS_ACL_ACCESS_AUDIT, ace.dae_audit_perms) &&
         agrees(DAOS_ACL_ACCESS_ALARM, ace.dae_alarm_perms);
}

int put(const std::string& text, char* buf, size_t buf_len) {
  if (text.size() + 1 > buf_len) {
    if (buf_len != 0) {
      std::memcpy(buf, text.data(), buf_len - 1);
      buf[buf_len - 1] = '\0';
    }
    return -DER_TRUNC;
  }
  std::memcpy(buf, text.c_str(), text.size() + 1);
  return 0;
}

}  // namespace

extern "C" {

const char* daos_ace_get_principal_str(struct daos_ace* ace) {
  if (ace == nullptr) return nullptr;
  switch (ace->dae_principal_type) {
    case DAOS_ACL_OWNER:
      return DAOS_ACL_PRINCIPAL_OWNER;
    case DAOS_ACL_OWNER_GROUP:
      return DAOS_ACL_PRINCIPAL_OWNER_GRP;
    case DAOS_ACL_EVERYONE:
      return DAOS_ACL_PRINCIPAL_EVERYONE;
    default:
      return ace->dae_principal;
  }
}

int daos_ace_from_str(const char* str, struct daos_ace** ace) try {
  if (str == nullptr || ace == nullptr) return -DER_INVAL;
  std::vector<std::string> fields(1);
  for (const char* at = str; *at != '\0'; ++at) {
    if (*at == ':')
      fields.emplace_back();
    else
      fields.back() += *at;
  }
  if (fields.size() != 4 || std::strlen(str) > DAOS_ACL_MAX_ACE_STR_LEN) return -DER_INVAL;
  uint64_t access = 0;
  uint64_t flags = 0;
  uint64_t perms = 0;
  if (!parse_letters(kAccess, fields[0], &access) || !parse_letters(kFlags, fields[1], &flags) ||
      !parse_letters(kPerms, fields[3], &perms) || access == 0) {
    return -DER_INVAL;
  }
  const auto type = type_of(fields[2], (flags & DAOS_ACL_FLAG_GROUP) != 0);
  daos_ace* const made = daos_ace_create(type, fields[2].c_str());
  if (made == nullptr) return -DER_INVAL;
  made->dae_access_types = static_cast<uint8_t>(access);
  made->dae_access_flags = static_cast<uint16_t>(flags);
  if ((access & DAOS_ACL_ACCESS_ALLOW) != 0) made->dae_allow_perms = perms;
  if ((access & DAOS_ACL_ACCESS_AUDIT) != 0) made->dae_audit_perms = perms;
  if ((access & DAOS_ACL_ACCESS_ALARM) != 0) made->dae_alarm_perms = perms;
  if (!daos_ace_is_valid(made)) {
    daos_ace_free(made);
    return -DER_INVAL;
  }
  *ace = made;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_ace_to_str(struct daos_ace* ace, char* buf, size_t buf_len) {
  if (ace == nullptr || buf == nullptr || buf_len == 0) return -DER_INVAL;
  if (!daos_ace_is_valid(ace) || !one_set_of_perms(*ace)) return -DER_INVAL;
  return put(letters_of(kAccess, ace->dae_access_types) + ":" +
                 letters_of(kFlags, ace->dae_access_flags) + ":" + daos_ace_get_principal_str(ace) +
                 ":" + letters_of(kPerms, perms_of(*ace)),
             buf, buf_len);
}

int daos_ace_str_get_verbose(const char* ace_str, char* buf, size_t buf_len) try {
  if (ace_str == nullptr || buf == nullptr || buf_len == 0) return -DER_INVAL;
  daos_ace* ace = nullptr;
  const int rc = daos_ace_from_str(ace_str, &ace);
  if (rc != 0) return rc;
  std::string principal = daos_ace_get_principal_str(ace);
  if (ace->dae_principal_type == DAOS_ACL_OWNER || ace->dae_principal_type == DAOS_ACL_EVERYONE ||
      ace->dae_principal_type == DAOS_ACL_OWNER_GROUP) {
    principal.pop_back();
    if (ace->dae_principal_type == DAOS_ACL_OWNER_GROUP) principal = "OWNER-GROUP";
  }
  const std::string text = words_of(kAccess, ace->dae_access_types, "None") + ":" +
                           words_of(kFlags, ace->dae_access_flags, "") + ":" + principal + ":" +
                           words_of(kPerms, perms_of(*ace), "No-Access");
  daos_ace_free(ace);
  return put(text, buf, buf_len);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_acl_from_strs(const char** ace_strs, size_t ace_nr, struct daos_acl** acl) try {
  if (ace_strs == nullptr || ace_nr == 0 || acl == nullptr || ace_nr > UINT16_MAX)
    return -DER_INVAL;
  std::vector<daos_ace*> aces(ace_nr, nullptr);
  int rc = 0;
  for (size_t i = 0; i < ace_nr && rc == 0; ++i) rc = daos_ace_from_str(ace_strs[i], &aces[i]);
  daos_acl* const made =
      rc == 0 ? daos_acl_create(aces.data(), static_cast<uint16_t>(ace_nr)) : nullptr;
  for (daos_ace* ace : aces) daos_ace_free(ace);
  if (rc != 0) return rc;
  if (made == nullptr) return -DER_INVAL;
  *acl = made;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_acl_to_strs(struct daos_acl* acl, char*** ace_strs, size_t* ace_nr) try {
  if (acl == nullptr || ace_strs == nullptr || ace_nr == nullptr || daos_acl_validate(acl) != 0) {
    return -DER_INVAL;
  }
  std::vector<std::string> texts;
  for (daos_ace* ace = nullptr; (ace = daos_acl_get_next_ace(acl, ace)) != nullptr;) {
    char text[DAOS_ACL_MAX_ACE_STR_LEN + 1];
    const int rc = daos_ace_to_str(ace, text, sizeof text);
    if (rc != 0) return rc;
    texts.emplace_back(text);
  }
  auto** const out = static_cast<char**>(std::calloc(texts.size() + 1, sizeof(char*)));
  if (out == nullptr) return -DER_NOMEM;
  for (size_t i = 0; i < texts.size(); ++i) out[i] = strdup(texts[i].c_str());
  *ace_strs = out;
  *ace_nr = texts.size();
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_acl_principal_from_str(const char* principal_str, enum daos_acl_principal_type* type,
                                char** name) try {
  if (principal_str == nullptr || type == nullptr || name == nullptr) return -DER_INVAL;
  *name = nullptr;
  const auto special = type_of(principal_str, false);
  if (special != DAOS_ACL_USER) {
    *type = special;
    return 0;
  }
  const std::string_view text = principal_str;
  const bool user = text.starts_with("u:");
  if (!user && !text.starts_with("g:")) return -DER_INVAL;
  if (!daos_acl_principal_is_valid(principal_str + 2)) return -DER_INVAL;
  *name = strdup(principal_str + 2);
  if (*name == nullptr) return -DER_NOMEM;
  *type = user ? DAOS_ACL_USER : DAOS_ACL_GROUP;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_acl_to_stream(FILE* stream, struct daos_acl* acl, bool verbose) try {
  if (stream == nullptr || (acl != nullptr && daos_acl_validate(acl) != 0)) return -DER_INVAL;
  int written = std::fprintf(stream, "# Entries:\n");
  daos_ace* ace = acl == nullptr ? nullptr : daos_acl_get_next_ace(acl, nullptr);
  if (ace == nullptr) written = std::fprintf(stream, "#   None\n");
  for (; ace != nullptr && written >= 0; ace = daos_acl_get_next_ace(acl, ace)) {
    char text[DAOS_ACL_MAX_ACE_STR_LEN + 1];
    char words[4 * sizeof text];
    if (daos_ace_to_str(ace, text, sizeof text) != 0) return -DER_INVAL;
    if (verbose && daos_ace_str_get_verbose(text, words, sizeof words) == 0) {
      written = std::fprintf(stream, "# %s\n", words);
    }
    written = std::fprintf(stream, "%s\n", text);
  }
  return written < 0 ? -DER_IO : 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

void daos_acl_dump(struct daos_acl* acl) { (void)daos_acl_to_stream(stdout, acl, true); }

void daos_ace_dump(struct daos_ace* ace, uint32_t tabs) {
  char text[DAOS_ACL_MAX_ACE_STR_LEN + 1];
  for (uint32_t i = 0; i < tabs; ++i) std::putchar('\t');
  std::puts(daos_ace_to_str(ace, text, sizeof text) == 0 ? text : "(no valid entry)");
}

}  // extern "C"
