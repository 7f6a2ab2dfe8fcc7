/* SPDX-License-Identifier: Apache-2.0 */
/** Conversions between -DER_ codes and errnos. */
#ifndef DAOS_COMMON_H
#define DAOS_COMMON_H

#include <daos_errno.h>
#include <daos_types.h>
#include <errno.h>
#include <gurt/common.h>

#if defined(__cplusplus)
extern "C" {
#endif

#ifndef ERESTART
#define ERESTART 85
#endif

/** Positive errno of a -DER_ code; unlisted ones are EIO. */
static inline int daos_der2errno(int err) {
  if (err > 0) return EINVAL;
  switch (-err) {
    case 0:
      return 0;
    case DER_NO_PERM:
    case DER_EP_RO:
    case DER_EP_OLD:
    case DER_CONT_DESTROYING:
      return EPERM;
    case DER_NO_HDL:
    case DER_INVAL:
    case DER_NOTYPE:
    case DER_NOSCHEMA:
    case DER_NOLOCAL:
    case DER_IO_INVAL:
      return EINVAL;
    case DER_EXIST:
      return EEXIST;
    case DER_NONEXIST:
    case DER_ENOENT:
      return ENOENT;
    case DER_UNREACH:
      return EHOSTUNREACH;
    case DER_NOSPACE:
      return ENOSPC;
    case DER_ALREADY:
      return EALREADY;
    case DER_NOMEM:
    case DER_DOS:
      return ENOMEM;
    case DER_TIMEDOUT:
      return ETIMEDOUT;
    case DER_BUSY:
    case DER_EQ_BUSY:
      return EBUSY;
    case DER_AGAIN:
      return EAGAIN;
    case DER_PROTO:
      return EPROTO;
    case DER_OVERFLOW:
      return EOVERFLOW;
    case DER_CANCELED:
      return ECANCELED;
    case DER_BADPATH:
    case DER_NOTDIR:
      return ENOTDIR;
    case DER_STALE:
      return ESTALE;
    case DER_KEY2BIG:
    case DER_REC2BIG:
      return E2BIG;
    case DER_TX_RESTART:
      return ERESTART;
    case DER_NOTSUPPORTED:
      return ENOTSUP;
    default:
      return EIO;
  }
}

/** -DER_ code of a positive errno; unlisted ones are -DER_MISC. */
static inline int daos_errno2der(int err) {
  if (err < 0) return -DER_UNKNOWN;
  switch (err) {
    case EOVERFLOW:
      return -DER_OVERFLOW;
    case EBADF:
      return -DER_NO_HDL;
    case ENOSYS:
      return -DER_NOSYS;
    case ETIMEDOUT:
      return -DER_TIMEDOUT;
    case EWOULDBLOCK:
      return -DER_AGAIN;
    case EPROTO:
      return -DER_PROTO;
    case EINVAL:
      return -DER_INVAL;
    case ENOTDIR:
      return -DER_NOTDIR;
    case EIO:
      return -DER_IO;
    case ENOTSUP:
      return -DER_NOTSUPPORTED;
    default:
      return d_errno2der(err);
  }
}

#if defined(__cplusplus)
}
#endif
#endif
