// A call and a service of text, for the tests of transports.
#pragma once

#include <algorithm>
#include <string>

#include "fabric/transport.h"
#include "runtime/reactor.h"

namespace cairn::fabric {

/// Text in, text out. `room`: what the caller expects to get.
struct TextCall final : Call {
  std::string question, answer;
  uint64_t room = 0;
  Duration wait = 0;
  void retry_after(Duration w) override { wait = w; }
  void* request() override { return nullptr; }
  void* reply() override { return nullptr; }
  uint64_t payload_bytes() const override { return std::max<uint64_t>(question.size(), room); }
  Result<void> encode_request(Bytes& out) override {
    const ByteView bytes = as_bytes(question);
    out.insert(out.end(), bytes.begin(), bytes.end());
    return {};
  }
  Result<void> decode_reply(ByteView bytes) override {
    answer = as_chars(bytes);
    return {};
  }
};

/// Answers with what it got and "!"; "hang" waits until it is let go, "mute" gets no answer,
/// "big" gets a megabyte, "big N" N bytes.
struct Echo final : Service {
  explicit Echo(Reactor& reactor) : go(reactor) {}
  Task<Result<void>> serve(void*, void*) override { co_return fail(Errc::misc, "by reference"); }
  Task<Bytes> serve_bytes(Bytes request) override {
    ++served;
    std::string text(as_chars(request));
    if (text == "hang") {
      ++hanging;
      while (!let_go) co_await go.wait();
    }
    if (text == "mute") co_return Bytes{};
    if (text == "big") text.assign(1u << 20, 'b');
    if (text.starts_with("big ")) text.assign(std::stoul(text.substr(4)), 'b');
    text += "!";
    const ByteView bytes = as_bytes(text);
    co_return Bytes(bytes.begin(), bytes.end());
  }
  WaitList go;
  bool let_go = false;
  int served = 0, hanging = 0;
};

}  // namespace cairn::fabric
