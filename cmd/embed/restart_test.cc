// A home that is killed and opened again under clients that go on; clients of several sessions.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "client/system.h"
#include "cmd/embed/home_graph.h"
#include "wire/codec.h"
#include "wire/control.h"

namespace cairn::embed {
namespace {

namespace fs = std::filesystem;
using wire::Op;

constexpr uint64_t kSession = 77;

/// What a client knows and keeps over a kill of its server.
struct Known {
  uint64_t pool = 0, cont = 0, other_cont = 0, snapshot = 0;
  wire::HandleRef io, closed_io, other_io;
  model::Epoch first = 0;
};

std::shared_ptr<HomeGraph> open(const std::string& home, bool keep = true) {
  auto graph = HomeGraph::open({.home = {.path = home}, .keep_handles = keep});
  EXPECT_TRUE(graph);
  return graph ? *graph : nullptr;
}

/// One session's messages, as bytes.
class Client {
 public:
  Client(HomeGraph& graph, uint64_t session, uint64_t sequence)
      : graph_(graph), session_(session), sequence_(sequence) {}

  wire::Reply send(wire::Request request, bool resend = false) {
    request.header.session = session_;
    if (resend) request.header.flags |= wire::kFlagResend;
    if (!resend) ++sequence_;
    const bool reads = request.opcode() == wire::Opcode::fetch;
    request.header.sequence = reads ? 0 : sequence_;
    Bytes message;
    CHECK(wire::encode_request(request, message).has_value());
    const Bytes answer = graph_.context().run(graph_.engine().serve_bytes(std::move(message)));
    wire::Reply reply;
    CHECK(wire::decode_reply(answer, request, reply).has_value());
    return reply;
  }
  Result<wire::ControlReply> control(wire::ControlRequest request, bool resend = false) {
    wire::Request message;
    message.body = wire::Control{.body = wire::proto_encode(request)};
    const wire::Reply reply = send(std::move(message), resend);
    if (reply.error.code() != Errc::ok) return fail(reply.error);
    return wire::proto_decode<wire::ControlReply>(std::get<Bytes>(reply.body));
  }
  static wire::ObjectAddress object() {
    return {.oid = {.lo = 1, .hi = uint64_t{1} << 48 | uint64_t{1} << 32}};
  }
  static model::Iod iod(std::string& value) {
    return {.akey = as_bytes("a"),
            .type = model::ValueType::single,
            .record_bytes = value.size(),
            .flags = 0,
            .recxs = {},
            .buffer = {{reinterpret_cast<std::byte*>(value.data()), value.size()}}};
  }
  /// An insertion: a second execution would say "exists".
  wire::Reply insert(wire::HandleRef io, const char* dkey, std::string value, bool resend = false) {
    wire::Request request;
    request.header.handle = io;
    request.body = wire::ObjectUpdate{.object = object(),
                                      .flags = model::cond::kDkeyInsert,
                                      .dkey = as_bytes(dkey),
                                      .iods = {iod(value)}};
    return send(std::move(request), resend);
  }
  std::string fetch(wire::HandleRef io, const char* dkey) {
    std::string value(100, '#');
    wire::Request request;
    request.header.handle = io;
    request.body =
        wire::ObjectFetch{.object = object(), .dkey = as_bytes(dkey), .iods = {iod(value)}};
    std::get<wire::ObjectFetch>(request.body).iods.front().record_bytes = 0;
    const wire::Reply reply = send(std::move(request));
    if (reply.error.code() != Errc::ok) return "no_handle";
    const auto& got = std::get<model::Fetched>(reply.body);
    value.resize(got.iods.front().record_bytes);
    return value;
  }

 private:
  HomeGraph& graph_;
  uint64_t session_, sequence_;
};

constexpr uint64_t kUpdate = 8, kRollback = 9;  // their sequences

/// Makes a home, changes it as a client does, and leaves no time for any answer after the last
/// update.
Known first_life(const std::string& home) {
  const auto graph = open(home);
  Client client(*graph, kSession, 0);
  Known known;
  CHECK(client.control({.op = Op::pool_create, .label = "p", .bytes = 128u << 20}));
  known.pool = client.control({.op = Op::pool_connect, .name = "p", .access = 2})->handle;
  CHECK(client.control({.op = Op::cont_create, .label = "c", .pool_handle = known.pool}));
  const wire::ControlRequest opening{
      .op = Op::cont_open, .name = "c", .access = 2, .pool_handle = known.pool};
  const auto closed = *client.control(opening), opened = *client.control(opening);
  known.closed_io = {closed.io_index, closed.io_generation};
  known.io = {opened.io_index, opened.io_generation};
  known.cont = opened.handle;
  CHECK(client.control({.op = Op::cont_close, .cont_handle = closed.handle}));
  known.snapshot = client.control({.op = Op::snap_create, .cont_handle = known.cont})->first;
  known.first = client.insert(known.io, "d", "value").header.epoch;
  _Exit(write(STDOUT_FILENO, &known, sizeof known) == sizeof known ? 0 : 1);
}

class RestartTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cairn_restart_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    home_ = root_ + "/home";
    setenv("CAIRN_LOG", "off", 1);
  }
  void TearDown() override { fs::remove_all(root_); }

