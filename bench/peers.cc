#include "bench/peers.h"

#include <cstdio>

#include "media/file_device.h"
#include "runtime/context.h"

namespace cairn::bench {

std::string key_text(uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "key%013llu", static_cast<unsigned long long>(number));
  return text;
}

std::string peer_key(uint64_t number) {
  return "container-1/object-00001/" + key_text(number) + "/a";
}

struct RawFile::State {
  std::unique_ptr<Reactor> reactor;
  std::unique_ptr<Context> context;
  std::unique_ptr<media::Device> device;
};

RawFile::RawFile(const std::string& path, uint64_t slots) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.reactor = std::make_unique<Reactor>(system_clock(), system_random(), *make_io_backend());
  s.context = std::make_unique<Context>(*s.reactor);
  auto opened = s.context->run(
      media::open_file_device(*s.reactor, path, {.create = true, .bytes = slots * kSlotBytes}));
  if (!opened) die("cannot make the raw file: " + std::string(opened.error().what()));
  s.device = std::move(*opened);
}

RawFile::~RawFile() = default;

void RawFile::write(uint64_t slot, const std::byte* data) {
  State& s = *state_;
  if (!s.context->run(s.device->write_durable(slot * kSlotBytes, {data, kSlotBytes}))) {
    die("a raw write failed");
  }
}

void RawFile::read(uint64_t slot, std::byte* data) {
  State& s = *state_;
  if (!s.context->run(s.device->read(slot * kSlotBytes, {data, kSlotBytes}))) {
    die("a raw read failed");
  }
}

}  // namespace cairn::bench
