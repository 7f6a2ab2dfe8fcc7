#include "dfs/error.h"

namespace cairn::dfs {

int errno_of(Errc code) noexcept {
  switch (code) {
    case Errc::ok: return 0;
    case Errc::no_perm: return EPERM;
    case Errc::no_handle:
    case Errc::invalid:
    case Errc::io_invalid: return EINVAL;
    case Errc::exists: return EEXIST;
    case Errc::nonexistent: return ENOENT;
    case Errc::unreachable: return EHOSTUNREACH;
    case Errc::no_space: return ENOSPC;
    case Errc::already: return EALREADY;
    case Errc::no_memory: return ENOMEM;
    case Errc::timed_out: return ETIMEDOUT;
    case Errc::busy: return EBUSY;
    case Errc::again: return EAGAIN;
    case Errc::protocol: return EPROTO;
    case Errc::overflow: return EOVERFLOW;
    case Errc::canceled: return ECANCELED;
    case Errc::bad_path:
    case Errc::not_dir: return ENOTDIR;
    case Errc::stale_map: return ESTALE;
    case Errc::key_too_big:
    case Errc::record_too_big: return E2BIG;
    case Errc::tx_restart: return ERESTART;
    case Errc::not_supported: return ENOTSUP;
    default: return EIO;
  }
}

}  // namespace cairn::dfs
