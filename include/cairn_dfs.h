/* SPDX-License-Identifier: Apache-2.0 */
/** Cairn's own calls on files, beside those of DAOS. */
#ifndef CAIRN_DFS_H
#define CAIRN_DFS_H

#include <daos_fs.h>

#if defined(__cplusplus)
extern "C" {
#endif

/**
 * Closes a file, a directory or a link as dfs_release() does, and says that it was written for the
 * last time: it is flattened soon, in the background, together with others (cairn_worm.h). Of a
 * directory this means its entries, not what is below them; a link has nothing to flatten. It is a
 * hint, as CAIRN_COND_FINAL: writing on is allowed.
 * \return 0, EINVAL (NULL), EPERM (opened or mounted for reading only), or what kept the hint from
 *         being given; \a obj is released whatever is returned.
 */
int cairn_dfs_release_final(dfs_obj_t* obj);

#if defined(__cplusplus)
}
#endif

#endif /* CAIRN_DFS_H */
