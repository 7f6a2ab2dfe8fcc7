// The client: pools, containers and object I/O as seen by libdaos, libdfs and the tools. It reaches
// the store only through wire/ messages over a fabric transport; who is at the other end (this
// process or a server) is decided by `cmd`/`capi` when they make the System. Shows no wire, layout
// or fabric type. Home: every Task runs on context().reactor(). Any thread may call
// context().run(task) / start(task).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"
#include "model/ids.h"
#include "model/io.h"
#include "runtime/context.h"

namespace cairn::client {

class Pool;
class Container;
using PoolPtr = std::shared_ptr<Pool>;
using ContainerPtr = std::shared_ptr<Container>;

/// Property values by DAOS_PROP_* number: integers, strings, or raw bytes (ACLs, roots).
using PropValue = std::variant<uint64_t, std::string, Bytes>;
using Props = std::map<uint32_t, PropValue>;
/// User attributes: name (1..511 bytes) to value.
using Attrs = std::map<std::string, Bytes>;

struct PoolInfo {
  Uuid uuid;
  std::string label;
  uint32_t target_count = 1, engine_count = 1, disabled_count = 0, map_version = 1, leader = 0;
  uint64_t data_total = 0, data_free = 0;   // bytes, NVMe tier
  uint64_t meta_total = 0, meta_free = 0;   // bytes, SCM tier
  uint64_t meta_used = 0;                   // bytes of live index pages
  uint64_t memory_bytes = 0;                // budget of one shard; 0: the default
  Props props;                              // DAOS_PROP_PO_* that were set at creation
};

struct ContInfo {
  Uuid uuid;
  std::string label;                        // empty: none
  uint32_t handle_count = 0, snapshot_count = 0;
  model::Epoch last_snapshot = 0, open_time = 0, modify_time = 0;
  Props props;                              // DAOS_PROP_CO_* that were set
};

struct PoolCreateOptions {
  std::string label;                        // validated; see model/label.h
  uint64_t bytes = 0;                       // of metadata and data together; the log comes on top
  uint64_t meta_bytes = 0;                  // of these for metadata; 0: the usual share
  uint64_t memory_bytes = 0;                // budget of one shard; 0: as memory_ratio says
  uint32_t memory_ratio = 0;                // hundredths of a percent of the metadata; 0: default
  Props props;
};

/// Access modes, the values of DAOS_PC_* and DAOS_COO_*.
enum class Access : uint32_t { read_only = 1, read_write = 2, exclusive = 4 };

class System {
 public:
  virtual ~System() = default;
  virtual Context& context() = 0;

  /// @error exists  the label is taken   @error no_space  the device is full
  /// @error invalid  label, size, property   @error no_memory  the budget is below the least
  virtual Task<Result<Uuid>> pool_create(PoolCreateOptions options) = 0;
  virtual Task<Result<std::vector<PoolInfo>>> pool_list() = 0;
  /// `pool` is a label or a UUID. @error nonexistent; busy  containers or handles remain and not
  /// `force`
  virtual Task<Result<void>> pool_destroy(std::string pool, bool force) = 0;
  /// @error nonexistent, busy (exclusive)
  virtual Task<Result<PoolPtr>> pool_connect(std::string pool, Access access) = 0;
  /// Waits for running operations, checkpoints, closes. Call once, from outside the reactor, last.
  virtual Result<void> shutdown() = 0;
};

/// A pool handle.
class Pool {
 public:
  virtual ~Pool() = default;
  virtual System& system() = 0;
  virtual const Uuid& uuid() const = 0;
  virtual Access access() const = 0;
  virtual Task<Result<PoolInfo>> query() = 0;
  /// @error busy  containers opened through it are still open
  virtual Task<Result<void>> disconnect() = 0;

  virtual Task<Result<Attrs>> attrs() = 0;
  virtual Task<Result<void>> set_attrs(Attrs attrs) = 0;
  virtual Task<Result<void>> delete_attrs(std::vector<std::string> names) = 0;

  /// An empty label makes a container without one. @error exists, invalid
  virtual Task<Result<Uuid>> cont_create(std::string label, Props props) = 0;
  virtual Task<Result<std::vector<ContInfo>>> cont_list() = 0;
  /// `cont` is a label or a UUID. @error nonexistent, busy
  virtual Task<Result<ContainerPtr>> cont_open(std::string cont, Access access) = 0;
  virtual Task<Result<void>> cont_destroy(std::string cont, bool force) = 0;
};

struct ObjectArgs {
  model::ObjectId oid;
  ByteView dkey;
  uint64_t flags = 0;      // model::cond
};

/// A container handle. Object operations need no open: identify the object by its id.
/// Every operation on a closed or evicted handle gives no_handle.
class Container {
 public:
  virtual ~Container() = default;
  virtual Pool& pool() = 0;
  virtual const Uuid& uuid() const = 0;
  virtual Access access() const = 0;
  virtual bool is_open() const = 0;
  virtual Task<Result<void>> close() = 0;
  virtual Task<Result<ContInfo>> query() = 0;
  virtual Task<Result<void>> set_props(Props props) = 0;
  virtual Task<Result<Attrs>> attrs() = 0;
  virtual Task<Result<void>> set_attrs(Attrs attrs) = 0;
  virtual Task<Result<void>> delete_attrs(std::vector<std::string> names) = 0;
  /// The first of `count` numbers that nobody else gets; from 0 in a new container, never reused.
  virtual Task<Result<uint64_t>> alloc_oids(uint64_t count) = 0;

  // Object I/O; semantics and errors as vos/shard.h. Iods, keys and buffers are borrowed until the
  // task ends. Writes through a read_only handle: no_perm.
  virtual Task<Result<model::Epoch>> update(ObjectArgs args, model::Iods iods) = 0;
  virtual Task<Result<model::Fetched>> fetch(ObjectArgs args, model::Iods iods) = 0;
  virtual Task<Result<model::Epoch>> punch_object(model::ObjectId oid, uint64_t flags) = 0;
  virtual Task<Result<model::Epoch>> punch_dkey(ObjectArgs args) = 0;
  virtual Task<Result<model::Epoch>> punch_akeys(ObjectArgs args, std::vector<ByteView> akeys) = 0;
  virtual Task<Result<model::Listed>> list(model::ObjectId oid, model::ListRequest request) = 0;
  virtual Task<Result<Bytes>> position_of(model::ObjectId oid, model::ListRequest::What what,
                                          ByteView key) = 0;
  virtual Task<Result<model::QueriedKey>> query_key(model::ObjectId oid,
                                                    model::QueryKeyRequest request) = 0;
  virtual Task<Result<model::Epoch>> max_epoch(model::ObjectId oid) = 0;
};

}  // namespace cairn::client
