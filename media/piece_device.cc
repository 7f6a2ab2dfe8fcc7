#include "media/piece_device.h"

#include "runtime/parallel.h"

namespace cairn::media {
namespace {

constexpr size_t kPiecesAtOnce = 32;

Task<Result<void>> past_end() { co_return fail(Errc::io, "blob: request past the end"); }

}  // namespace

template <class Request>
Task<Result<void>> PieceDevice::split(uint64_t offset, uint64_t bytes, Request request) {
  if (offset > bytes_ || bytes > bytes_ - offset) return past_end();
  const Piece first = piece_at(offset, bytes);
  if (first.bytes == bytes) return request(0, first);
  std::vector<Task<Result<void>>> pieces;
  for (uint64_t done = 0; done < bytes;) {
    const Piece piece = piece_at(offset + done, bytes - done);
    pieces.push_back(request(done, piece));
    done += piece.bytes;
  }
  return run_all(reactor_, std::move(pieces), kPiecesAtOnce);
}

Task<Result<void>> PieceDevice::read(uint64_t offset, ByteSpan into) {
  return split(offset, into.size(), [into](uint64_t done, const Piece& piece) {
    return piece.device->read(piece.offset, into.subspan(done, piece.bytes));
  });
}

Task<Result<void>> PieceDevice::write(uint64_t offset, ByteView from) {
  return split(offset, from.size(), [from](uint64_t done, const Piece& piece) {
    return piece.device->write(piece.offset, from.subspan(done, piece.bytes));
  });
}

Task<Result<void>> PieceDevice::write_durable(uint64_t offset, ByteView from) {
  return split(offset, from.size(), [from](uint64_t done, const Piece& piece) {
    return piece.device->write_durable(piece.offset, from.subspan(done, piece.bytes));
  });
}

bool PieceDevice::flush_covers(uint64_t offset, uint64_t bytes) {
  while (bytes != 0) {
    if (offset >= bytes_) return false;
    const Piece piece = piece_at(offset, std::min(bytes, bytes_ - offset));
    if (!piece.device->flush_covers(piece.offset, piece.bytes)) return false;
    offset += piece.bytes;
    bytes -= piece.bytes;
  }
  return true;
}

Task<void> PieceDevice::discard(uint64_t offset, uint64_t bytes) {
  while (bytes != 0 && offset < bytes_) {
    const Piece piece = piece_at(offset, std::min(bytes, bytes_ - offset));
    co_await piece.device->discard(piece.offset, piece.bytes);
    offset += piece.bytes;
    bytes -= piece.bytes;
  }
}

}  // namespace cairn::media
