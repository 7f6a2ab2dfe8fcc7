#include "fabric/transport.h"

namespace cairn::fabric {

Task<Bytes> Service::serve_with_head(Bytes request, size_t head_bytes) {
  Bytes reply = co_await serve_bytes(std::move(request));
  if (!reply.empty()) reply.insert(reply.begin(), head_bytes, std::byte{0});
  co_return reply;
}

}  // namespace cairn::fabric
