#include "cmd/server/format_door.h"

#include <utility>

#include "engine/engine.h"
#include "fabric/stream_server.h"
#include "runtime/clock.h"
#include "runtime/context.h"
#include "runtime/io.h"
#include "runtime/random.h"
#include "wire/control.h"

namespace cairn::server {

namespace {

constexpr Duration kLookAgain = 50 * kMillisecond;
constexpr Duration kClosePatience = 2 * kSecond;

class Door {
 public:
  Door(Reactor& reactor, FormatDoorOptions options)
      : reactor_(reactor),
        options_(std::move(options)),
        engine_(reactor, {.system = {}, .rank = 0, .incarnation = 1, .target_count = 1}),
        server_(reactor, engine_,
                {.system = {}, .rank = 0, .incarnation = 1, .anybody = true, .stays = true},
                {.session = [](uint64_t, bool, bool) {}, .leave = [] {}}) {
    engine_.set_control([this](engine::ControlCall call) { return answer(std::move(call.body)); });
  }

  Task<Result<bool>> run() {
    CO_TRY(at, server_.listen(options_.listen));
    options_.ready();
    while (!formatted_ && !options_.leave()) co_await reactor_.sleep(kLookAgain);
    co_await server_.close(kClosePatience);
    co_await engine_.stop();
    co_return formatted_;
  }

 private:
  Task<Result<Bytes>> answer(Bytes body) {
    CO_TRY(request, wire::proto_decode<wire::ControlRequest>(body));
    wire::ControlReply reply;
    if (request.op == wire::Op::system_query) {
      for (uint32_t rank = 0; rank < options_.engine_count; ++rank) {
        const bool formatted = rank < options_.formatted_count;
        reply.engines.push_back(
            {.rank = rank,
             .state = formatted ? wire::EngineState::away : wire::EngineState::await_format});
      }
      co_return wire::proto_encode(reply);
    }
    if (request.op == wire::Op::storage_query) {
      reply.devices = options_.devices;
      co_return wire::proto_encode(reply);
    }
    if (request.op != wire::Op::storage_format) {
      co_return fail(Errc::uninitialized,
                     "server: the storage is not formatted; dmg storage format");
    }
    if (!formatted_) {
      CO_TRY(done, options_.format(request.force));
      formatted_ = true;
    }
    co_return wire::proto_encode(reply);
  }

  Reactor& reactor_;
  const FormatDoorOptions options_;
  engine::Engine engine_;
  fabric::StreamServer server_;
  bool formatted_ = false;
};

}  // namespace

Result<bool> wait_for_format(FormatDoorOptions options) {
  TRY(io, make_io_backend());
  Reactor reactor(system_clock(), system_random(), std::move(io));
  Context context(reactor);
  Door door(reactor, std::move(options));
  return context.run(door.run());
}

}  // namespace cairn::server
