#include "fabric/stream.h"

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/large_blocks.h"

namespace cairn::fabric {

namespace {

/// What one transfer reads at most, small frames; the payload of large ones goes past the buffer.
constexpr size_t kReadBytes = kLargeBlockMin;
/// And before it is known that more is there: a page and what stands around it in a message. Each
/// connection holds that much while it is idle.
constexpr size_t kIdleReadBytes = 4608;
/// An end of a payload that is shorter goes through the buffer.
constexpr size_t kBufferedEndMax = 32u << 10;
static_assert(kBufferedEndMax <= kReadBytes);
/// Frames up to this size are copied together with their neighbours.
constexpr size_t kJoinedBytesMax = 64u << 10;
/// Of a large message that may be on its way in the kernel.
constexpr size_t kWideBytes = 1u << 20;
/// The first allocation for a payload; doubled as bytes arrive.
constexpr size_t kPayloadFirst = 4u << 20;

Result<FrameHead> parse_head(const std::byte* bytes, uint32_t bytes_max) {
  FrameFormat f;
  std::memcpy(&f, bytes, sizeof(f));
  if (f.magic.get() != kFrameMagic) {
    return fail(Errc::format_invalid, "stream: the peer does not speak our protocol");
  }
  if (crc32c({bytes, offsetof(FrameFormat, checksum)}) != f.checksum.get()) {
    return fail(Errc::checksum, "stream: a frame was damaged on the way");
  }
  const uint16_t kind = f.kind.get();
  if (kind < static_cast<uint16_t>(FrameKind::hello) ||
      kind > static_cast<uint16_t>(FrameKind::bell) || f.flags.get() != 0) {
    return fail(Errc::format_invalid, "stream: a frame uses what this version does not know");
  }
  if (f.bytes.get() > bytes_max) {
    return fail(Errc::record_too_big, "stream: a frame is over the limit");
  }
  return FrameHead{.kind = static_cast<FrameKind>(kind), .id = f.id.get(), .bytes = f.bytes.get()};
}

void put_head(Bytes& frame, size_t bulk_bytes, FrameKind kind, uint64_t id) {
  FrameFormat f{};
  f.magic = kFrameMagic;
  f.kind = static_cast<uint16_t>(kind);
  f.id = id;
  f.bytes = static_cast<uint32_t>(frame.size() - kFrameHeadBytes + bulk_bytes);
  f.checksum = crc32c(view_of(&f, offsetof(FrameFormat, checksum)));
  std::memcpy(frame.data(), &f, sizeof(f));
}

/// Room for `bytes`, `have` of which stand at the front of `before`.
Result<Buffer> grown(Buffer before, size_t have, size_t bytes) {
  Buffer out = Buffer::uninitialised(bytes);
  if (out.empty()) return fail(Errc::no_memory, "stream: no memory for a message");
  if (have != 0) std::memcpy(out.data(), before.data(), have);
  return out;
}

}  // namespace

Stream::Stream(Reactor& reactor, Socket socket, uint32_t bytes_max)
    : reactor_(reactor),
      socket_(std::move(socket)),
      bytes_max_(bytes_max),
      small_(std::make_unique_for_overwrite<std::byte[]>(kIdleReadBytes)),
      buffer_(small_.get()),
      idle_(reactor) {}

Stream::~Stream() { CHECK(!writing_); }

/// For the next transfer, with what stands in the present one at its front. A large one only if
/// more has come than goes into the small one, so that who waits holds little.
void Stream::choose_buffer() {
  const size_t have = buffered();
  DCHECK(have < kIdleReadBytes);
  Buffer large;
  if (filled_ && socket_.received_bytes() > kIdleReadBytes - have) {
    large = large_.empty() ? Buffer::uninitialised(kReadBytes) : std::move(large_);
  }
  // Without memory for it the small one does, too.
  std::byte* const next = large.empty() ? small_.get() : large.data();
  std::memmove(next, buffer_ + begin_, have);
  buffer_ = next;
  large_ = std::move(large);
  begin_ = 0;
  end_ = have;
}

size_t Stream::buffer_bytes() const { return kIdleReadBytes + large_.size(); }

Task<Result<void>> Stream::fill(size_t bytes) {
  while (buffered() < bytes) {
    if (broken_) co_return fail(Errc::io, "stream: the connection is closed");
    choose_buffer();
    const size_t room = (large_.empty() ? kIdleReadBytes : large_.size()) - end_;
    const int64_t got = co_await socket_.recv(buffer_ + end_, room);
    if (got == 0 && buffered() == 0) co_return fail(Errc::shutdown, "stream: closed by the peer");
    if (got <= 0) {
      broken_ = true;
      co_return fail(Errc::io, "stream: the connection broke");
    }
    end_ += static_cast<size_t>(got);
    filled_ = static_cast<size_t>(got) == room;
  }
  co_return Result<void>{};
}

Task<Result<FrameHead>> Stream::read_head() {
  CO_TRY(filled, co_await fill(kFrameHeadBytes));
  const std::byte* const at = buffer_ + std::exchange(begin_, begin_ + kFrameHeadBytes);
  co_return parse_head(at, bytes_max_);
}

Task<Result<Buffer>> Stream::read_payload(uint32_t bytes) {
  Buffer out;
  if (bytes == 0) co_return out;
  CO_TRY(first, grown({}, 0, std::min<size_t>(bytes, kPayloadFirst)));
  out = std::move(first);
  size_t have = std::min(buffered(), out.size());
  std::memcpy(out.data(), buffer_ + begin_, have);
  begin_ += have;
  while (have < bytes) {
    if (have == out.size()) {
      CO_TRY(larger, grown(std::move(out), have, std::min<size_t>(bytes, 2 * have)));
      out = std::move(larger);
    }
    // The end of a small payload goes through the buffer: more frames may come with it.
    if (out.size() - have < kBufferedEndMax && out.size() == bytes) {
      CO_TRY(filled, co_await fill(std::min<size_t>(bytes - have, 1)));
      const size_t part = std::min(buffered(), out.size() - have);
      std::memcpy(out.data() + have, buffer_ + begin_, part);
      begin_ += part;
      have += part;
      continue;
    }
    if (broken_) co_return fail(Errc::io, "stream: the connection is closed");
    const int64_t got = co_await socket_.recv(out.data() + have, out.size() - have);
    if (got <= 0) {
      broken_ = true;
      co_return fail(Errc::io, "stream: the connection broke inside a message");
    }
    have += static_cast<size_t>(got);
  }
  co_return out;
}

Task<Result<void>> Stream::skip_payload(uint32_t bytes) {
  for (uint32_t left = bytes; left != 0;) {
    CO_TRY(filled, co_await fill(1));
    const auto part = static_cast<uint32_t>(std::min<size_t>(buffered(), left));
    begin_ += part;
    left -= part;
  }
  co_return Result<void>{};
}

void Stream::post(FrameKind kind, uint64_t id, Bytes frame, Buffer bulk) {
  CHECK(frame.size() >= kFrameHeadBytes);
  if (broken_) return;
  put_head(frame, bulk.size(), kind, id);
  // Of a door's bells one that is queued stands for all.
  const bool alone = kind == FrameKind::call || kind == FrameKind::answer;
  const bool small = bulk.empty() && frame.size() <= kJoinedBytesMax;
  if (alone && small && sends_at_once() && send_at_once(frame)) return;
  unsent_bytes_ += frame.size() + bulk.size();
  queue_.push_back({std::move(frame), std::move(bulk)});
  if (std::exchange(writing_, true)) return;
  hurries_ ? reactor_.spawn_urgent(write()) : reactor_.spawn(write());
}

/// Nobody is about to post more, which could go in one with this: neither who is ready, nor who
/// answers what has been received.
bool Stream::sends_at_once() const {
  return hurries_ && !writing_ && buffered() == 0 && !reactor_.has_ready();
}

/// False: what is left of `frame` must wait.
bool Stream::send_at_once(Bytes& frame) {
  const int64_t sent = socket_.send_now(frame.data(), frame.size());
  if (sent < 0) {
    broken_ = true;
    socket_.shutdown();  // the reader learns it
    return true;
  }
  const bool all = static_cast<size_t>(sent) == frame.size();
  if (!all) frame.erase(frame.begin(), frame.begin() + sent);
  return all;
}

Task<bool> Stream::send_all(ByteView bytes) {
  while (!bytes.empty() && !broken_) {
    const int64_t sent = co_await socket_.send(bytes.data(), bytes.size());
    if (sent <= 0) {
      broken_ = true;
      socket_.shutdown();  // the reader learns it
    } else {
      bytes = bytes.subspan(static_cast<size_t>(sent));
    }
  }
  co_return !broken_;
}

/// The next frame, and what came meanwhile as far as copying is cheaper than a transfer of its own.
Stream::Outgoing Stream::next_outgoing() {
  Outgoing out = std::move(queue_.front());
  queue_.pop_front();
  while (!queue_.empty() && out.bulk.empty() &&
         out.frame.size() + queue_.front().frame.size() <= kJoinedBytesMax) {
    Outgoing& next = queue_.front();
    out.frame.insert(out.frame.end(), next.frame.begin(), next.frame.end());
    out.bulk = std::move(next.bulk);
    queue_.pop_front();
  }
  return out;
}

Task<void> Stream::write() {
  const auto self = shared_from_this();
  while (!queue_.empty() && !broken_) {
    const Outgoing next = next_outgoing();
    if (co_await send_all(next.frame)) co_await send_all(next.bulk);
    unsent_bytes_ -= std::min(unsent_bytes_, next.size());
  }
  if (broken_) {
    queue_.clear();
    unsent_bytes_ = 0;
  }
  writing_ = false;
  idle_.wake_all();
}

Task<void> Stream::flush() {
  while (writing_) co_await idle_.wait();
}

void Stream::widen() { socket_.widen(kWideBytes); }

void Stream::hurry() {
  hurries_ = true;
  socket_.set_urgent();
}

void Stream::stop_reading() { socket_.shutdown_reading(); }

void Stream::shutdown() {
  broken_ = true;
  socket_.shutdown();
}

Task<void> Stream::close() {
  shutdown();
  return flush();
}

}  // namespace cairn::fabric
