// The state of libdaos in one process: the count of daos_init(), the System, the handle table; and
// the objects that handles name. Home: any thread outside the reactor. Invariant: in a forked child
// nothing of the parent's state is touched any more; daos_reinit() makes a new one and leaves the
// old one where it is.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>

#include "capi/daos/bridge.h"
#include "capi/daos/handles.h"
#include "client/transaction.h"
#include "model/oclass.h"

namespace cairn::capi {

/// What all handles to one pool connection share; daos_pool_global2local() adds handles to it.
struct PoolConnection {
  client::PoolPtr pool;
  std::atomic<int> handles{1};
};
struct PoolHandle {
  static constexpr uint8_t kHandleKind = DAOS_HTYPE_POOL;
  std::shared_ptr<PoolConnection> connection;
  const client::PoolPtr& pool() const { return connection->pool; }
};

/// What all handles to one opened container share.
struct ContOpening {
  client::ContainerPtr container;
  model::PoolShape shape;  // for the choice of object classes
  std::atomic<int> handles{1};
};
struct ContHandle {
  static constexpr uint8_t kHandleKind = DAOS_HTYPE_CO;
  std::shared_ptr<ContOpening> opening;
  const client::ContainerPtr& container() const { return opening->container; }
};

struct ObjectHandle {
  static constexpr uint8_t kHandleKind = DAOS_HTYPE_OBJ;
  client::ContainerPtr container;
  model::ObjectId oid;
  unsigned mode = 0;
  bool writable() const { return (mode & (DAOS_OO_RW | DAOS_OO_EXCL)) != 0; }
};

struct KvHandle {
  static constexpr uint8_t kHandleKind = DAOS_HTYPE_KV;
  std::shared_ptr<ObjectHandle> object;
  daos_handle_t object_handle{};
};

struct TxHandle {
  static constexpr uint8_t kHandleKind = DAOS_HTYPE_TX;
  client::TransactionPtr tx;
  bool values_stay = false;  // DAOS_TF_ZERO_COPY
};

/// An open object id table.
struct TableHandle {
  static constexpr uint8_t kHandleKind = 15;  // no DAOS_HTYPE_: nothing else takes it
  client::ContainerPtr container;
  model::Epoch epoch = 0;
};

struct ArrayHandle {
  static constexpr uint8_t kHandleKind = DAOS_HTYPE_ARRAY;
  std::shared_ptr<ObjectHandle> object;
  uint64_t cell_bytes = 0;
  std::atomic<uint64_t> chunk_cells{0};
};

struct Library {
  /// `forks`: how many processes of this line of descent had a Library before. Handles of a parent
  /// are unknown to its child.
  explicit Library(uint32_t forks) : forks(forks), handles((forks << 24) + 1) {}

  const uint32_t forks;
  std::mutex mutex;  // of the next two
  int references = 0;
  std::unique_ptr<client::System> system;
  std::atomic<client::System*> running{nullptr};
  HandleTable handles;
};

/// The one of this process. Never destroyed.
Library& library();

/// One line on stderr and the -DER_ code: what failed is said by `error`.
int refuse(std::string_view call, const Error& error);

/// "not initialised" for a call, or 0.
int initialized();

/// Error of a handle that is not there: -DER_UNINIT or -DER_NO_HDL.
int no_handle();

/// Flattens the result of a task to the -DER_ code that a call reports.
template <class T>
int der_of(const Result<T>& result) {
  return result ? 0 : der_of(result.error().code());
}

template <class T>
std::shared_ptr<T> find(daos_handle_t handle) {
  return library().handles.find<T>(handle);
}

}  // namespace cairn::capi
