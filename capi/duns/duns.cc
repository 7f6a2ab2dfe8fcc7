// The unified name space: paths of any file system that stand for containers.
#include <daos.h>
#include <daos_fs.h>
#include <daos_uns.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "capi/daos/bridge.h"
#include "capi/duns/parse.h"

using namespace cairn::capi;

namespace {

constexpr mode_t kDirMode = 0775;   // less the umask
constexpr mode_t kFileMode = 0644;

void put_name(char (&to)[DAOS_PROP_MAX_LABEL_BUF_LEN], const std::string& name) {
  const size_t length = name.copy(to, sizeof(to) - 1);
  to[length] = 0;
}

/// Names and, where they are UUIDs, their bytes.
void put_names(struct duns_attr_t* attr, const std::string& pool, const std::string& container) {
  put_name(attr->da_pool, pool);
  put_name(attr->da_cont, container);
  if (uuid_parse(attr->da_pool, attr->da_puuid) != 0) uuid_clear(attr->da_puuid);
  if (uuid_parse(attr->da_cont, attr->da_cuuid) != 0) uuid_clear(attr->da_cuuid);
}

int put_rest(struct duns_attr_t* attr, const std::string& rest) {
  attr->da_rel_path = nullptr;
  if (rest.empty()) return 0;
  attr->da_rel_path = strdup(rest.c_str());
  return attr->da_rel_path == nullptr ? ENOMEM : 0;
}

std::optional<DirectPath> direct_path(const char* path, const struct duns_attr_t& attr) {
  const bool bare = attr.da_no_prefix || (attr.da_flags & DUNS_NO_PREFIX) != 0;
  const bool unchecked = (attr.da_flags & DUNS_NO_CHECK_PATH) != 0;
  if (auto direct = parse_direct_path(path)) return direct;
  if (bare) return parse_bare_path(path, unchecked);
  return unchecked ? parse_unchecked_path(path) : std::nullopt;
}

/// The attribute of one path. @returns 0, ENODATA, ENOTSUP, ERANGE, EINVAL, ...
int read_link(const char* path, struct duns_attr_t* attr) {
  char text[DUNS_MAX_XATTR_LEN];
  const ssize_t length = getxattr(path, DUNS_XATTR_NAME, text, sizeof(text));
  if (length < 0) return errno;
  return duns_parse_attr(text, static_cast<daos_size_t>(length), attr);
}

/// From the real path upwards.
int walk_up(const char* path, struct duns_attr_t* attr) {
  const std::unique_ptr<char, void (*)(void*)> real{realpath(path, nullptr), free};
  if (real == nullptr) return errno;
  std::string here = real.get();
  std::string rest;
  for (;;) {
    const int rc = read_link(here.c_str(), attr);
    if (rc == 0) return put_rest(attr, rest);
    if (rc != ENODATA || here == "/" || (attr->da_flags & DUNS_NO_REVERSE_LOOKUP) != 0) return rc;
    const size_t slash = here.rfind('/');
    rest = here.substr(slash) + rest;
    here.resize(std::max<size_t>(slash, 1));
  }
}

int create_container(daos_handle_t poh, const std::string& label, struct duns_attr_t* attr,
                     uuid_t* uuid) {
  if (attr->da_type == DAOS_PROP_CO_LAYOUT_POSIX) {
    dfs_attr_t how{};
    how.da_oclass_id = attr->da_oclass_id;
    how.da_dir_oclass_id = attr->da_dir_oclass_id;
    how.da_file_oclass_id = attr->da_file_oclass_id;
    how.da_chunk_size = attr->da_chunk_size;
    how.da_props = attr->da_props;
    std::memcpy(how.da_hints, attr->da_hints, sizeof(how.da_hints));
    if (label.empty()) return dfs_cont_create(poh, uuid, &how, nullptr, nullptr);
    return dfs_cont_create_with_label(poh, label.c_str(), &how, uuid, nullptr, nullptr);
  }
  std::vector<daos_prop_entry> entries;
  for (uint32_t i = 0; attr->da_props != nullptr && i < attr->da_props->dpp_nr; ++i) {
    if (attr->da_props->dpp_entries[i].dpe_type == DAOS_PROP_CO_LAYOUT_TYPE) continue;
    entries.push_back(attr->da_props->dpp_entries[i]);
  }
  daos_prop_entry layout{};
  layout.dpe_type = DAOS_PROP_CO_LAYOUT_TYPE;
  layout.dpe_val = attr->da_type;
  entries.push_back(layout);
  daos_prop_t prop{};
  prop.dpp_nr = static_cast<uint32_t>(entries.size());
  prop.dpp_entries = entries.data();
  const int rc = label.empty()
                     ? daos_cont_create2(poh, uuid, &prop, nullptr)
                     : daos_cont_create_with_label(poh, label.c_str(), &prop, uuid, nullptr);
  return errno_of_der(rc);
}

/// The directory or file of a link, without its attribute yet. Must not exist.
int make_path(const char* path, uint16_t layout) {
  if (layout == DAOS_PROP_CO_LAYOUT_POSIX) return mkdir(path, kDirMode) == 0 ? 0 : errno;
  const int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, kFileMode);
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

int remove_path(const char* path, uint16_t layout) {
  const int rc = layout == DAOS_PROP_CO_LAYOUT_POSIX ? rmdir(path) : unlink(path);
  return rc == 0 ? 0 : errno;
}

int write_link(const char* path, const LinkText& link) {
  const std::string text = link_text(link);
  return setxattr(path, DUNS_XATTR_NAME, text.c_str(), text.size() + 1, XATTR_CREATE) == 0 ? 0
                                                                                           : errno;
}

std::string text_of(const uuid_t uuid) {
  char text[DAOS_UUID_STR_SIZE];
  uuid_unparse_lower(uuid, text);
  return text;
}

int pool_uuid(daos_handle_t poh, std::string& out) {
  const auto pool = pool_of(poh);
  if (!pool) return errno_of_der(der_of(pool.error().code()));
  out = cairn::to_string((*pool)->uuid());
  return 0;
}

/// Path first, so that a taken one makes no container; everything is taken back if a step fails.
int create_linked(daos_handle_t poh, const char* path, struct duns_attr_t* attr) {
  std::string pool;
  int rc = pool_uuid(poh, pool);
  if (rc == 0) rc = make_path(path, attr->da_type);
  if (rc != 0) return rc;
  uuid_t uuid;
  rc = create_container(poh, "", attr, &uuid);
  if (rc == 0) {
    rc = write_link(path, {attr->da_type, pool, text_of(uuid)});
    if (rc != 0) (void)daos_cont_destroy2(poh, text_of(uuid).c_str(), 1, nullptr);
  }
  if (rc != 0) {
    (void)remove_path(path, attr->da_type);
    return rc;
  }
  put_names(attr, pool, text_of(uuid));
  return 0;
}

}  // namespace

