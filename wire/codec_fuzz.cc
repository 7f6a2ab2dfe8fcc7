// Fuzzer of the message parsers: any bytes, with and without checksums made right, as a request and
// as the reply to each sample request. What parses must encode again.
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/testing/fuzz.h"
#include "wire/codec.h"
#include "wire/header_format.h"
#include "wire/samples.h"

namespace {

using namespace cairn;

/// As if the bytes had arrived undamaged.
void seal(Bytes& message) {
  wire::HeaderFormat f;
  if (message.size() < sizeof(f)) return;
  std::memcpy(&f, message.data(), sizeof(f));
  f.version = wire::kVersion;
  f.message_bytes = message.size();
  const size_t bulk = sizeof(f) + f.bulk_offset.get() % (message.size() - sizeof(f) + 1);
  f.bulk_offset = static_cast<uint32_t>(bulk);
  f.bulk_checksum = crc32c(ByteView(message).subspan(bulk));
  std::memcpy(message.data(), &f, sizeof(f));
  f.checksum = crc32c(ByteView(message).subspan(wire::kChecksumFrom, bulk - wire::kChecksumFrom));
  std::memcpy(message.data(), &f, sizeof(f));
}

void set_magic(Bytes& message, uint32_t magic) {
  if (message.size() >= sizeof(magic)) store_le32(message.data(), magic);
}

void parse_request(Bytes message) {
  auto decoded = wire::decode_request(std::move(message));
  if (!decoded || (*decoded)->error.code() != Errc::ok) return;
  Bytes again;
  CHECK(wire::encode_request((*decoded)->request, again).has_value());
}

void parse_reply(Bytes message, size_t sample_index) {
  static const std::vector<wire::Sample> kSamples = wire::samples();
  // A copy: a fetch's buffers are written.
  std::vector<wire::Sample> fresh = wire::samples();
  wire::Sample& sample = fresh[sample_index % kSamples.size()];
  if (message.size() >= sizeof(wire::HeaderFormat)) {
    wire::HeaderFormat f;
    std::memcpy(&f, message.data(), sizeof(f));
    f.opcode = static_cast<uint16_t>(sample.request.opcode());
    f.session = sample.request.header.session;
    f.sequence = sample.request.header.sequence;
    std::memcpy(message.data(), &f, sizeof(f));
    seal(message);
  }
  wire::Reply reply;
  if (!wire::decode_reply(message, sample.request, reply)) return;
  Bytes again;
  wire::encode_reply(sample.request, reply, again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView view = view_of(data, size);
  const Bytes raw(view.begin(), view.end());
  parse_request(raw);
  Bytes request = raw;
  set_magic(request, wire::kRequestMagic);
  seal(request);
  parse_request(std::move(request));
  Bytes reply = raw;
  set_magic(reply, wire::kReplyMagic);
  parse_reply(std::move(reply), size == 0 ? 0 : data[size - 1]);
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  for (wire::Sample& sample : wire::samples()) {
    seeds.emplace_back();
    if (!wire::encode_request(sample.request, seeds.back())) seeds.pop_back();
    seeds.emplace_back();
    wire::encode_reply(sample.request, sample.reply, seeds.back());
  }
  // The last byte of a reply chooses the request that it answers.
  for (size_t i = 0; i < seeds.size(); ++i) seeds[i].push_back(static_cast<std::byte>(i / 2));
  return seeds;
}
