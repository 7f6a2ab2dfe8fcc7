// Fuzzer of what a DFS container holds: superblock values, an entry's inode, link target and
// extended attribute of any bytes, and hints. Whatever stands there, each call of a mount answers.
// Input: a byte that chooses (even: an entry below a good superblock, odd: superblock values), then
// the values.
#include <sys/stat.h>

#include "base/check.h"
#include "base/testing/fuzz.h"
#include "dfs/mount.h"
#include "dfs/testing/fake_store.h"

namespace {

using namespace cairn;
using namespace cairn::dfs;
using cairn::testing::FuzzInput;

/// A formatted container in memory.
struct Place {
  Place() {
    auto pool = run(system.pool_connect("tank", client::Access::read_write));
    CHECK(pool.has_value());
    const auto planned = Mount::plan_roots({}, {});
    CHECK(planned.has_value());
    roots = *planned;
    const client::Props props{{kLayoutTypeProp, kLayoutPosix},
                              {kRootsProp, Mount::encode_roots(roots)}};
    CHECK(run((*pool)->cont_create("docs", props)).has_value());
    auto opened = run((*pool)->cont_open("docs", client::Access::read_write));
    CHECK(opened.has_value());
    container = *opened;
    CHECK(run(Mount::format(*container, roots, {})).has_value());
  }
  template <class T>
  T run(Task<T> task) {
    return system.context().run(std::move(task));
  }
  auto& akeys(model::ObjectId oid, const std::string& dkey) {
    return system.find("docs")->objects[oid].dkeys[dkey];
  }

  dfs::testing::FakeSystem system;
  Roots roots;
  client::ContainerPtr container;
};

dfs::testing::FakeValue single(ByteView bytes) {
  return {.type = model::ValueType::single,
          .record_bytes = bytes.size(),
          .single = {bytes.begin(), bytes.end()},
          .extents = {}};
}

dfs::testing::FakeValue array(ByteView bytes) {
  dfs::testing::FakeValue value{
      .type = model::ValueType::array, .record_bytes = 1, .single = {}, .extents = {}};
  if (!bytes.empty()) value.extents[0] = {bytes.begin(), bytes.end()};
  return value;
}

void use_file(Place& place, Mount& mount, const Node& node) {
  Bytes room(64);
  (void)place.run(mount.read(node, {{0, room.size()}}, {{room.data(), room.size()}}));
  (void)place.run(mount.read(node, {{UINT64_MAX - 70, room.size()}}, {{room.data(), room.size()}}));
  (void)place.run(mount.write(node, {{4'000, room.size()}}, {{room.data(), room.size()}}));
  (void)place.run(mount.size(node));
}

void use(Place& place, Mount& mount) {
  const std::string name = "entry";
  (void)place.run(mount.stat_in(mount.root(), name));
  (void)place.run(mount.list(mount.root(), {}));
  auto node = place.run(mount.lookup("/entry", O_RDWR));
  const auto as_it_is = place.run(mount.lookup("/entry", O_RDONLY | O_NOFOLLOW));
  if (as_it_is) {
    (void)place.run(mount.stat(*as_it_is));
    (void)place.run(mount.list_xattrs(*as_it_is));
    Bytes room(8);
    (void)place.run(mount.get_xattr(*as_it_is, "note", room));
  }
  if (node && node->is_file()) use_file(place, mount, *node);
  if (node && node->is_dir()) (void)place.run(mount.list(*node, {}));
  if (node && node->is_dir()) {
    (void)place.run(
        mount.open_in(*node, "inner", {.mode = S_IFREG | 0600, .flags = O_CREAT | O_RDWR}));
  }
  (void)place.run(mount.chmod_in(mount.root(), name, 0600));
  (void)place.run(mount.move(mount.root(), name, mount.root(), "moved"));
  (void)place.run(mount.remove(mount.root(), "moved", true));
}

void entry(FuzzInput in) {
  Place place;
  auto mounted = place.run(Mount::open(place.container, {.writable = true}));
  CHECK(mounted.has_value());
  auto& akeys = place.akeys(place.roots.root, "entry");
  const ByteView inode = in.take(in.u8() % 128);
  const auto decoded = decode_inode(inode);
  if (decoded) {
    CHECK(inode.size() == kInodeBytes);
    const InodeRecord again = encode_inode(*decoded);
    // Nanoseconds are kept in 32 bits; all else comes back as it was.
    CHECK(std::memcmp(&again, inode.data(), offsetof(InodeRecord, mtime_ns)) == 0);
  }
  akeys[std::string(kInodeAkey)] = in.u8() % 8 == 0 ? single(inode) : array(inode);
  const ByteView target = in.chunk();
  if (!target.empty()) akeys[std::string(kTargetAkey)] = single(target);
  const ByteView note = in.rest();
  if (!note.empty()) akeys[std::string(kXattrPrefix) + "note"] = single(note);
  use(place, **mounted);
}

void superblock(FuzzInput in) {
  Place place;
  auto& akeys = place.akeys(place.roots.super, std::string(kSuperDkey));
  for (auto& [name, value] : akeys) {
    const uint8_t how = in.u8() % 4;
    if (how == 1) value = single(in.chunk());
    if (how == 2) value = array(in.chunk());
    if (how == 3) value = single(in.take(value.single.size()));
  }
  if (in.u8() % 2 != 0) {
    place.akeys(place.roots.super, std::string(kRootDkey))[std::string(kInodeAkey)] =
        array(in.take(kInodeBytes));
  }
  const std::string hints(as_chars(in.rest()));
  (void)parse_hints(hints, 0);
  (void)parse_hints(hints, 1);
  auto mounted = place.run(Mount::open(place.container, {.writable = true}));
  if (!mounted) return;
  (void)(*mounted)->suggest_class(hints);
  (void)place.run((*mounted)->open_in((*mounted)->root(), "entry",
                                      {.mode = S_IFREG | 0600, .flags = O_CREAT | O_RDWR}));
  use(place, **mounted);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput in(data, size);
  if (in.u8() % 2 == 0) {
    entry(in);
  } else {
    superblock(in);
  }
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  cairn::testing::FuzzSeeds seeds;
  for (const uint32_t mode : {S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777}) {
    Entry e;
    e.mode = mode;
    e.oid = {5, S_ISREG(mode) ? uint64_t{kFileType} << 56 | 1 : 1};
    e.chunk_bytes = S_ISREG(mode) ? 1u << 20 : 0;
    e.mtime = {1'800'000'000, 5};
    e.value_bytes = S_ISLNK(mode) ? 6 : 0;
    const InodeRecord record = encode_inode(e);
    Bytes seed{std::byte{0}, static_cast<std::byte>(kInodeBytes)};
    cairn::testing::append(seed, view_of(&record, sizeof record));
    seed.push_back(std::byte{1});
    seed.push_back(static_cast<std::byte>(S_ISLNK(mode) ? 6 : 0));
    if (S_ISLNK(mode)) cairn::testing::append(seed, as_bytes("/other"));
    cairn::testing::append(seed, as_bytes("a note"));
    seeds.push_back(seed);
  }
  Bytes super{std::byte{1}};
  super.resize(1 + 12);
  cairn::testing::append(super, as_bytes("file:max,dir:single"));
  seeds.push_back(super);
  super[1] = std::byte{3};
  seeds.push_back(super);
  return seeds;
}
