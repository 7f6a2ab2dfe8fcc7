// dfs_connect(): pool, container and mount in one call. Connections are shared by all mounts of one
// container with one access mode, and closed with the last of them.
#include <cstring>
#include <map>
#include <new>

#include "capi/dfs/internal.h"

using namespace cairn;
using namespace cairn::capi;

struct cairn::capi::Connection {
  std::string pool_name, container_name;
  int access = O_RDONLY;
  daos_handle_t pool{};
  daos_handle_t container{};
};

namespace {

/// dfs_local2global_all(): names are enough, any process of the same home connects by them.
struct GlobalConnection {
  uint64_t magic;
  int32_t access;
  uint32_t reserved;
  char pool[DAOS_UUID_STR_SIZE];
  char container[DAOS_UUID_STR_SIZE];
  char unused[166];
};
static_assert(sizeof(GlobalConnection) == 256);
constexpr uint64_t kGlobalMagic = 0x612e7366642e6331;

using Key = std::tuple<std::string, std::string, int>;

/// What dfs_init() begins.
struct Connections {
  std::mutex mutex;
  int references = 0;
  std::map<Key, std::weak_ptr<Connection>> open;
};
Connections& connections() {
  static auto* const the = new Connections;  // outlives every mount
  return *the;
}

void close_connection(Connection* connection) {
  if (daos_handle_is_valid(connection->container)) {
    (void)daos_cont_close(connection->container, nullptr);
  }
  if (daos_handle_is_valid(connection->pool)) {
    (void)daos_pool_disconnect(connection->pool, nullptr);
  }
  delete connection;
}

/// Opens the container, making it first where that is asked for and somebody else does not do it
/// meanwhile.
int open_container(Connection& connection, int flags, dfs_attr_t* attr) {
  const unsigned mode = connection.access == O_RDONLY ? DAOS_COO_RO : DAOS_COO_RW;
  const char* const name = connection.container_name.c_str();
  int rc = daos_cont_open2(connection.pool, name, mode, &connection.container, nullptr, nullptr);
  if (rc != -DER_NONEXIST || (flags & O_CREAT) == 0) return errno_of_der(rc);
  rc = dfs_cont_create_with_label(connection.pool, name, attr, nullptr, nullptr, nullptr);
  if (rc != 0 && rc != EEXIST) return rc;
  rc = daos_cont_open2(connection.pool, name, mode, &connection.container, nullptr, nullptr);
  return errno_of_der(rc);
}

/// With the mutex, so that two threads do not connect twice.
int connect_locked(Connections& all, const char* pool, const char* sys, const char* cont, int flags,
                   dfs_attr_t* attr, std::shared_ptr<Connection>& out) {
  const int access = flags & O_ACCMODE;
  std::weak_ptr<Connection>& known = all.open[Key{pool, cont, access}];
  out = known.lock();
  if (out != nullptr) return 0;
  std::shared_ptr<Connection> fresh{new Connection, close_connection};
  fresh->pool_name = pool;
  fresh->container_name = cont;
  fresh->access = access;
  // Making a container needs more than reading it.
  const bool writes = access != O_RDONLY || (flags & O_CREAT) != 0;
  int rc = daos_pool_connect2(pool, sys, writes ? DAOS_PC_RW : DAOS_PC_RO, &fresh->pool, nullptr,
                              nullptr);
  if (rc != 0) return errno_of_der(rc);
  rc = open_container(*fresh, flags, attr);
  if (rc != 0) return rc;
  known = fresh;
  out = std::move(fresh);
  return 0;
}

int connect_and_mount(const char* pool, const char* sys, const char* cont, int flags,
                      dfs_attr_t* attr, dfs_t** dfs, daos_epoch_t epoch = DAOS_EPOCH_MAX) {
  Connections& all = connections();
  std::shared_ptr<Connection> connection;
  {
    std::lock_guard lock(all.mutex);
    if (all.references == 0) return EACCES;
    std::erase_if(all.open, [](const auto& item) { return item.second.expired(); });
    const int rc = connect_locked(all, pool, sys, cont, flags, attr, connection);
    if (rc != 0) return rc;
  }
  dfs_t* made = nullptr;
  const int rc = mount_container(connection->pool, connection->container,
                                 flags & (O_ACCMODE | DFS_BALANCED), &made, epoch);
  if (rc != 0) return rc;
  made->connection = std::move(connection);
  *dfs = made;
  return 0;
}

}  // namespace

