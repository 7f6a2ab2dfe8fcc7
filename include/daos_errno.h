/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Error codes. Calls of libdaos return 0 or a negative code (-DER_NONEXIST). The lists are macros,
 * so that bindings can expand them into their own tables: each item is
 * ACTION(name, text without quotes).
 */
#ifndef DAOS_ERRNO_H
#define DAOS_ERRNO_H

#if defined(__cplusplus)
extern "C" {
#endif

/** Codes of the base layer: consecutive numbers after DER_ERR_GURT_BASE. */
#define D_FOREACH_GURT_ERR(ACTION) \
  ACTION(DER_NO_PERM, Operation not permitted) \
  ACTION(DER_NO_HDL, Invalid handle) \
  ACTION(DER_INVAL, Invalid parameters) \
  ACTION(DER_EXIST, Entity already exists) \
  ACTION(DER_NONEXIST, The specified entity does not exist) \
  ACTION(DER_UNREACH, Unreachable node) \
  ACTION(DER_NOSPACE, No space on storage target) \
  ACTION(DER_ALREADY, Operation already performed) \
  ACTION(DER_NOMEM, Out of memory) \
  ACTION(DER_NOSYS, Function not implemented) \
  ACTION(DER_TIMEDOUT, Time out) \
  ACTION(DER_BUSY, Device or resource busy) \
  ACTION(DER_AGAIN, Try again) \
  ACTION(DER_PROTO, Incompatible protocol) \
  ACTION(DER_UNINIT, Device or resource not initialized) \
  ACTION(DER_TRUNC, Buffer too short) \
  ACTION(DER_OVERFLOW, Data too long for defined data type or buffer size) \
  ACTION(DER_CANCELED, Operation canceled) \
  ACTION(DER_OOG, Out of group or member list) \
  ACTION(DER_HG, Transport layer failure) \
  ACTION(DER_UNREG, RPC or protocol version not registered) \
  ACTION(DER_ADDRSTR_GEN, Failed to generate an address string) \
  ACTION(DER_PMIX, PMIx layer failure) \
  ACTION(DER_IVCB_FORWARD, Incast variable is not available locally) \
  ACTION(DER_MISC, Miscellaneous error) \
  ACTION(DER_BADPATH, Bad path name) \
  ACTION(DER_NOTDIR, Not a directory) \
  ACTION(DER_CORPC_INCOMPLETE, Collective RPC did not reach every member) \
  ACTION(DER_NO_RAS_RANK, No rank is subscribed to RAS) \
  ACTION(DER_NOTATTACH, Service group not attached) \
  ACTION(DER_MISMATCH, Version mismatch) \
  ACTION(DER_EXCLUDED, Rank has been excluded) \
  ACTION(DER_NOREPLY, RPC handler did not send a reply) \
  ACTION(DER_DOS, Request refused to protect the service from overload) \
  ACTION(DER_BAD_TARGET, RPC was sent to the wrong target) \
  ACTION(DER_GRPVER, Group versions do not match) \
  ACTION(DER_HLC_SYNC, Clock synchronization error) \
  ACTION(DER_NO_SHMEM, Not enough shared memory) \
  ACTION(DER_ADD_METRIC_FAILED, Failed to add the metric) \
  ACTION(DER_DURATION_MISMATCH, Duration end without a matching start) \
  ACTION(DER_OP_NOT_PERMITTED, Operation not permitted on this type of metric) \
  ACTION(DER_EXCEEDS_PATH_LEN, Path name exceeds the permitted length) \
  ACTION(DER_METRIC_NOT_FOUND, Metric was not found) \
  ACTION(DER_SHMEM_PERMS, Shared memory segment belongs to another user or group) \
  ACTION(DER_HG_FATAL, Unrecoverable transport layer failure) \
  ACTION(DER_QUOTA_LIMIT, Quota limit reached)

/** Codes of the storage layer: consecutive numbers after DER_ERR_DAOS_BASE. */
#define D_FOREACH_DAOS_ERR(ACTION) \
  ACTION(DER_IO, I/O error) \
  ACTION(DER_FREE_MEM, Memory free error) \
  ACTION(DER_ENOENT, Entry not found) \
  ACTION(DER_NOTYPE, Unknown object type) \
  ACTION(DER_NOSCHEMA, Unknown object schema) \
  ACTION(DER_NOLOCAL, Object is not local) \
  ACTION(DER_STALE, Pool map is out of date) \
  ACTION(DER_NOTLEADER, Not the service leader) \
  ACTION(DER_TGT_CREATE, Target creation failed) \
  ACTION(DER_EP_RO, Epoch is read only) \
  ACTION(DER_EP_OLD, Epoch is too old and its data has been recycled) \
  ACTION(DER_KEY2BIG, Key is too large) \
  ACTION(DER_REC2BIG, Record is too large) \
  ACTION(DER_IO_INVAL, I/O buffers do not match object extents) \
  ACTION(DER_EQ_BUSY, Event queue is busy) \
  ACTION(DER_DOMAIN, Domains of the cluster component do not match) \
  ACTION(DER_SHUTDOWN, Service should shut down) \
  ACTION(DER_INPROGRESS, Operation now in progress) \
  ACTION(DER_NOTAPPLICABLE, Not applicable) \
  ACTION(DER_NOTREPLICA, Not a service replica) \
  ACTION(DER_CSUM, Checksum error) \
  ACTION(DER_DF_INVAL, Unsupported durable format) \
  ACTION(DER_DF_INCOMPT, Incompatible durable format version) \
  ACTION(DER_REC_SIZE, Record size error) \
  ACTION(DER_TX_RESTART, Transaction should be restarted) \
  ACTION(DER_DATA_LOSS, Data lost or not recoverable) \
  ACTION(DER_OP_CANCELED, Operation canceled by the service) \
  ACTION(DER_TX_BUSY, Transaction is not yet committed) \
  ACTION(DER_AGENT_INCOMPAT, Agent is incompatible with the client library) \
  ACTION(DER_NEED_TX, A distributed transaction is needed) \
  ACTION(DER_RF, Failures exceed the redundancy factor) \
  ACTION(DER_FETCH_AGAIN, Fetch again) \
  ACTION(DER_TX_UNCERTAIN, Transaction status is uncertain) \
  ACTION(DER_AGENT_COMM, Communication with the agent failed) \
  ACTION(DER_ID_MISMATCH, Identifiers do not match) \
  ACTION(DER_TGT_RETRY, Retry with another target) \
  ACTION(DER_NOTSUPPORTED, Operation not supported) \
  ACTION(DER_CONTROL_INCOMPAT, Control plane components are incompatible) \
  ACTION(DER_NO_SERVICE, No service available) \
  ACTION(DER_TX_ID_REUSED, Transaction identifier may have been reused) \
  ACTION(DER_UPDATE_AGAIN, Update again) \
  ACTION(DER_NVME_IO, NVMe I/O error) \
  ACTION(DER_NO_CERT, Unable to access the certificate) \
  ACTION(DER_BAD_CERT, Invalid certificate) \
  ACTION(DER_VOS_PARTIAL_UPDATE, Same epoch partial overwrite of an array value is not allowed) \
  ACTION(DER_CHKPT_BUSY, Page is being checkpointed) \
  ACTION(DER_DIV_BY_ZERO, Division by zero) \
  ACTION(DER_OVERLOAD_RETRY, Service is overloaded and the request should be sent again later) \
  ACTION(DER_NOT_RESUME, Former check run cannot be resumed) \
  ACTION(DER_CONT_NONEXIST, Container does not exist) \
  ACTION(DER_CONT_DESTROYING, Container is being destroyed) \
  ACTION(DER_IGNORE, Item should be ignored)

/** The ranges: ACTION(range name, base number). */
#define D_FOREACH_ERR_RANGE(ACTION) \
  ACTION(GURT, 1000)                \
  ACTION(DAOS, 2000)

#define D_DEFINE_ERRNO(name, desc) name,
#define D_DEFINE_ERRSTR(name, desc) #name,
#define D_DEFINE_ERRDESC(name, desc) #desc,
#define D_DEFINE_RANGE_ERRNO(range, base) \
  DER_ERR_##range##_BASE = (base), D_FOREACH_##range##_ERR(D_DEFINE_ERRNO)

enum daos_errno {
  DER_SUCCESS = 0,
  D_FOREACH_ERR_RANGE(D_DEFINE_RANGE_ERRNO)
  /** Marks the end of the last range; no call returns it. */
  DER_LAST_VALID,
  DER_UNKNOWN = 501000
};

/** Former name of DER_EXCLUDED. */
#define DER_EVICTED DER_EXCLUDED

/**
 * Name of a result code: "DER_NONEXIST" for -DER_NONEXIST, "DER_SUCCESS" for 0, "DER_UNKNOWN" for
 * positive and unregistered numbers. The text is static.
 */
const char *d_errstr(int rc);

/**
 * Text of a result code for people. For numbers without a text it is "Unknown error code N" in a
 * buffer of the calling thread, which the next such call overwrites.
 */
const char *d_errdesc(int rc);

#if defined(__cplusplus)
}
#endif
#endif
