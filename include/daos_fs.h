/* SPDX-License-Identifier: Apache-2.0 */
/**
 * DFS: a POSIX name space in a container. Calls return 0 or a positive errno. Errors common to
 * most: EINVAL (malformed argument), ENOENT, ENOTDIR, EPERM (read-only mount or handle), EIO.
 * A NULL parent is the root directory; a name is one component of at most DFS_MAX_NAME bytes.
 */
#ifndef DAOS_FS_H
#define DAOS_FS_H

#include <daos_array.h>
#include <daos_cont.h>
#include <daos_obj.h>
#include <daos_obj_class.h>
#include <daos_types.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** File system type in statfs of a mounted container. */
#define DAOS_SUPER_MAGIC 0xDA05AD10
#define DFS_MAX_NAME 255
#define DFS_MAX_PATH 4096
#define DFS_MAX_FSIZE (~0ULL)
#define DFS_MAX_XATTR_NAME 255
#define DFS_MAX_XATTR_LEN 65536
#define DFS_DEFAULT_CHUNK_SIZE 1048576

/** Mount flags: access mode, and consistency of name space operations. */
#define DFS_RDONLY O_RDONLY
#define DFS_RDWR O_RDWR
#define DFS_RELAXED 0
#define DFS_BALANCED 4

/** What dfs_osetattr() sets. */
#define DFS_SET_ATTR_MODE (1 << 0)
#define DFS_SET_ATTR_ATIME (1 << 1)
#define DFS_SET_ATTR_MTIME (1 << 2)
#define DFS_SET_ATTR_SIZE (1 << 3)
#define DFS_SET_ATTR_UID (1 << 4)
#define DFS_SET_ATTR_GID (1 << 5)

/** What dfs_cont_check() does with objects that no directory names. */
enum {
  DFS_CHECK_PRINT = 1 << 0,
  DFS_CHECK_REMOVE = 1 << 1,
  DFS_CHECK_RELINK = 1 << 2,
  DFS_CHECK_VERIFY = 1 << 3,
  DFS_CHECK_EVICT_ALL = 1 << 4
};

enum { DFS_FILTER_NAME = 1 << 1, DFS_FILTER_NEWER = 1 << 2, DFS_FILTER_INCLUDE_DIRS = 1 << 3 };

/** A mount. */
typedef struct dfs dfs_t;
/** An open file, directory or symbolic link. */
typedef struct dfs_obj dfs_obj_t;
typedef struct dfs_pipeline dfs_pipeline_t;

/** How to create a container. Zero means the default everywhere. */
typedef struct {
  uint64_t da_id;
  daos_size_t da_chunk_size;
  daos_oclass_id_t da_oclass_id;
  daos_prop_t* da_props;
  /** DFS_RELAXED or DFS_BALANCED. */
  uint32_t da_mode;
  daos_oclass_id_t da_dir_oclass_id;
  daos_oclass_id_t da_file_oclass_id;
  /** Such as "file:single,dir:max". */
  char da_hints[DAOS_CONT_HINT_MAX_LEN];
} dfs_attr_t;

/** Byte ranges of a file. */
typedef struct {
  daos_size_t iod_nr;
  daos_range_t* iod_rgs;
} dfs_iod_t;

typedef struct {
  daos_oclass_id_t doi_oclass_id;
  daos_size_t doi_chunk_size;
  daos_oclass_id_t doi_dir_oclass_id;
  daos_oclass_id_t doi_file_oclass_id;
  daos_obj_id_t doi_oid;
} dfs_obj_info_t;

typedef struct {
  char dp_name[DFS_MAX_NAME];
  time_t dp_newer;
  size_t dp_size;
} dfs_predicate_t;

/** Called per listed name; what it returns other than 0 ends the listing and is returned. */
typedef int (*dfs_filler_cb_t)(dfs_t* dfs, dfs_obj_t* obj, const char name[], void* arg);

/** Starts the library for the connect calls; counted. */
int dfs_init(void);

int dfs_fini(void);

/**
 * Connects to a pool, opens a container and mounts it. With O_CREAT in \a flags a missing container
 * is created by \a attr. \return 0, ENOENT, EACCES before dfs_init(), ...
 */
int dfs_connect(const char* pool, const char* sys, const char* cont, int flags, dfs_attr_t* attr,
                dfs_t** dfs);

