// Making a container's name space, and reading its superblock.
#include <algorithm>

#include "dfs/mount.h"

namespace cairn::dfs {
namespace {

/// The superblock's values while they are written or read.
struct SuperValues {
  U64le magic;
  U16le super_version, layout_version;
  U64le chunk_bytes;
  U32le class_id, dir_class_id, file_class_id, consistency;
  char hints[kHintsBytesMax] = {};
};

model::Iod value_iod(std::string_view akey, void* data, size_t bytes) {
  model::Iod iod{.akey = as_bytes(akey), .type = model::ValueType::single, .record_bytes = bytes};
  iod.buffer.push_back({static_cast<std::byte*>(data), bytes});
  return iod;
}

template <class T>
model::Iod value_iod(std::string_view akey, T& value) {
  return value_iod(akey, &value, sizeof(value));
}

/// All but the hints, which may be absent and of any length.
model::Iods value_iods(SuperValues& values) {
  model::Iods iods;
  iods.reserve(9);
  iods.push_back(value_iod(kMagicAkey, values.magic));
  iods.push_back(value_iod(kSuperVersionAkey, values.super_version));
  iods.push_back(value_iod(kLayoutVersionAkey, values.layout_version));
  iods.push_back(value_iod(kChunkAkey, values.chunk_bytes));
  iods.push_back(value_iod(kClassAkey, values.class_id));
  iods.push_back(value_iod(kDirClassAkey, values.dir_class_id));
  iods.push_back(value_iod(kFileClassAkey, values.file_class_id));
  iods.push_back(value_iod(kConsistencyAkey, values.consistency));
  return iods;
}

bool is_coded(uint32_t class_id) {
  const auto meaning = model::class_of_id(class_id);
  return meaning && meaning->coded;
}

/// Parity works on whole stripes, so a chunk is a multiple of one.
uint64_t default_chunk_bytes(uint32_t file_class_id) {
  constexpr uint64_t kCellBytes = 64 << 10;
  if (!is_coded(file_class_id)) return kChunkBytesDefault;
  const uint64_t stripe = model::class_of_id(file_class_id)->data_shards * kCellBytes;
  return stripe < kChunkBytesDefault ? round_up(kChunkBytesDefault, stripe) : 2 * stripe;
}

/// What the superblock will say.
Settings settled(const FormatOptions& options) {
  Settings s;
  s.class_id = options.class_id;
  s.dir_class_id = options.dir_class_id != 0 ? options.dir_class_id : options.class_id;
  s.file_class_id = options.file_class_id != 0 ? options.file_class_id : options.class_id;
  if (is_coded(s.dir_class_id)) s.dir_class_id = 0;  // a directory is kept in copies
  s.chunk_bytes = options.chunk_bytes != 0 ? options.chunk_bytes
                                           : default_chunk_bytes(s.file_class_id);
  s.consistency = options.consistency;
  s.hints = options.hints;
  return s;
}

FsResult<Roots> parse_roots(const client::Props& props) {
  const auto found = props.find(kRootsProp);
  const Bytes* bytes = found == props.end() ? nullptr : std::get_if<Bytes>(&found->second);
  RootsRecord record;
  if (bytes != nullptr && bytes->size() == sizeof(record)) {
    std::memcpy(&record, bytes->data(), sizeof(record));
  }
  const Roots roots{{record.super.lo.get(), record.super.hi.get()},
                    {record.root.lo.get(), record.root.hi.get()}};
  if (roots.super.is_nil() || roots.root.is_nil()) {
    return fs_fail(EIO, "dfs: the container names no root objects");
  }
  return roots;
}

uint64_t number_prop(const client::Props& props, uint32_t prop) {
  const auto found = props.find(prop);
  const uint64_t* value = found == props.end() ? nullptr : std::get_if<uint64_t>(&found->second);
  return value == nullptr ? 0 : *value;
}

FsResult<Settings> parse_super(const SuperValues& values, const model::Fetched& fetched) {
  static constexpr size_t kLengths[] = {8, 2, 2, 8, 4, 4, 4, 4};
  if (fetched.iods.size() != std::size(kLengths) + 1) {
    return fs_fail(EIO, "dfs: the superblock could not be read");
  }
  if (fetched.iods[0].record_bytes == 0) {
    return fs_fail(ENOENT, "dfs: the container has no superblock");
  }
  for (size_t i = 0; i < std::size(kLengths); ++i) {
    if (fetched.iods[i].record_bytes != kLengths[i]) {
      return fs_fail(EINVAL, "dfs: the superblock lacks a value or has one of a foreign length");
    }
  }
  if (values.magic.get() != kMagic) return fs_fail(EINVAL, "dfs: not a superblock: wrong magic");
  if (values.super_version.get() > kSuperVersion ||
      values.layout_version.get() != kLayoutVersion) {
    return fs_fail(EINVAL, "dfs: the container's layout version is not ours; upgrade");
  }
  if (values.chunk_bytes.get() == 0) {
    return fs_fail(EINVAL, "dfs: the superblock's chunk size is 0");
  }
  Settings s;
  s.chunk_bytes = values.chunk_bytes.get();
  s.class_id = values.class_id.get();
  s.dir_class_id = values.dir_class_id.get();
  s.file_class_id = values.file_class_id.get();
  s.consistency = values.consistency.get();
  const size_t hints_bytes = std::min<size_t>(fetched.iods.back().record_bytes, kHintsBytesMax);
  s.hints.assign(values.hints, strnlen(values.hints, hints_bytes));
  return s;
}

}  // namespace

FsResult<void> Mount::check_format(const FormatOptions& options) {
  for (const uint32_t id : {options.class_id, options.dir_class_id, options.file_class_id}) {
    if (id != 0 && !model::class_of_id(id)) return fs_fail(EINVAL, "dfs: unknown object class");
  }
  TRY(hints, parse_hints(options.hints, 0));
  return done();
}

FsResult<Roots> Mount::plan_roots(const FormatOptions& options, model::PoolShape shape) {
  TRY(checked, check_format(options));
  const Settings settings = settled(options);
  if (settings.file_class_id != 0 && shape.redundancy_factor != 0 &&
      model::class_of_id(settings.file_class_id)->extra_shards < shape.redundancy_factor) {
    return fs_fail(EINVAL, "dfs: the file class survives fewer losses than the container demands");
  }
  TRY(hints, parse_hints(options.hints, shape.redundancy_factor));
  model::OidRequest request{.type = kDirType, .class_id = settings.dir_class_id,
                            .hints = hints.dir};
  TRY(super, model::generate_oid(request, shape));
  request.user.hi = 1;
  TRY(root, model::generate_oid(request, shape));
  return Roots{super, root};
}

Bytes Mount::encode_roots(const Roots& roots) {
  RootsRecord record;
  record.super = {roots.super.lo, roots.super.hi};
  record.root = {roots.root.lo, roots.root.hi};
  Bytes bytes(sizeof(record));
  std::memcpy(bytes.data(), &record, sizeof(record));
  return bytes;
}

/// @param whole  of the container, targets that are away among them
model::PoolShape Mount::shape_of(const client::PoolInfo& pool, model::PoolShape whole,
                                 const client::Props& container) {
  constexpr uint32_t kRedundancyFactorProp = 0x1007;
  model::PoolShape shape;
  shape.domains = std::max(1u, whole.domains);
  shape.targets = std::max(1u, whole.targets - std::min(pool.disabled_count, whole.targets));
  shape.redundancy_factor = static_cast<uint32_t>(number_prop(container, kRedundancyFactorProp));
  return shape;
}

Task<FsResult<void>> Mount::format(client::Container& container, Roots roots,
                                   FormatOptions options) {
  CO_TRY(checked, check_format(options));
  const Settings settings = settled(options);
  SuperValues values;
  values.magic = kMagic;
  values.super_version = kSuperVersion;
  values.layout_version = kLayoutVersion;
  values.chunk_bytes = settings.chunk_bytes;
  values.class_id = settings.class_id;
  values.dir_class_id = settings.dir_class_id;
  values.file_class_id = settings.file_class_id;
  values.consistency = settings.consistency;
  model::Iods iods = value_iods(values);
  std::copy_n(settings.hints.c_str(), settings.hints.size() + 1, values.hints);
  if (!settings.hints.empty()) {
    iods.push_back(value_iod(kHintsAkey, values.hints, settings.hints.size() + 1));
  }
  const client::ObjectArgs args{.oid = roots.super, .dkey = as_bytes(kSuperDkey),
                                .flags = model::cond::kDkeyInsert};
  CO_TRY(epoch, co_await container.update(args, std::move(iods)));

  Entry entry;
  entry.mode = S_IFDIR | 0755;
  entry.oid = roots.root;
  entry.mtime = entry.ctime =
      time_of_wall_ns(container.pool().system().context().reactor().clock().wall_ns());
  entry.uid = options.owner.uid;
  entry.gid = options.owner.gid;
  const std::string name{kRootDkey};
  const std::vector<Xattr> none;
  CO_TRY(written, co_await write_entry(container, {roots.super, name}, entry, none,
                                       model::cond::kDkeyInsert));
  co_return done();
}

Task<FsResult<void>> Mount::load_superblock() {
  CO_TRY(info, co_await container_->query());
  if (number_prop(info.props, kLayoutTypeProp) != kLayoutPosix) {
    co_return fs_fail(EINVAL, "dfs: not a POSIX container");
  }
  CO_TRY(roots, parse_roots(info.props));
  roots_ = roots;
  SuperValues values;
  model::Iods iods = value_iods(values);
  iods.push_back(value_iod(kHintsAkey, values.hints));
  const client::ObjectArgs args{.oid = roots_.super, .dkey = as_bytes(kSuperDkey)};
  CO_TRY(fetched, co_await container_->fetch(args, std::move(iods)));
  if (fetched.status != Errc::ok) {
    co_return fs_fail(EINVAL, "dfs: the superblock has values of foreign lengths");
  }
  CO_TRY(settings, parse_super(values, fetched));
  settings_ = std::move(settings);
  CO_TRY(pool, co_await container_->pool().query());
  pool_shape_ = shape_of(pool, container_->shape(), info.props);
  co_return done();
}

}  // namespace cairn::dfs
