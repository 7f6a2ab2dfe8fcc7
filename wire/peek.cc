#include "wire/peek.h"

#include <cstring>

#include "wire/header_format.h"
#include "wire/message.h"

namespace cairn::wire {

std::optional<uint32_t> peek_target(ByteView message) {
  HeaderFormat header;
  if (message.size() < sizeof(header)) return std::nullopt;
  std::memcpy(&header, message.data(), sizeof(header));
  if (header.opcode.get() == static_cast<uint16_t>(Opcode::control)) return std::nullopt;
  return header.target.get();
}

}  // namespace cairn::wire
