/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Unified name space: paths that stand for containers. Calls return 0 or a positive errno.
 */
#ifndef DAOS_UNS_H
#define DAOS_UNS_H

#include <daos_cont.h>
#include <daos_obj_class.h>
#include <daos_prop.h>

#if defined(__cplusplus)
extern "C" {
#endif

#define DUNS_XATTR_NAME "user.daos"
#define DUNS_MAX_XATTR_LEN 170
#define DUNS_XATTR_FMT "DAOS.%s://%36s/%36s"
#define DUNS_LUSTRE_XATTR_FMT "%36s/%36s"

/** da_flags of duns_resolve_path(). */
enum {
  /** "/pool/cont" without "daos:" in front. */
  DUNS_NO_PREFIX = 1 << 0,
  /** Do not look at parent directories. */
  DUNS_NO_REVERSE_LOOKUP = 1 << 1,
  /** Do not look at the file system. */
  DUNS_NO_CHECK_PATH = 1 << 2
};

/** Zero it before use; free what a call put into it with duns_destroy_attr(). */
struct duns_attr_t {
  daos_cont_layout_t da_type;
  daos_oclass_id_t da_oclass_id;
  daos_size_t da_chunk_size;
  daos_prop_t *da_props;
  uint32_t da_flags;
  /** Labels or UUIDs. */
  char da_pool[DAOS_PROP_MAX_LABEL_BUF_LEN];
  char da_cont[DAOS_PROP_MAX_LABEL_BUF_LEN];
  char *da_sys;
  /** What of the path lies below the container; allocated. */
  char *da_rel_path;
  bool da_on_lustre;
  bool da_no_prefix;
  uuid_t da_puuid;
  uuid_t da_cuuid;
  daos_oclass_id_t da_dir_oclass_id;
  daos_oclass_id_t da_file_oclass_id;
  char da_hints[DAOS_CONT_HINT_MAX_LEN];
};

/** Creates a container of \a attrp and a path that stands for it. \return 0, EEXIST, EINVAL, ... */
int duns_create_path(daos_handle_t poh, const char *path, struct duns_attr_t *attrp);

/**
 * Finds the container that a path or "daos://pool/cont/path" stands for.
 * \return 0, ENODATA (no container), ENOENT, ENOTSUP, EINVAL.
 */
int duns_resolve_path(const char *path, struct duns_attr_t *attr);

/** Destroys the container and removes the path. \return 0, ENODATA, ENOENT, ... */
int duns_destroy_path(daos_handle_t poh, const char *path);

/** Parses the value of the extended attribute. \return 0, EINVAL. */
int duns_parse_attr(char *str, daos_size_t len, struct duns_attr_t *attr);

int duns_set_sys_name(struct duns_attr_t *attrp, const char *sys);

void duns_destroy_attr(struct duns_attr_t *attrp);

/** Makes a path that stands for an existing container. */
int duns_link_cont(daos_handle_t poh, const char *cont, const char *path);

#if defined(__cplusplus)
}
#endif
#endif
