#include "dfs/entry.h"

#include <algorithm>

#include "dfs/limits.h"
#include "model/hlc.h"

namespace cairn::dfs {
namespace {

std::byte* bytes_of(InodeRecord& record) { return reinterpret_cast<std::byte*>(&record); }

model::Iod whole_inode_iod(InodeRecord& record) {
  model::Iod iod{.akey = as_bytes(kInodeAkey), .type = model::ValueType::array, .record_bytes = 1};
  iod.recxs.push_back({0, kInodeBytes});
  iod.buffer.push_back({bytes_of(record), kInodeBytes});
  return iod;
}

model::Iod single_iod(ByteView akey, ByteView value) {
  model::Iod iod{
      .akey = akey, .type = model::ValueType::single, .record_bytes = value.size()};
  // An update only reads its buffers.
  if (!value.empty()) {
    iod.buffer.push_back({const_cast<std::byte*>(value.data()), value.size()});
  }
  return iod;
}

client::ObjectArgs args_of(EntryPlace place, uint64_t flags) {
  return {.oid = place.dir, .dkey = as_bytes(place.name), .flags = flags};
}

}  // namespace

FileTime time_of_wall_ns(uint64_t wall_ns) {
  return {static_cast<int64_t>(wall_ns / 1'000'000'000),
          static_cast<uint32_t>(wall_ns % 1'000'000'000)};
}

FileTime time_of_epoch(model::Epoch epoch) {
  return time_of_wall_ns(model::wall_ns_of_epoch(epoch));
}

InodeRecord encode_inode(const Entry& entry) {
  InodeRecord r;
  r.mode = entry.mode;
  r.oid_lo = entry.oid.lo;
  r.oid_hi = entry.oid.hi;
  r.mtime_seconds = static_cast<uint64_t>(entry.mtime.seconds);
  r.ctime_seconds = static_cast<uint64_t>(entry.ctime.seconds);
  r.chunk_bytes = entry.chunk_bytes;
  r.class_id = entry.class_id;
  r.mtime_ns = entry.mtime.ns;
  r.ctime_ns = entry.ctime.ns;
  r.uid = entry.uid;
  r.gid = entry.gid;
  r.value_bytes = entry.value_bytes;
  r.object_epoch = entry.object_epoch;
  return r;
}

FsResult<Entry> decode_inode(ByteView bytes) {
  InodeRecord r;
  if (bytes.size() != sizeof(r)) return fs_fail(EIO, "dfs: an entry's inode is not 88 bytes");
  std::memcpy(&r, bytes.data(), sizeof(r));
  Entry entry;
  entry.mode = r.mode.get();
  entry.oid = {r.oid_lo.get(), r.oid_hi.get()};
  entry.mtime = {static_cast<int64_t>(r.mtime_seconds.get()),
                 static_cast<uint32_t>(r.mtime_ns.get())};
  entry.ctime = {static_cast<int64_t>(r.ctime_seconds.get()),
                 static_cast<uint32_t>(r.ctime_ns.get())};
  entry.chunk_bytes = r.chunk_bytes.get();
  entry.class_id = r.class_id.get();
  entry.uid = r.uid.get();
  entry.gid = r.gid.get();
  entry.value_bytes = r.value_bytes.get();
  entry.object_epoch = r.object_epoch.get();
  if (entry.is_file() && entry.chunk_bytes == 0) {
    return fs_fail(EIO, "dfs: a file's entry has no chunk size: damaged");
  }
  if (entry.is_link() && entry.value_bytes >= kPathBytesMax) {
    return fs_fail(EIO, "dfs: a link's target is longer than a path: damaged");
  }
  return entry;
}

FsResult<void> check_name(const std::string& name) {
  if (name.empty()) return fs_fail(EINVAL, "dfs: a name is empty");
  if (name.size() > kNameBytesMax) return fs_fail(EINVAL, "dfs: a name is over 255 bytes long");
  if (name.find('/') != std::string::npos) {
    return fs_fail(EINVAL, "dfs: a name holds a '/'; use the calls that take paths");
  }
  return done();
}

Task<FsResult<Entry>> fetch_entry(client::Container& container, EntryPlace place) {
  if (place.name == ".") co_return fs_fail(EOPNOTSUPP, "dfs: '.' is no entry");
  InodeRecord record;
  model::Iods iods;
  iods.push_back(whole_inode_iod(record));
  CO_TRY(fetched, co_await container.fetch(args_of(place, 0), std::move(iods)));
  if (fetched.status != Errc::ok) co_return fail(fetched.status, "dfs: an entry could not be read");
  if (fetched.iods.size() != 1 || fetched.iods[0].record_bytes == 0) {
    co_return fs_fail(ENOENT, "dfs: no such entry");
  }
  const model::FetchedIod& found = fetched.iods[0];
  if (found.pieces.size() != 1 ||
      found.pieces[0] != model::FetchedIod::Piece{0, kInodeBytes}) {
    co_return fs_fail(EIO, "dfs: an entry's inode has holes: damaged");
  }
  CO_TRY(entry, decode_inode(view_of(&record, sizeof(record))));
  if (!entry.is_link() || entry.value_bytes == 0) co_return std::move(entry);

  entry.target.resize(entry.value_bytes);
  iods.clear();
  iods.push_back(single_iod(as_bytes(kTargetAkey), as_bytes(entry.target)));
  CO_TRY(got, co_await container.fetch(args_of(place, 0), std::move(iods)));
  if (got.status != Errc::ok || got.iods.size() != 1 ||
      got.iods[0].record_bytes != entry.value_bytes) {
    co_return fs_fail(EIO, "dfs: a link's target is not as long as its entry says: damaged");
  }
  co_return std::move(entry);
}

Task<FsResult<std::vector<std::string>>> list_akeys(client::Container& container,
                                                    EntryPlace place) {
  std::vector<std::string> names;
  Bytes position;
  for (bool eof = false; !eof;) {
    model::ListRequest request{.what = model::ListRequest::What::akeys};
    request.dkey = as_bytes(place.name);
    request.count_max = kNamesPerPage;
    request.bytes_max = uint64_t{kNamesPerPage} * (kXattrNameBytesMax + kXattrPrefix.size());
    request.position = std::move(position);
    CO_TRY(listed, co_await container.list(place.dir, std::move(request)));
    if (listed.too_small) co_return fs_fail(EIO, "dfs: an entry has a foreign, overlong akey");
    size_t at = 0;
    for (const uint64_t length : listed.lengths) {
      names.emplace_back(as_chars(ByteView{listed.keys}.subspan(at, length)));
      at += length;
    }
    eof = listed.eof;
    position = std::move(listed.position);
  }
  co_return std::move(names);
}

Task<FsResult<std::vector<Xattr>>> fetch_xattrs(client::Container& container, EntryPlace place) {
  CO_TRY(akeys, co_await list_akeys(container, place));
  std::erase_if(akeys, [](const std::string& k) { return !k.starts_with(kXattrPrefix); });
  std::vector<Xattr> xattrs(akeys.size());
  for (size_t i = 0; i < akeys.size(); ++i) {
    xattrs[i].name = akeys[i].substr(kXattrPrefix.size());
    xattrs[i].value.resize(kXattrValueBytesMax);
    model::Iods iods;
    iods.push_back(single_iod(as_bytes(akeys[i]), xattrs[i].value));
    CO_TRY(got, co_await container.fetch(args_of(place, 0), std::move(iods)));
    if (got.status != Errc::ok || got.iods.size() != 1) {
      co_return fs_fail(EIO, "dfs: an extended attribute is longer than 64 KiB: damaged");
    }
    xattrs[i].value.resize(got.iods[0].record_bytes);
    xattrs[i].value.shrink_to_fit();
  }
  co_return std::move(xattrs);
}

Task<FsResult<void>> write_entry(client::Container& container, EntryPlace place,
                                 const Entry& entry, const std::vector<Xattr>& xattrs,
                                 uint64_t cond) {
  InodeRecord record = encode_inode(entry);
  std::vector<std::string> akeys;
  akeys.reserve(xattrs.size());
  model::Iods iods;
  iods.reserve(2 + xattrs.size());
  iods.push_back(whole_inode_iod(record));
  if (!entry.target.empty()) {
    iods.push_back(single_iod(as_bytes(kTargetAkey), as_bytes(entry.target)));
  }
  for (const Xattr& xattr : xattrs) {
    akeys.push_back(std::string{kXattrPrefix} + xattr.name);
    iods.push_back(single_iod(as_bytes(akeys.back()), xattr.value));
  }
  CO_TRY(epoch, co_await container.update(args_of(place, cond), std::move(iods)));
  co_return done();
}

model::Iod inode_parts_iod(InodeRecord& record, uint32_t parts) {
  struct Range {
    InodePart part;
    size_t offset, bytes;
  };
  // Ascending, so that the buffer's pieces are in the order of the extents.
  static constexpr Range kRanges[] = {
      {InodePart::mode, offsetof(InodeRecord, mode), 4},
      {InodePart::mtime, offsetof(InodeRecord, mtime_seconds), 8},
      {InodePart::ctime, offsetof(InodeRecord, ctime_seconds), 8},
      {InodePart::chunk, offsetof(InodeRecord, chunk_bytes), 8},
      {InodePart::class_id, offsetof(InodeRecord, class_id), 4},
      {InodePart::mtime, offsetof(InodeRecord, mtime_ns), 8},
      {InodePart::ctime, offsetof(InodeRecord, ctime_ns), 8},
      {InodePart::owner, offsetof(InodeRecord, uid), 8},
      {InodePart::mtime, offsetof(InodeRecord, object_epoch), 8},
  };
  model::Iod iod{.akey = as_bytes(kInodeAkey), .type = model::ValueType::array, .record_bytes = 1};
  for (const Range& range : kRanges) {
    if ((parts & static_cast<uint32_t>(range.part)) == 0) continue;
    iod.recxs.push_back({range.offset, range.bytes});
    iod.buffer.push_back({bytes_of(record) + range.offset, range.bytes});
  }
  return iod;
}

Task<FsResult<void>> write_inode_parts(client::Container& container, EntryPlace place,
                                       const Entry& entry, uint32_t parts) {
  InodeRecord record = encode_inode(entry);
  model::Iods iods;
  iods.push_back(inode_parts_iod(record, parts));
  CO_TRY(epoch, co_await container.update(args_of(place, model::cond::kDkeyUpdate),
                                          std::move(iods)));
  co_return done();
}

Task<FsResult<void>> punch_entry(client::Container& container, EntryPlace place) {
  CO_TRY(epoch, co_await container.punch_dkey(args_of(place, 0)));
  co_return done();
}

}  // namespace cairn::dfs
