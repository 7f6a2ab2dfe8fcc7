// Listing keys: shared by the object and the key-value calls.
#pragma once

#include <daos_obj.h>

#include "capi/daos/library.h"
#include "model/io.h"

namespace cairn::capi {

/// Where the answer of a listing goes; borrowed until the task ends.
struct KeyListArgs {
  uint32_t* nr = nullptr;
  daos_key_desc_t* kds = nullptr;
  d_sg_list_t* sgl = nullptr;
  daos_anchor_t* anchor = nullptr;
};

/// Lists dkeys, or the akeys of `dkey`. Returns what the call reports.
int list_keys(std::shared_ptr<ObjectHandle> object, model::ListRequest::What what, ByteView dkey,
              KeyListArgs args, daos_event_t* ev);

/// An anchor holds the position of the client in da_buf and its length in da_shard.
/// @error invalid  not an anchor of ours
Result<Bytes> position_in(const daos_anchor_t& anchor);
void put_position(daos_anchor_t& anchor, const Bytes& position, bool eof);

}  // namespace cairn::capi
