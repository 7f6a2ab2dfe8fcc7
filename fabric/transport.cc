#include "fabric/transport.h"

namespace cairn::fabric {

Task<Message> Service::serve_message(Buffer request, size_t head_bytes) {
  Bytes reply = co_await serve_bytes(std::move(request).take_bytes());
  if (!reply.empty()) reply.insert(reply.begin(), head_bytes, std::byte{0});
  co_return Message{.head = std::move(reply)};
}

Service::Begun Service::begin_message(Buffer request, size_t head_bytes) {
  return {.message = {}, .rest = serve_message(std::move(request), head_bytes)};
}

}  // namespace cairn::fabric
