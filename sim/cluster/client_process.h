// ClientProcess: a client of a simulated cluster: the real client over the simulated network, with
// some workers that ask for things and write down in the Book what they learn. It may be killed;
// the next run is a new session. Home: the stage.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "client/client.h"
#include "client/rpc.h"
#include "client/transaction.h"
#include "sim/cluster/book.h"
#include "sim/cluster/engine_process.h"

namespace cairn::sim {

/// What all clients of a cluster share, and what outlives each.
struct Scope {
  Book book;
  bool pausing = false;   // workers end when what they do has ended
  bool rollbacks = true;  // some
  bool rotten = false;    // in this chapter bits have flipped: whoever needs them may be told
  Duration think_max = 1'000 * kMillisecond;
  std::array<model::ObjectId, kRegisters> objects;
  std::array<std::string, kRegisters> dkeys;
  // Of the one who makes snapshots.
  std::set<model::Epoch> snapshots;           // are there
  std::set<model::Epoch> doubtful_snapshots;  // may be
  std::set<model::Epoch> gone_snapshots;
  bool rollback_open = false;  // one whose outcome is unknown
  // Of the one who makes containers.
  enum class There : uint8_t { yes, no, maybe };
  std::map<std::string, There> containers;
  uint64_t next_container = 1;
  // Of the one who makes pools.
  std::map<std::string, There> pools;
  uint64_t next_pool = 1;
  /// Of those that may be there, who have been asked for before the last quiet moment: none of them
  /// comes to be any more.
  std::set<std::string> old_doubts;
  std::map<std::string, uint64_t> done;  // operations that ended well, by kind
  uint64_t ended = 0, failed = 0;
};

inline constexpr const char* kPoolLabel = "tank";
inline constexpr const char* kMainLabel = "main";

class ClientProcess final : public Process {
 public:
  enum class Role : uint8_t { worker, snapshots, containers, pools };

  ClientProcess(Stage& stage, Network& network, const ClusterShape& shape, NodeId node, Role role,
                Scope& scope);
  ~ClientProcess() override { CHECK(!is_running()); }

  /// Connects and works until Scope::pausing. @param workers  that work at once, beside the role
  void start(uint32_t workers);
  /// Makes pool and container first.
  void start_as_founder(uint32_t workers);
  void kill();
  /// After kill(), with as many workers.
  void start_again() { start(workers_); }
  /// Nothing is under way.
  bool is_idle() const { return !is_running() || (run_->open && run_->busy == 0); }
  bool is_open() const { return is_running() && run_->open; }
  /// Begins to work again after a pause. One that is not connected yet will.
  void resume();
  /// For people: what it waits for.
  std::string doing() const;
  /// Reads every register, some at once. Only when idle; then is_idle() again.
  void read_all(std::vector<std::optional<Value>>& into);

 private:
  struct Run {
    std::unique_ptr<SimTransport> transport;
    std::unique_ptr<client::Rpc> rpc;
    std::unique_ptr<Context> context;
    std::unique_ptr<client::System> system;
    client::PoolPtr pool;
    client::ContainerPtr cont;
    bool open = false;
    uint32_t busy = 0;
    bool renews = false;  // soon
  };
  /// The ways of transactions.
  enum class Way : uint8_t { blind, read_and_write };

  void build();
  Task<void> found_and_open(uint32_t workers);
  Task<void> open(uint32_t workers);
  Task<Result<void>> connect();
  Task<void> work();
  void set_to_work();
  Task<void> read_some(size_t from, size_t step, std::vector<std::optional<Value>>& into);

  // Of registers: client_process.cc.
  Task<void> do_something();
  Task<Result<Value>> fetch(client::Container& cont, size_t at, client::ReadAt when = {});
  Task<void> read(size_t at);
  Task<void> put(size_t at, uint64_t flags);
  Task<void> punch(size_t at);
  Task<void> change_group(size_t group, Way way);
  Task<void> change_together(std::vector<size_t> registers, bool same, Way way);
  Task<void> change_blindly(std::vector<size_t> registers, std::vector<Value> values);
  Task<void> read_and_change(std::vector<size_t> registers, std::vector<Value> values);
  Task<void> look_at_group(size_t group);
  void ended(const char* what, const Error& error);
  Task<void> ask_about_handle(std::string what, client::ContainerPtr cont);
  void well(const char* what) { ++scope_.done[what], ++scope_.ended; }

  // Of the services: client_services.cc.
  Task<void> keep_snapshots();
  Task<void> make_snapshot();
  Task<void> look_at_snapshot(model::Epoch epoch);
  Task<void> drop_snapshot(model::Epoch epoch);
  Task<void> list_snapshots();
  Task<void> roll_back();
  Task<void> roll_back_to(model::Epoch epoch);
  Task<void> keep_containers();
  Task<void> make_container(std::string label);
  Task<void> use_container(std::string label);
  Task<void> drop_container(std::string label);
  Task<void> list_containers();
  /// A value goes into a container and is read back.
  Task<Result<void>> use(client::Pool& pool, std::string label);
  /// Or until the workers pause.
  Task<void> pause(Duration length);

  // Of pools: client_pools.cc.
  Task<void> keep_pools();
  Task<void> make_pool(std::string label);
  Task<void> use_pool(std::string label);
  Task<void> drop_pool(std::string label);
  Task<void> list_pools();

  Instant now() { return stage().now(); }
  uint64_t dice(uint64_t sides) { return random().below(sides); }
  /// The session has come to its end: another run.
  void renew();

  Network& network_;
  const ClusterShape shape_;
  const NodeId node_;
  const Role role_;
  Scope& scope_;
  Book& book_;
  uint32_t workers_ = 0;
  std::unique_ptr<Run> run_;
};

/// The whole of `bytes` as a single value.
model::Iods single_iod(ByteSpan bytes);

}  // namespace cairn::sim