/** Read-only mount of a snapshot, by epoch or by name. */
int dfs_connect_snap(const char* pool, const char* sys, const char* cont, int flags,
                     daos_epoch_t epoch, const char* name, dfs_t** dfs);

/** Ends a mount of the connect calls. \return 0, EINVAL for another mount. */
int dfs_disconnect(dfs_t* dfs);

/** Destroys a container. \return 0, ENOENT, EBUSY, EACCES before dfs_init(). */
int dfs_destroy(const char* pool, const char* sys, const char* cont, int force, daos_event_t* ev);

/**
 * Creates a POSIX container with \a attr (NULL: defaults); \a coh and \a dfs, where not NULL,
 * receive an open handle and a mount. \return 0, EEXIST, EINVAL.
 */
int dfs_cont_create(daos_handle_t poh, uuid_t* uuid, dfs_attr_t* attr, daos_handle_t* coh,
                    dfs_t** dfs);

/** As dfs_cont_create() with a label; \a uuid may be NULL. */
int dfs_cont_create_with_label(daos_handle_t poh, const char* label, dfs_attr_t* attr, uuid_t* uuid,
                               daos_handle_t* coh, dfs_t** dfs);

/** Mounts an open container. \return 0, EINVAL (not a POSIX container), EPERM (needs DFS_BALANCED).
 */
int dfs_mount(daos_handle_t poh, daos_handle_t coh, int flags, dfs_t** dfs);

/** Mounts a snapshot, read-only. */
int dfs_mount_snap(daos_handle_t poh, daos_handle_t coh, int flags, daos_epoch_t epoch,
                   const char* name, dfs_t** dfs);

/** \return 0, EINVAL (mount of a connect call), EBUSY (handles are lent out). */
int dfs_umount(dfs_t* dfs);

/** Lends the pool handle of a mount; give it back with dfs_pool_put(). */
int dfs_pool_get(dfs_t* dfs, daos_handle_t* poh);

int dfs_pool_put(dfs_t* dfs, daos_handle_t poh);

/** Lends the container handle of a mount; give it back with dfs_cont_put(). */
int dfs_cont_get(dfs_t* dfs, daos_handle_t* coh);

int dfs_cont_put(dfs_t* dfs, daos_handle_t coh);

/** Chunk size, classes, mode and hints of a mount. */
int dfs_query(dfs_t* dfs, dfs_attr_t* attr);

/** Portable form of a mount; iov_buf NULL asks for the size. \return 0, ENOBUFS. */
int dfs_local2global(dfs_t* dfs, d_iov_t* glob);

/** Mount from its portable form; \a flags 0 keeps the mode. */
int dfs_global2local(daos_handle_t poh, daos_handle_t coh, int flags, d_iov_t glob, dfs_t** dfs);

/** As dfs_local2global(), with the handles of pool and container. */
int dfs_local2global_all(dfs_t* dfs, d_iov_t* glob);

int dfs_global2local_all(int flags, d_iov_t glob, dfs_t** dfs);

/** Absolute path that dfs_lookup() takes off from paths; NULL clears it. */
int dfs_set_prefix(dfs_t* dfs, const char* prefix);

int dfs_obj2id(dfs_obj_t* obj, daos_obj_id_t* oid);

/**
 * Opens by absolute path, following symbolic links (O_NOFOLLOW: not the last one). \a mode and
 * \a stbuf may be NULL. \return 0, ENOENT, ELOOP, ...
 */
int dfs_lookup(dfs_t* dfs, const char* path, int flags, dfs_obj_t** obj, mode_t* mode,
               struct stat* stbuf);

/** Opens one entry of a directory. */
int dfs_lookup_rel(dfs_t* dfs, dfs_obj_t* parent, const char* name, int flags, dfs_obj_t** obj,
                   mode_t* mode, struct stat* stbuf);

/** Class that a hint such as "file:max" stands for. */
int dfs_suggest_oclass(dfs_t* dfs, const char* hint, daos_oclass_id_t* cid);

/**
 * Opens or creates an entry. \a mode: type and permissions; \a flags: O_CREAT, O_EXCL, O_TRUNC and
 * the access mode; \a cid, \a chunk_size 0: inherit; \a value: target of a symbolic link.
 * \return 0, EEXIST, ENOENT, EINVAL (other type), ...
 */
