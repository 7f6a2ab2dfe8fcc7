#include "base/errc.h"

namespace cairn {

const char* errc_name(Errc code) noexcept {
  switch (code) {
    case Errc::ok: return "ok";
    case Errc::no_perm: return "no_perm";
    case Errc::no_handle: return "no_handle";
    case Errc::invalid: return "invalid";
    case Errc::exists: return "exists";
    case Errc::nonexistent: return "nonexistent";
    case Errc::unreachable: return "unreachable";
    case Errc::no_space: return "no_space";
    case Errc::already: return "already";
    case Errc::no_memory: return "no_memory";
    case Errc::no_sys: return "no_sys";
    case Errc::timed_out: return "timed_out";
    case Errc::busy: return "busy";
    case Errc::again: return "again";
    case Errc::protocol: return "protocol";
    case Errc::uninitialized: return "uninitialized";
    case Errc::truncated: return "truncated";
    case Errc::overflow: return "overflow";
    case Errc::canceled: return "canceled";
    case Errc::misc: return "misc";
    case Errc::bad_path: return "bad_path";
    case Errc::not_dir: return "not_dir";
    case Errc::io: return "io";
    case Errc::stale_map: return "stale_map";
    case Errc::key_too_big: return "key_too_big";
    case Errc::record_too_big: return "record_too_big";
    case Errc::io_invalid: return "io_invalid";
    case Errc::shutdown: return "shutdown";
    case Errc::checksum: return "checksum";
    case Errc::format_invalid: return "format_invalid";
    case Errc::format_newer: return "format_newer";
    case Errc::record_size: return "record_size";
    case Errc::tx_restart: return "tx_restart";
    case Errc::data_loss: return "data_loss";
    case Errc::not_supported: return "not_supported";
    case Errc::in_progress: return "in_progress";
    case Errc::overload: return "overload";
    case Errc::unknown: return "unknown";
    case Errc::page_absent: return "page_absent";
  }
  return "unlisted";
}

}  // namespace cairn