int duns_resolve_path(const char* path, struct duns_attr_t* attr) try {
  if (path == nullptr || path[0] == 0 || attr == nullptr) return EINVAL;
  attr->da_sys = nullptr;
  attr->da_rel_path = nullptr;
  attr->da_on_lustre = false;
  if (const auto direct = direct_path(path, *attr)) {
    attr->da_type = DAOS_PROP_CO_LAYOUT_UNKNOWN;
    put_names(attr, direct->pool, direct->container);
    return put_rest(attr, direct->rest);
  }
  if ((attr->da_flags & DUNS_NO_CHECK_PATH) != 0) return EINVAL;
  return walk_up(path, attr);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int duns_create_path(daos_handle_t poh, const char* path, struct duns_attr_t* attrp) try {
  if (path == nullptr || path[0] == 0 || attrp == nullptr) return EINVAL;
  if (layout_name(attrp->da_type) == nullptr) return EINVAL;
  const auto direct = parse_direct_path(path);
  if (!direct) return create_linked(poh, path, attrp);
  if (direct->container.empty()) return EINVAL;
  uuid_t uuid;
  const int rc = create_container(poh, direct->container, attrp, &uuid);
  if (rc == 0) put_names(attrp, direct->pool, direct->container);
  return rc;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int duns_destroy_path(daos_handle_t poh, const char* path) try {
  if (path == nullptr || path[0] == 0) return EINVAL;
  if (const auto direct = parse_direct_path(path)) {
    if (direct->container.empty()) return EINVAL;
    return errno_of_der(daos_cont_destroy2(poh, direct->container.c_str(), 1, nullptr));
  }
  struct duns_attr_t attr{};
  int rc = read_link(path, &attr);
  if (rc != 0) return rc;
  rc = daos_cont_destroy2(poh, attr.da_cont, 1, nullptr);
  // A container that is gone already must not keep the path for ever.
  if (rc != 0 && rc != -DER_NONEXIST) return errno_of_der(rc);
  return remove_path(path, attr.da_type);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int duns_link_cont(daos_handle_t poh, const char* cont, const char* path) try {
  if (cont == nullptr || path == nullptr || path[0] == 0) return EINVAL;
  std::string pool;
  int rc = pool_uuid(poh, pool);
  if (rc != 0) return rc;
  daos_handle_t coh{};
  rc = daos_cont_open2(poh, cont, DAOS_COO_RO, &coh, nullptr, nullptr);
  if (rc != 0) return errno_of_der(rc);
  daos_prop_entry entry{};
  entry.dpe_type = DAOS_PROP_CO_LAYOUT_TYPE;
  daos_prop_t prop{};
  prop.dpp_nr = 1;
  prop.dpp_entries = &entry;
  daos_cont_info_t info{};
  rc = errno_of_der(daos_cont_query(coh, &info, &prop, nullptr));
  (void)daos_cont_close(coh, nullptr);
  if (rc != 0) return rc;
  const auto layout = static_cast<uint16_t>(entry.dpe_val);
  if (layout_name(layout) == nullptr) return EINVAL;
  rc = make_path(path, layout);
  if (rc != 0) return rc;
  rc = write_link(path, {layout, pool, text_of(info.ci_uuid)});
  if (rc != 0) (void)remove_path(path, layout);
  return rc;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int duns_parse_attr(char* str, daos_size_t len, struct duns_attr_t* attr) try {
  if (str == nullptr || attr == nullptr) return EINVAL;
  const auto link = parse_link_text({str, len});
  if (!link) return EINVAL;
  attr->da_type = link->layout;
  put_names(attr, link->pool, link->container);
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int duns_set_sys_name(struct duns_attr_t* attrp, const char* sys) try {
  if (attrp == nullptr || sys == nullptr) return EINVAL;
  char* const copy = strdup(sys);
  if (copy == nullptr) return ENOMEM;
  free(attrp->da_sys);
  attrp->da_sys = copy;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

void duns_destroy_attr(struct duns_attr_t* attrp) {
  if (attrp == nullptr) return;
  free(attrp->da_rel_path);
  free(attrp->da_sys);
  attrp->da_rel_path = nullptr;
  attrp->da_sys = nullptr;
}