int dfs_init(void) try {
  Connections& all = connections();
  std::lock_guard lock(all.mutex);
  const int rc = daos_init();
  if (rc != 0 && rc != -DER_ALREADY) return errno_of_der(rc);
  ++all.references;
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_fini(void) try {
  Connections& all = connections();
  std::lock_guard lock(all.mutex);
  if (all.references == 0) return 0;
  --all.references;
  return errno_of_der(daos_fini());
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_connect(const char* pool, const char* sys, const char* cont, int flags, dfs_attr_t* attr,
                dfs_t** dfs) try {
  if (pool == nullptr || cont == nullptr || dfs == nullptr ||
      (flags & O_ACCMODE) == O_ACCMODE) {
    return EINVAL;
  }
  return connect_and_mount(pool, sys, cont, flags, attr, dfs);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_connect_snap(const char* pool, const char* sys, const char* cont, int flags,
                     daos_epoch_t epoch, const char* name, dfs_t** dfs) try {
  if (epoch == DAOS_EPOCH_MAX || (epoch == 0 && name == nullptr)) return EINVAL;
  if (pool == nullptr || cont == nullptr || dfs == nullptr ||
      (flags & O_ACCMODE) == O_ACCMODE) {
    return EINVAL;
  }
  return connect_and_mount(pool, sys, cont, (flags & ~(O_ACCMODE | O_CREAT)) | O_RDONLY, nullptr,
                           dfs, epoch);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_disconnect(dfs_t* dfs) try {
  if (dfs == nullptr || dfs->connection == nullptr) return EINVAL;
  Connections& all = connections();
  std::shared_ptr<Connection> last;
  {
    std::lock_guard lock(dfs->mutex);
    if (dfs->pool_loans != 0 || dfs->container_loans != 0) return EBUSY;
    last = std::move(dfs->connection);
  }
  delete dfs;  // its mount goes before the handles
  std::lock_guard lock(all.mutex);
  last.reset();
  return 0;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_destroy(const char* pool, const char* sys, const char* cont, int force,
                daos_event_t* ev) try {
  if (pool == nullptr || cont == nullptr) return EINVAL;
  {
    Connections& all = connections();
    std::lock_guard lock(all.mutex);
    if (all.references == 0) return EACCES;
  }
  daos_handle_t poh{};
  int rc = daos_pool_connect2(pool, sys, DAOS_PC_RW, &poh, nullptr, nullptr);
  if (rc == 0) {
    rc = daos_cont_destroy2(poh, cont, force, nullptr);
    (void)daos_pool_disconnect(poh, nullptr);
  }
  return call_fs(errno_of_der(rc), ev);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_local2global_all(dfs_t* dfs, d_iov_t* glob) try {
  const MountPtr mount = mount_of(dfs);
  if (mount == nullptr || glob == nullptr || dfs->connection == nullptr) return EINVAL;
  GlobalConnection global{};
  global.magic = kGlobalMagic;
  global.access = dfs->flags;
  to_string(mount->container()->pool().uuid()).copy(global.pool, DAOS_UUID_STR_SIZE - 1);
  to_string(mount->container()->uuid()).copy(global.container, DAOS_UUID_STR_SIZE - 1);
  return put_global(glob, &global, sizeof(global));
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_global2local_all(int flags, d_iov_t glob, dfs_t** dfs) try {
  GlobalConnection global;
  if (dfs == nullptr || glob.iov_buf == nullptr || glob.iov_buf_len < sizeof(global) ||
      glob.iov_len != sizeof(global)) {
    return EINVAL;
  }
  std::memcpy(&global, glob.iov_buf, sizeof(global));
  if (global.magic != kGlobalMagic || global.reserved != 0 ||
      (global.access & ~O_ACCMODE) != 0 ||
      strnlen(global.pool, sizeof(global.pool)) != DAOS_UUID_STR_SIZE - 1 ||
      strnlen(global.container, sizeof(global.container)) != DAOS_UUID_STR_SIZE - 1) {
    return EINVAL;
  }
  const int access = flags == 0 ? global.access : flags & O_ACCMODE;
  return connect_and_mount(global.pool, nullptr, global.container, access, nullptr, dfs);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}
