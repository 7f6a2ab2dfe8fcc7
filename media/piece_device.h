// PieceDevice: a blob whose bytes stand in several places, on one device below or on several. A
// request is cut where the places change; nearly every one lies in one piece and goes straight
// down. Internal to media/. Home: the reactor of the devices below.
#pragma once

#include "media/portable_device.h"
#include "runtime/reactor.h"

namespace cairn::media {

class PieceDevice : public PortableDevice {
 public:
  uint64_t size_bytes() const final { return bytes_; }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) final;
  Task<Result<void>> write(uint64_t offset, ByteView from) final;
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) final;
  Task<void> discard(uint64_t offset, uint64_t bytes) final;
  bool flush_covers(uint64_t offset, uint64_t bytes) final;

 protected:
  struct Piece {
    Device* device = nullptr;
    uint64_t offset = 0;  // on it
    uint64_t bytes = 0;
  };

  PieceDevice(Reactor& reactor, uint64_t bytes) : reactor_(reactor), bytes_(bytes) {}
  /// Where the bytes at `offset` are, as many of `bytes` as stand together.
  virtual Piece piece_at(uint64_t offset, uint64_t bytes) const = 0;
  Reactor& reactor() { return reactor_; }

 private:
  template <class Request>
  Task<Result<void>> split(uint64_t offset, uint64_t bytes, Request request);

  Reactor& reactor_;
  const uint64_t bytes_;
};

}  // namespace cairn::media
