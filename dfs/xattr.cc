// Extended attributes: single values of the entry.
#include <sys/xattr.h>

#include "dfs/mount.h"

namespace cairn::dfs {
namespace {

FsResult<std::string> akey_of(const std::string& name) {
  if (name.size() > kXattrNameBytesMax) {
    return fs_fail(EINVAL, "dfs: an extended attribute's name is over 255 bytes");
  }
  return std::string{kXattrPrefix} + name;
}

}  // namespace

Task<FsResult<void>> Mount::set_xattr(const Node& node, const std::string& name, ByteView value,
                                      int flags) {
  CO_TRY(allowed, check_writable());
  CO_TRY(akey, akey_of(name));
  if (value.size() > kXattrValueBytesMax) {
    co_return fs_fail(EINVAL, "dfs: an extended attribute is over 64 KiB");
  }
  CO_TRY(entry, co_await entry_of(node));
  entry.ctime = now();
  InodeRecord record = encode_inode(entry);
  model::Iods iods(2);
  iods[0] = {.akey = as_bytes(akey), .type = model::ValueType::single,
             .record_bytes = value.size()};
  // Both flags together ask for nothing, as in the reference.
  if (flags == XATTR_CREATE) iods[0].flags = model::cond::kAkeyInsert;
  if (flags == XATTR_REPLACE) iods[0].flags = model::cond::kAkeyUpdate;
  if (!value.empty()) {
    iods[0].buffer.push_back({const_cast<std::byte*>(value.data()), value.size()});
  }
  iods[1] = inode_parts_iod(record, static_cast<uint32_t>(InodePart::ctime));
  const client::ObjectArgs args{.oid = node.parent, .dkey = as_bytes(node.name),
                                .flags = model::cond::kDkeyUpdate | model::cond::kPerAkey};
  CO_TRY(epoch, co_await container_->update(args, std::move(iods)));
  co_return done();
}

Task<FsResult<uint64_t>> Mount::get_xattr(const Node& node, const std::string& name,
                                          ByteSpan room) {
  CO_TRY(akey, akey_of(name));
  CO_TRY(entry, co_await entry_of(node));
  model::Iods iods(1);
  iods[0] = {.akey = as_bytes(akey), .type = model::ValueType::single};
  if (room.empty()) {
    iods[0].size_only = true;
  } else {
    iods[0].buffer.push_back({room.data(), room.size()});
  }
  const client::ObjectArgs args{.oid = node.parent, .dkey = as_bytes(node.name),
                                .flags = model::cond::kAkeyFetch};
  auto fetched = co_await container_->fetch(args, std::move(iods));
  if (!fetched) {
    if (fetched.error().code() != Errc::nonexistent) co_return fail(fetched.error());
    co_return fs_fail(ENODATA, "dfs: no such extended attribute");
  }
  if (fetched->status == Errc::nonexistent) {
    co_return fs_fail(ENODATA, "dfs: no such extended attribute");
  }
  if (fetched->status == Errc::record_too_big) {
    co_return fs_fail(E2BIG, "dfs: the buffer is smaller than the extended attribute");
  }
  if (fetched->status != Errc::ok || fetched->iods.size() != 1) {
    co_return fs_fail(EIO, "dfs: an extended attribute could not be read");
  }
  co_return fetched->iods[0].record_bytes;
}

Task<FsResult<void>> Mount::remove_xattr(const Node& node, const std::string& name) {
  CO_TRY(allowed, check_writable());
  CO_TRY(akey, akey_of(name));
  CO_TRY(entry, co_await entry_of(node));
  std::vector<ByteView> akeys{as_bytes(akey)};
  const client::ObjectArgs args{.oid = node.parent, .dkey = as_bytes(node.name),
                                .flags = model::cond::kPunch};
  CO_TRY(epoch, co_await container_->punch_akeys(args, std::move(akeys)));
  entry.ctime = now();
  co_return co_await write_inode_parts(*container_, node.place(), entry,
                                       static_cast<uint32_t>(InodePart::ctime));
}

Task<FsResult<std::vector<std::string>>> Mount::list_xattrs(const Node& node) {
  CO_TRY(entry, co_await entry_of(node));
  CO_TRY(akeys, co_await list_akeys(*container_, node.place()));
  std::vector<std::string> names;
  for (const std::string& akey : akeys) {
    if (akey.starts_with(kXattrPrefix)) names.push_back(akey.substr(kXattrPrefix.size()));
  }
  co_return std::move(names);
}

}  // namespace cairn::dfs
