// From the arguments of object calls to the descriptors of the client: everything that a program
// may get wrong is found here, before any I/O (reference object.md sections 1.2 to 1.5).
#pragma once

#include <daos_obj.h>

#include <vector>

#include "capi/daos/library.h"
#include "model/io.h"

namespace cairn::capi {

/// Whose the values of an update are: a transaction may leave the program's where they are.
enum class ValuesOf : uint8_t { program, library };
/// The object as the transaction sees it; DAOS_TX_NONE: as it is.
/// @error no_handle  the transaction   @error invalid  it is of another container
Result<std::shared_ptr<ObjectHandle>> in_transaction(std::shared_ptr<ObjectHandle> object,
                                                     daos_handle_t th,
                                                     ValuesOf values = ValuesOf::program);

/// The handle, not yet closed; for a change also opened for writing; in the transaction, if there
/// is one. @error no_handle, no_perm, invalid
Result<std::shared_ptr<ObjectHandle>> object_for(daos_handle_t oh, daos_handle_t th, bool change);

/// @error invalid  NULL, empty, or of the wrong length for integer keys   @error key_too_big
Result<ByteView> dkey_of(const daos_key_t* key, model::ObjectId oid);
/// May be empty. Errors as dkey_of().
Result<ByteView> akey_of(const daos_key_t* key, model::ObjectId oid);

/// Whether a key of this length can be in an object with such keys.
bool length_fits(model::KeyKind kind, size_t bytes);

/// What an update or fetch is called with; borrowed.
struct IoArgs {
  uint64_t flags = 0;
  unsigned count = 0;
  const daos_iod_t* iods = nullptr;
  const d_sg_list_t* sgls = nullptr;
};
/// Conditions as the store understands them. @error invalid  not for this kind of call
Result<uint64_t> update_flags(uint64_t flags);
Result<uint64_t> fetch_flags(uint64_t flags);

/// @error invalid, record_too_big, key_too_big
Result<model::Iods> update_iods(IoArgs args, model::ObjectId oid);
Result<model::Iods> fetch_iods(IoArgs args, model::ObjectId oid);

/// @error invalid  iovs missing, or one with a length and no memory
Result<void> check_sgl(const d_sg_list_t& sgl);

/// Sets sg_nr_out and the iov_len of the iovs that hold the first `bytes` bytes; 0: nothing but
/// sg_nr_out.
void set_filled(d_sg_list_t& sgl, uint64_t bytes);

}  // namespace cairn::capi
