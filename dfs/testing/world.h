// A mounted container for tests, on a FakeSystem.
#pragma once

#include <gtest/gtest.h>

#include "dfs/mount.h"
#include "dfs/testing/fake_store.h"

namespace cairn::dfs::testing {

class World {
 public:
  explicit World(FormatOptions options = {}) {
    auto pool = system.context().run(system.pool_connect("tank", client::Access::read_write));
    EXPECT_TRUE(pool);
    pool_ = *pool;
    const auto roots = Mount::plan_roots(options, {});
    EXPECT_TRUE(roots);
    const client::Props props{{kLayoutTypeProp, kLayoutPosix},
                              {kRootsProp, Mount::encode_roots(*roots)}};
    auto made = system.context().run(pool_->cont_create("docs", props));
    EXPECT_TRUE(made);
    container = open();
    const auto formatted = run(Mount::format(*container, *roots, options));
    EXPECT_TRUE(formatted);
    mount = mount_again({.writable = true});
  }
  ~World() { mount.reset(); }

  template <class T>
  T run(Task<T> task) {
    return system.context().run(std::move(task));
  }
  client::ContainerPtr open() {
    auto opened = system.context().run(pool_->cont_open("docs", client::Access::read_write));
    EXPECT_TRUE(opened);
    return *opened;
  }
  std::unique_ptr<Mount> mount_again(MountOptions options) {
    auto mounted = run(Mount::open(container, options));
    EXPECT_TRUE(mounted) << (mounted ? "" : mounted.error().what());
    return mounted ? std::move(*mounted) : nullptr;
  }

  /// Opens or creates below the root; `flags` as open(2).
  FsResult<Node> open_file(const std::string& name, int flags) {
    return run(mount->open_in(mount->root(), name, {.mode = S_IFREG | 0644, .flags = flags}));
  }
  FsResult<Node> open_dir(const Node& parent, const std::string& name) {
    return run(mount->open_in(parent, name,
                              {.mode = S_IFDIR | 0755, .flags = O_CREAT | O_RDWR}));
  }
  FsResult<Node> make_link(const Node& parent, const std::string& name, std::string target) {
    return run(mount->open_in(parent, name, {.mode = S_IFLNK, .flags = O_CREAT | O_RDWR,
                                             .target = std::move(target)}));
  }
  int write(const Node& file, uint64_t offset, std::string text) {
    IoVecs buffer{{reinterpret_cast<std::byte*>(text.data()), text.size()}};
    const auto written = run(mount->write(file, {{offset, text.size()}}, std::move(buffer)));
    return written ? 0 : written.error().number();
  }
  /// The whole content, or "!errno".
  std::string read(const Node& file) {
    std::string text(1 << 16, '#');
    IoVecs buffer{{reinterpret_cast<std::byte*>(text.data()), text.size()}};
    const auto got = run(mount->read(file, {{0, text.size()}}, std::move(buffer)));
    if (!got) return "!" + std::to_string(got.error().number());
    return text.substr(0, *got);
  }
  std::string cat(const std::string& path) {
    const auto node = run(mount->lookup(path, O_RDONLY));
    return node ? read(*node) : "!" + std::to_string(node.error().number());
  }
  std::vector<std::string> names(const Node& dir) {
    std::vector<std::string> out;
    PageRequest request{.names_max = 3};
    for (;;) {
      auto page = run(mount->list(dir, request));
      EXPECT_TRUE(page);
      if (!page) return out;
      out.insert(out.end(), page->names.begin(), page->names.end());
      if (page->eof) break;
      request.position = std::move(page->position);
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  FakeSystem system;
  client::ContainerPtr container;
  std::unique_ptr<Mount> mount;

 private:
  client::PoolPtr pool_;
};

template <class T>
int number_of(const FsResult<T>& result) {
  return result ? 0 : result.error().number();
}

}  // namespace cairn::dfs::testing