  /// Runs the first life in a process that ends without closing anything.
  Known live_and_die() {
    int ends[2];
    CHECK(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
      dup2(ends[1], STDOUT_FILENO);
      first_life(home_);
    }
    ::close(ends[1]);
    Known known;
    EXPECT_EQ(read(ends[0], &known, sizeof known), ssize_t{sizeof known});
    ::close(ends[0]);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return known;
  }

  std::string root_, home_;
};

TEST_F(RestartTest, A_client_goes_on_after_a_kill_of_its_server) {
  // Goal: handles, answers and the window of updates survive, from the log and from a checkpoint.
  // Method: a process dies after an update; resend it twice over: after the kill, and after an
  // orderly restart; what was closed is closed.
  const Known known = live_and_die();
  ASSERT_NE(known.first, 0u);
  for (int life = 0; life < 2; ++life) {
    const auto graph = open(home_);
    ASSERT_NE(graph, nullptr);
    EXPECT_EQ(graph->service().sessions(), std::vector<uint64_t>{kSession});
    Client client(*graph, kSession, kUpdate);
    const wire::Reply again = client.insert(known.io, "d", "value", true);
    EXPECT_EQ(again.error.code(), Errc::ok) << again.error.what();
    EXPECT_EQ(again.header.epoch, known.first);
    EXPECT_EQ(client.fetch(known.io, "d"), "value");
    EXPECT_EQ(client.fetch(known.closed_io, "d"), "no_handle");
    EXPECT_EQ(Client(*graph, 78, 0).fetch(known.io, "d"), "no_handle");
    const auto opened =
        client.control({.op = Op::cont_open, .name = "c", .access = 1, .pool_handle = known.pool});
    ASSERT_TRUE(opened);
    EXPECT_NE(opened->io_index, known.io.index);
    EXPECT_NE(opened->handle, known.cont);
    EXPECT_NE((wire::HandleRef{opened->io_index, opened->io_generation}), known.closed_io);
    ASSERT_TRUE(client.control({.op = Op::cont_close, .cont_handle = opened->handle}));
    ASSERT_TRUE(graph->close());
  }
}