int dfs_open(dfs_t* dfs, dfs_obj_t* parent, const char* name, mode_t mode, int flags,
             daos_oclass_id_t cid, daos_size_t chunk_size, const char* value, dfs_obj_t** obj);

/** Another handle of the same entry. */
int dfs_dup(dfs_t* dfs, dfs_obj_t* obj, int flags, dfs_obj_t** new_obj);

int dfs_obj_local2global(dfs_t* dfs, dfs_obj_t* obj, d_iov_t* glob);

int dfs_obj_global2local(dfs_t* dfs, int flags, d_iov_t glob, dfs_obj_t** obj);

/** Closes an entry. */
int dfs_release(dfs_obj_t* obj);

/** Reads up to the end of the file; \a read_size: bytes, 0 at the end. Holes are zeros. */
int dfs_read(dfs_t* dfs, dfs_obj_t* obj, d_sg_list_t* sgl, daos_off_t off, daos_size_t* read_size,
             daos_event_t* ev);

/** Reads byte ranges; their lengths and those of \a sgl agree. */
int dfs_readx(dfs_t* dfs, dfs_obj_t* obj, dfs_iod_t* iod, d_sg_list_t* sgl, daos_size_t* read_size,
              daos_event_t* ev);

/** Writes all or fails; 0 means that the data is durable. */
int dfs_write(dfs_t* dfs, dfs_obj_t* obj, d_sg_list_t* sgl, daos_off_t off, daos_event_t* ev);

int dfs_writex(dfs_t* dfs, dfs_obj_t* obj, dfs_iod_t* iod, d_sg_list_t* sgl, daos_event_t* ev);

int dfs_get_size(dfs_t* dfs, dfs_obj_t* obj, daos_size_t* size);

/** Makes a hole; \a len DFS_MAX_FSIZE truncates or extends to \a offset. */
int dfs_punch(dfs_t* dfs, dfs_obj_t* obj, daos_off_t offset, daos_size_t len);

/** Lists names. \a nr: room, then entries (maybe 0 before the end of \a anchor). */
int dfs_readdir(dfs_t* dfs, dfs_obj_t* obj, daos_anchor_t* anchor, uint32_t* nr,
                struct dirent* dirs);

int dfs_readdirplus(dfs_t* dfs, dfs_obj_t* obj, daos_anchor_t* anchor, uint32_t* nr,
                    struct dirent* dirs, struct stat* stbufs);

/** Calls \a op for up to \a nr names, using a buffer of \a size bytes. \return 0, E2BIG, ... */
int dfs_iterate(dfs_t* dfs, dfs_obj_t* obj, daos_anchor_t* anchor, uint32_t* nr, size_t size,
                dfs_filler_cb_t op, void* arg);

/** Sets \a anchor so that a listing starts at \a name. */
int dfs_dir_anchor_set(dfs_obj_t* obj, const char* name, daos_anchor_t* anchor);

/** Anchors to list parts of a directory in parallel; \a nr is 0, then the number. */
int dfs_obj_anchor_split(dfs_obj_t* obj, uint32_t* nr, daos_anchor_t* anchors);

int dfs_obj_anchor_set(dfs_obj_t* obj, uint32_t index, daos_anchor_t* anchor);

/** \return 0, EEXIST, ... */
int dfs_mkdir(dfs_t* dfs, dfs_obj_t* parent, const char* name, mode_t mode, daos_oclass_id_t cid);

/** Removes an entry; \a force: a directory with all in it. \a oid may be NULL. \return ENOTEMPTY,
 * ... */
int dfs_remove(dfs_t* dfs, dfs_obj_t* parent, const char* name, bool force, daos_obj_id_t* oid);

/** Renames, replacing what is there. \a oid (may be NULL) receives the id of what was replaced. */
int dfs_move(dfs_t* dfs, dfs_obj_t* parent, const char* name, dfs_obj_t* new_parent,
             const char* new_name, daos_obj_id_t* oid);

/** Swaps two entries. */
int dfs_exchange(dfs_t* dfs, dfs_obj_t* parent1, const char* name1, dfs_obj_t* parent2,
                 const char* name2);

int dfs_get_mode(dfs_obj_t* obj, mode_t* mode);

