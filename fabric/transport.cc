#include "fabric/transport.h"

namespace cairn::fabric {

Task<Message> Service::serve_message(Buffer request, size_t head_bytes) {
  Bytes reply = co_await serve_bytes(std::move(request).take_bytes());
  if (!reply.empty()) reply.insert(reply.begin(), head_bytes, std::byte{0});
  co_return Message{.head = std::move(reply)};
}

}  // namespace cairn::fabric
