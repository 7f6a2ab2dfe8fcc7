// Rarely used calls: filtered listing, owners; and those that need what is not built yet.
#include <cstring>
#include <new>

#include "capi/dfs/internal.h"

using namespace cairn;
using namespace cairn::capi;

/// dfs_pipeline_t: the filter runs in the client.
struct dfs_pipeline {
  std::string pattern;   // with % for any text; empty: every name
  bool newer = false;
  bool with_dirs = false;
  time_t after = 0;
};

namespace {

/// LIKE with % and no escape.
bool is_like(std::string_view text, std::string_view pattern) {
  size_t t = 0, p = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '%') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '%') ++p;
  return p == pattern.size();
}

bool passes(const dfs_pipeline_t& pipe, const char* name, const struct stat& st) {
  if (S_ISDIR(st.st_mode) && pipe.with_dirs) return true;
  if (!pipe.pattern.empty() && !is_like(name, pipe.pattern)) return false;
  return !pipe.newer || st.st_mtim.tv_sec > pipe.after;
}

}  // namespace

int dfs_pipeline_create(dfs_t* dfs, dfs_predicate_t pred, uint64_t flags,
                        dfs_pipeline_t** dpipe) try {
  if (mount_of(dfs) == nullptr || dpipe == nullptr) return EINVAL;
  auto* pipe = new dfs_pipeline;
  if ((flags & DFS_FILTER_NAME) != 0) {
    pipe->pattern.assign(pred.dp_name, strnlen(pred.dp_name, sizeof(pred.dp_name)));
  }
  pipe->newer = (flags & DFS_FILTER_NEWER) != 0;
  pipe->with_dirs = (flags & DFS_FILTER_INCLUDE_DIRS) != 0;
  pipe->after = pred.dp_newer;
  *dpipe = pipe;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_pipeline_destroy(dfs_pipeline_t* dpipe) try {
  delete dpipe;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_readdir_with_filter(dfs_t* dfs, dfs_obj_t* obj, dfs_pipeline_t* dpipe,
                            daos_anchor_t* anchor, uint32_t* nr, struct dirent* dirs,
                            daos_obj_id_t* oids, daos_size_t* csizes, uint64_t* nr_scanned) try {
  if (dpipe == nullptr || nr == nullptr || dirs == nullptr) return EINVAL;
  std::vector<struct stat> stats(*nr);
  uint32_t scanned = *nr;
  const int rc = dfs_readdirplus(dfs, obj, anchor, &scanned, dirs, stats.data());
  if (rc != 0) return rc;
  uint32_t count = 0;
  for (uint32_t i = 0; i < scanned; ++i) {
    if (!passes(*dpipe, dirs[i].d_name, stats[i])) continue;
    if (oids != nullptr || csizes != nullptr) {
      dfs_obj_t* entry = nullptr;
      const int found = dfs_lookup_rel(dfs, obj, dirs[i].d_name, O_RDONLY | O_NOFOLLOW, &entry,
                                       nullptr, nullptr);
      if (found == ENOENT) continue;
      if (found != 0) return found;
      const NodePtr node = node_of(entry);
      if (oids != nullptr) oids[count] = {node->oid.lo, node->oid.hi};
      if (csizes != nullptr) csizes[count] = node->is_file() ? node->chunk_bytes : 0;
      (void)dfs_release(entry);
    }
    if (count != i) dirs[count] = dirs[i];
    ++count;
  }
  *nr = count;
  if (nr_scanned != nullptr) *nr_scanned += scanned;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_cont_set_owner(daos_handle_t coh, d_string_t user, uid_t uid, d_string_t group,
                       gid_t gid) try {
  dfs_t* fs = nullptr;
  int rc = mount_container({}, coh, O_RDWR, &fs);
  if (rc != 0) return rc;
  rc = errno_of_der(daos_cont_set_owner(coh, user, group, nullptr));
  if (rc == 0) rc = dfs_chown(fs, nullptr, nullptr, uid, gid, 0);
  (void)dfs_umount(fs);
  return rc;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

// Not written yet.
int dfs_cont_check(daos_handle_t, const char*, uint64_t, const char*) { return ENOTSUP; }

int dfs_cont_scan(daos_handle_t, const char*, uint64_t, const char*) { return ENOTSUP; }