int dfs_obj_get_info(dfs_t* dfs, dfs_obj_t* obj, dfs_obj_info_t* info);

/** Default class of new entries of a directory. */
int dfs_obj_set_oclass(dfs_t* dfs, dfs_obj_t* obj, int flags, daos_oclass_id_t cid);

/** Default chunk size of new files of a directory. */
int dfs_obj_set_chunk_size(dfs_t* dfs, dfs_obj_t* obj, int flags, daos_size_t csize);

/** Array handle of an open file; it stays the file's. */
int dfs_get_file_oh(dfs_obj_t* obj, daos_handle_t* oh);

int dfs_get_chunk_size(dfs_obj_t* obj, daos_size_t* chunk_size);

/** Target of a symbolic link. \a size: bytes at \a buf, then the length with the NUL. */
int dfs_get_symlink_value(dfs_obj_t* obj, char* buf, daos_size_t* size);

/** Tells a handle that its entry was moved. */
int dfs_update_parent(dfs_obj_t* obj, dfs_obj_t* src_obj, const char* name);

/** Does not follow symbolic links. \a name NULL with \a parent NULL: the root. */
int dfs_stat(dfs_t* dfs, dfs_obj_t* parent, const char* name, struct stat* stbuf);

int dfs_ostat(dfs_t* dfs, dfs_obj_t* obj, struct stat* stbuf);

/** Sets what \a flags (DFS_SET_ATTR_) ask; \a stbuf receives the result. */
int dfs_osetattr(dfs_t* dfs, dfs_obj_t* obj, struct stat* stbuf, int flags);

/** \return 0, EACCES, ... */
int dfs_access(dfs_t* dfs, dfs_obj_t* parent, const char* name, int mask);

int dfs_chmod(dfs_t* dfs, dfs_obj_t* parent, const char* name, mode_t mode);

/** \a uid and \a gid -1: unchanged. \a flags O_NOFOLLOW: the link itself. */
int dfs_chown(dfs_t* dfs, dfs_obj_t* parent, const char* name, uid_t uid, gid_t gid, int flags);

/** Nothing to do: completed writes are durable. */
int dfs_sync(dfs_t* dfs);

/** \a flags: XATTR_CREATE, XATTR_REPLACE. \return 0, EEXIST, ENOENT, EINVAL (too long). */
int dfs_setxattr(dfs_t* dfs, dfs_obj_t* obj, const char* name, const void* value, daos_size_t size,
                 int flags);

/** \a size: bytes at \a value, then the length. \return 0, ENODATA, E2BIG. */
int dfs_getxattr(dfs_t* dfs, dfs_obj_t* obj, const char* name, void* value, daos_size_t* size);

/** \return 0, ENODATA. */
int dfs_removexattr(dfs_t* dfs, dfs_obj_t* obj, const char* name);

/** Names, NUL-terminated back to back; \a size: bytes at \a list, then bytes of all names. */
int dfs_listxattr(dfs_t* dfs, dfs_obj_t* obj, char* list, daos_size_t* size);

/** Looks for objects that no directory names; \a flags DFS_CHECK_. */
int dfs_cont_check(daos_handle_t poh, const char* cont, uint64_t flags, const char* name);

/** Changes the owner of a container and of its root directory. */
int dfs_cont_set_owner(daos_handle_t coh, d_string_t user, uid_t uid, d_string_t group, gid_t gid);

int dfs_get_size_by_oid(dfs_t* dfs, daos_obj_id_t oid, daos_size_t chunk_size, daos_size_t* size);

/** Prepares a filter for dfs_readdir_with_filter(). */
int dfs_pipeline_create(dfs_t* dfs, dfs_predicate_t pred, uint64_t flags, dfs_pipeline_t** dpipe);

int dfs_pipeline_destroy(dfs_pipeline_t* dpipe);

int dfs_readdir_with_filter(dfs_t* dfs, dfs_obj_t* obj, dfs_pipeline_t* dpipe,
                            daos_anchor_t* anchor, uint32_t* nr, struct dirent* dirs,
                            daos_obj_id_t* oids, daos_size_t* csizes, uint64_t* nr_scanned);

/** Prints statistics of the files and directories of a container. */
int dfs_cont_scan(daos_handle_t poh, const char* cont, uint64_t flags, const char* name);

#if defined(__cplusplus)
}
#endif
#endif