/// Rolls back as a client does, in a process that dies when the shards have done it.
void roll_back_and_die(const std::string& home, const Known& known) {
  const pid_t child = fork();
  if (child == 0) {
    const auto die = [](const char* at) {
      if (std::strcmp(at, "snap.rollback.shards") == 0) _exit(0);
    };
    const auto graph =
        HomeGraph::open({.home = {.path = home}, .keep_handles = true, .at_step = die});
    if (!graph) _exit(1);
    Client client(**graph, kSession, kRollback - 1);
    (void)client.control(
        {.op = Op::snap_rollback, .cont_handle = known.cont, .epoch = known.snapshot});
    _exit(2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(RestartTest, A_rollback_is_made_once) {
  // Goal: updates that others made after it stay. Method: rollback, kill before its answer, update,
  // resend.
  const Known known = live_and_die();
  ASSERT_NO_FATAL_FAILURE(roll_back_and_die(home_, known));
  const auto graph = open(home_);
  Client client(*graph, kSession, kRollback), other(*graph, kSession, kRollback + 1);
  EXPECT_EQ(other.insert(known.io, "e", "later").error.code(), Errc::ok);
  const auto again = client.control(
      {.op = Op::snap_rollback, .cont_handle = known.cont, .epoch = known.snapshot}, true);
  EXPECT_TRUE(again) << again.error().what();
  EXPECT_EQ(client.fetch(known.io, "e"), "later");
  EXPECT_EQ(client.fetch(known.io, "d"), "");
}

TEST_F(RestartTest, A_process_that_keeps_no_handles_ends_those_of_the_server) {
  // Goal: opening in process after a server that was killed. Method: as it says, then the server
  // again.
  const Known known = live_and_die();
  {
    const auto graph = open(home_, false);
    ASSERT_NE(graph, nullptr);
    EXPECT_EQ(Client(*graph, kSession, kUpdate).fetch(known.io, "d"), "no_handle");
  }
  const auto graph = open(home_);
  EXPECT_TRUE(graph->service().sessions().empty());
  EXPECT_EQ(Client(*graph, kSession, kUpdate).fetch(known.io, "d"), "no_handle");
}

/// A second client process on the same engine.
struct Process {
  explicit Process(HomeGraph& graph, client::RpcOptions options = {})
      : rpc(graph.context().reactor(), graph.transport(), of(graph, options)) {
    client::SystemParts parts;
    parts.context = &graph.context();
    parts.rpc = &rpc;
    parts.service = {.rank = 0};
    system = client::make_system(std::move(parts));
  }
  static client::RpcOptions of(HomeGraph& graph, client::RpcOptions options) {
    options.system = graph.system();
    return options;
  }
  client::Rpc rpc;
  std::unique_ptr<client::System> system;
};

TEST_F(RestartTest, Only_where_the_engine_is_in_the_process_a_fetch_may_succeed_at_once) {
  // Goal: others do not take the baton for a try that always fails. Method: one container by both
  // kinds of clients.
  const auto graph = open(home_);
  ASSERT_NE(graph, nullptr);
  Process embedded(*graph), served(*graph, client::served_rpc_options());
  const auto run = [&graph](auto task) { return graph->context().run(std::move(task)); };
  ASSERT_TRUE(run(embedded.system->pool_create({.label = "p", .bytes = 128u << 20})));
  for (Process* const process : {&embedded, &served}) {
    const auto pool = run(process->system->pool_connect("p", client::Access::read_write));
    ASSERT_TRUE(pool);
    if (process == &embedded) ASSERT_TRUE(run((*pool)->cont_create("c", {})));
    const auto cont = run((*pool)->cont_open("c", client::Access::read_write));
    ASSERT_TRUE(cont);
    EXPECT_EQ((*cont)->fetches_at_once(), process == &embedded);
  }
}

TEST_F(RestartTest, A_handle_of_one_process_is_used_in_another) {
  // Goal: pool_attach, cont_attach and what ends them. Method: two clients of one engine: the
  // second writes through copies, closes one; the first is ended.
  const auto graph = open(home_);
  ASSERT_NE(graph, nullptr);
  Process first(*graph), second(*graph);
  const auto run = [&graph](auto task) { return graph->context().run(std::move(task)); };
  ASSERT_TRUE(run(first.system->pool_create({.label = "p", .bytes = 128u << 20})));
  const auto pool = *run(first.system->pool_connect("p", client::Access::exclusive));
  ASSERT_TRUE(run(pool->cont_create("c", {})));
  const auto cont = *run(pool->cont_open("c", client::Access::exclusive));
  EXPECT_EQ(second.system->uuid(), first.system->uuid());
  EXPECT_FALSE(second.system->uuid().is_nil());

  const auto pool_copy = run(second.system->pool_attach(pool->handle_id()));
  ASSERT_TRUE(pool_copy);
  EXPECT_EQ((*pool_copy)->access(), client::Access::exclusive);
  const auto cont_copy = run((*pool_copy)->cont_attach(cont->handle_id()));
  const auto spare = run((*pool_copy)->cont_attach(cont->handle_id()));
  ASSERT_TRUE(cont_copy && spare);
  EXPECT_EQ((*cont_copy)->uuid(), cont->uuid());
  EXPECT_EQ(run((*cont_copy)->query())->handle_count, 1u);
  std::string value = "v";
  const auto oid = Client::object().oid;
  const auto put = [&](client::Container& to) {
    return run(to.update({.oid = oid, .dkey = as_bytes("d")}, {Client::iod(value)}));
  };
  EXPECT_TRUE(put(**cont_copy));
  EXPECT_TRUE(put(*cont));
  ASSERT_TRUE(run((*spare)->close()));
  EXPECT_TRUE(put(**cont_copy));

  EXPECT_EQ(run(second.system->pool_attach(cont->handle_id())).error().code(), Errc::no_handle);
  EXPECT_EQ(run((*pool_copy)->cont_attach(pool->handle_id())).error().code(), Errc::no_handle);
  graph->context().run(graph->service().end_session(first.rpc.session()));
  EXPECT_EQ(put(**cont_copy).error().code(), Errc::no_handle);
  EXPECT_EQ(put(*cont).error().code(), Errc::no_handle);
  EXPECT_EQ(run((*pool_copy)->query()).error().code(), Errc::no_handle);
  EXPECT_EQ(run(second.system->pool_attach(pool->handle_id())).error().code(), Errc::no_handle);
  EXPECT_EQ(graph->engine().handle_count(), 0u);
}

}  // namespace
}  // namespace cairn::embed
