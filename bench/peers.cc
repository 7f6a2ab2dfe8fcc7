#include "bench/peers.h"

#include <algorithm>
#include <cstring>

#include "media/file_device.h"
#include "runtime/context.h"
#include "runtime/parallel.h"

namespace cairn::bench {

namespace {

constexpr size_t kDigits = kKeyBytes - 3;

/// By hand: printf would be a tenth of a look-up.
void put_digits(char* end, uint64_t number) {
  for (size_t i = 0; i < kDigits; ++i, number /= 10) {
    *--end = static_cast<char>('0' + number % 10);
  }
}

}  // namespace

std::string key_text(uint64_t number) {
  std::string text(kKeyBytes, 'k');
  text[1] = 'e';
  text[2] = 'y';
  put_digits(text.data() + text.size(), number);
  return text;
}

std::string peer_key(uint64_t number) {
  static const std::string kBefore = "container-1/object-00001/key";
  std::string key;
  key.reserve(kBefore.size() + kDigits + 2);
  key = kBefore;
  key.resize(kBefore.size() + kDigits);
  put_digits(key.data() + key.size(), number);
  key += "/a";
  return key;
}

struct RawFile::State {
  std::unique_ptr<Reactor> reactor;
  std::unique_ptr<Context> context;
  std::unique_ptr<media::Device> device;
};

RawFile::RawFile(const std::string& path, uint64_t slots, uint64_t slot_bytes)
    : state_(std::make_unique<State>()), slots_(slots), slot_bytes_(slot_bytes) {
  State& s = *state_;
  s.reactor =
      std::make_unique<Reactor>(system_clock(), system_random(), *make_io_backend(IoDrivers::one));
  s.context = std::make_unique<Context>(*s.reactor);
  auto opened = s.context->run(
      media::open_file_device(*s.reactor, path, {.create = true, .bytes = slots * slot_bytes}));
  if (!opened) die("cannot make the raw file: " + std::string(opened.error().what()));
  s.device = std::move(*opened);
}

RawFile::~RawFile() = default;

void RawFile::write(uint64_t slot, const std::byte* data) {
  State& s = *state_;
  if (!s.context->run(s.device->write_durable(slot * slot_bytes_, {data, slot_bytes_}))) {
    die("a raw write failed");
  }
}

void RawFile::read(uint64_t slot, std::byte* data) {
  State& s = *state_;
  if (!s.context->run(s.device->read(slot * slot_bytes_, {data, slot_bytes_}))) {
    die("a raw read failed");
  }
}

namespace {

struct Transfers {
  media::Device& device;
  const std::function<uint64_t()>& next;
  uint64_t slot_bytes;
  uint64_t left;
  bool reading;
};

Task<Result<void>> transfer_some(Transfers& all, std::byte* buffer) {
  while (all.left != 0) {
    --all.left;
    const uint64_t offset = all.next() * all.slot_bytes;
    auto done = all.reading
                    ? co_await all.device.read(offset, {buffer, all.slot_bytes})
                    : co_await all.device.write_durable(offset, {buffer, all.slot_bytes});
    if (!done) co_return done;
  }
  co_return Result<void>{};
}

}  // namespace

void RawFile::transfer(Many many, const std::function<uint64_t()>& next, std::byte* buffers) {
  State& s = *state_;
  Transfers all{*s.device, next, slot_bytes_, many.count, many.reading};
  std::vector<Task<Result<void>>> tasks;
  for (size_t i = 0; i < many.depth; ++i) {
    tasks.push_back(transfer_some(all, buffers + i * slot_bytes_));
  }
  if (!s.context->run(run_all(*s.reactor, std::move(tasks), many.depth))) die("raw I/O failed");
}

void RawFile::fill(const std::byte* data) {
  // Small slots many a write: each waits for the disk.
  const uint64_t together = std::max<uint64_t>(1, (1u << 20) / slot_bytes_);
  media::AlignedBuffer buffer(together * slot_bytes_);
  for (uint64_t i = 0; i < together; ++i) {
    std::memcpy(buffer.data() + i * slot_bytes_, data, slot_bytes_);
  }
  State& s = *state_;
  for (uint64_t slot = 0; slot < slots_; slot += together) {
    const uint64_t bytes = std::min(together, slots_ - slot) * slot_bytes_;
    if (!s.context->run(s.device->write_durable(slot * slot_bytes_, {buffer.data(), bytes}))) {
      die("a raw write failed");
    }
  }
}

}  // namespace cairn::bench
