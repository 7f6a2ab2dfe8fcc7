#include "dfs/mount.h"

#include "dfs/locks.h"

namespace cairn::dfs {

Mount::Mount(client::ContainerPtr container, MountOptions options)
    : container_(std::move(container)),
      reactor_(container_->pool().system().context().reactor()),
      options_(options),
      oids_ready_(reactor_),
      unlocked_(reactor_) {}

Mount::~Mount() = default;

Task<FsResult<std::unique_ptr<Mount>>> Mount::open(client::ContainerPtr container,
                                                   MountOptions options) {
  std::unique_ptr<Mount> mount{new Mount(std::move(container), options)};
  CO_TRY(loaded, co_await mount->load_superblock());
  const bool balanced = mount->settings_.consistency == kConsistencyBalanced;
  if (balanced && !options.balanced) {
    co_return fs_fail(EPERM, "dfs: the container demands balanced mounts (DFS_BALANCED)");
  }
  CO_TRY(rooted, co_await mount->load_root());
  co_return std::move(mount);
}

Task<FsResult<void>> Mount::load_root() {
  const std::string name{kRootDkey};
  CO_TRY(entry, co_await fetch_entry(*container_, {roots_.super, name}));
  if (!entry.is_dir() || entry.oid != roots_.root) {
    co_return fs_fail(EIO, "dfs: the root entry does not name the root directory: damaged");
  }
  root_.oid = entry.oid;
  root_.mode = entry.mode;
  root_.flags = O_RDWR;
  root_.parent = roots_.super;
  root_.name = name;
  root_.chunk_bytes = entry.chunk_bytes;
  root_.class_id = entry.class_id;
  root_.link = link_of(entry.oid, nullptr);
  co_return done();
}

Task<Mount::Locks> Mount::lock(std::vector<Place> places) {
  const auto taken = [this](const Place& place) { return busy_.contains(place); };
  while (std::any_of(places.begin(), places.end(), taken)) co_await unlocked_.wait();
  busy_.insert(places.begin(), places.end());
  co_return Locks{*this, std::move(places)};
}

FileTime Mount::now() { return time_of_wall_ns(reactor_.clock().wall_ns()); }

FsResult<void> Mount::check_writable() const {
  if (!options_.writable) return fs_fail(EPERM, "dfs: mounted read-only");
  return done();
}

FsResult<void> Mount::check_parent(const Node& parent, const std::string& name) const {
  if (!parent.is_dir()) return fs_fail(ENOTDIR, "dfs: the parent is not a directory");
  return check_name(name);
}

uint16_t Mount::hints_for(uint8_t type) const {
  const auto hints = parse_hints(settings_.hints, pool_shape_.redundancy_factor);
  if (!hints) return 0;  // of a newer version: hints never fail a call
  return type == kFileType ? hints->file : hints->dir;
}

uint32_t Mount::picked_class(uint8_t type) const {
  const uint32_t own = type == kFileType ? settings_.file_class_id : settings_.dir_class_id;
  if (own != 0) return own;
  if (settings_.class_id != 0) return settings_.class_id;
  const auto oid = model::generate_oid({.type = type, .hints = hints_for(type)}, pool_shape_);
  return oid ? class_of(*oid) : 0;
}

Task<FsResult<model::ObjectId>> Mount::next_oid(uint8_t type, uint32_t class_id, uint16_t hints) {
  // The class is judged first, so that a refused one uses up no id.
  model::OidRequest request{.type = type, .class_id = class_id, .hints = hints};
  CO_TRY(judged, model::generate_oid(request, pool_shape_));
  for (;;) {
    if (oids_.refilling) {
      co_await oids_ready_.wait();
      continue;
    }
    if (oids_.primed) {
      oids_.hi += kOidStride;
      oids_.primed = oids_.hi != oids_.first;
    }
    if (!oids_.primed) {
      oids_.refilling = true;
      auto lo = co_await container_->alloc_oids(1);
      oids_.refilling = false;
      oids_ready_.wake_all();
      if (!lo) co_return fail(lo.error());
      oids_ = {.primed = true, .lo = *lo};
      oids_.first = oids_.hi = static_cast<uint32_t>(reactor_.random().next());
    }
    if (oids_.lo == 0 && oids_.hi < 2) continue;  // superblock and root
    co_return model::ObjectId{oids_.lo, (judged.hi & ~uint64_t{0xffffffff}) | oids_.hi};
  }
}

Task<FsResult<Entry>> Mount::new_entry(const Node& parent, const OpenOptions& options) {
  const bool file = S_ISREG(options.mode);
  const uint8_t type = file ? kFileType : kDirType;
  uint32_t class_id = S_ISLNK(options.mode) ? 0 : options.class_id;
  if (class_id == 0) class_id = parent.class_id;
  if (!file && class_id != options.class_id) {
    const auto inherited = model::class_of_id(class_id);
    if (inherited && inherited->coded) class_id = 0;
  }
  if (class_id == 0) class_id = file ? settings_.file_class_id : settings_.dir_class_id;
  if (class_id == 0) class_id = settings_.class_id;
  Entry entry;
  CO_TRY(oid, co_await next_oid(type, class_id, hints_for(type)));
  entry.oid = oid;
  entry.mode = options.mode;
  entry.mtime = entry.ctime = now();
  entry.uid = options.owner.uid;
  entry.gid = options.owner.gid;
  if (file) {
    entry.chunk_bytes = options.chunk_bytes != 0  ? options.chunk_bytes
                        : parent.chunk_bytes != 0 ? parent.chunk_bytes
                                                  : settings_.chunk_bytes;
  } else if (S_ISLNK(options.mode)) {
    entry.mode = S_IFLNK | 0777;
    entry.target = *options.target;
    entry.value_bytes = entry.target.size();
  } else {
    entry.chunk_bytes = parent.chunk_bytes;
    entry.class_id = parent.class_id;
  }
  co_return std::move(entry);
}

std::shared_ptr<DirLink> Mount::link_of(model::ObjectId dir,
                                        const std::shared_ptr<DirLink>& parent) {
  std::weak_ptr<DirLink>& known = links_[dir];
  std::shared_ptr<DirLink> link = known.lock();
  if (!link) {
    link = std::make_shared<DirLink>(dir, parent);
    known = link;
  } else if (!link->parent && link->oid != roots_.root) {
    link->parent = parent;
  }
  if (links_.size() > 2 * links_swept_ + 64) {
    std::erase_if(links_, [](const auto& item) { return item.second.expired(); });
    links_swept_ = links_.size();
  }
  return link;
}

bool Mount::is_below(const Node& dir, model::ObjectId above) const {
  if (dir.oid == above) return true;
  for (const DirLink* link = dir.link.get(); link != nullptr; link = link->parent.get()) {
    if (link->oid == above) return true;
  }
  return false;
}

Node Mount::node_of(const Node& parent, const std::string& name, Entry entry, int flags) {
  Node node;
  node.oid = entry.oid;
  node.mode = entry.mode;
  node.flags = flags & O_ACCMODE;
  node.parent = parent.oid;
  node.name = name;
  node.chunk_bytes = entry.chunk_bytes;
  node.class_id = entry.class_id;
  node.target = std::move(entry.target);
  node.link = entry.is_dir() ? link_of(entry.oid, parent.link) : parent.link;
  return node;
}

Task<FsResult<Node>> Mount::adopt(Node node) {
  if (node.is_dir()) node.link = link_of(node.oid, nullptr);
  co_return std::move(node);
}

}  // namespace cairn::dfs
