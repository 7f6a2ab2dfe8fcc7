// worm.reads_per_cold_open: reads of the medium when files of a mounted container are opened by
// path and read, with little memory: counted in the shard itself, below libdfs' own code.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>

#include "bench/harness.h"
#include "bench/worm_side.h"
#include "cmd/embed/home_graph.h"
#include "dfs/mount.h"
#include "runtime/parallel.h"

namespace cairn::bench {

namespace {

constexpr uint64_t kMemoryBytes = 16u << 20;
constexpr uint64_t kFilesOfFolder = 1'000;
constexpr size_t kMakers = 64;
constexpr const char* kPool = "worm";

/// What the shard has asked its devices for.
struct Reads {
  uint64_t pages = 0, data = 0;
};

/// A home in this process, a pool of one shard, and a POSIX container in it.
class MountedFiles {
 public:
  MountedFiles(const std::string& directory, uint64_t files)
      : home_(directory + "/home"), files_(files) {
    open();
    make();
  }
  ~MountedFiles() { close(); }

  void write_all();
  void flatten_all();
  /// Closes all and opens it again: nothing is in memory.
  void reopen() {
    close();
    open();
    connect();
  }
  uint64_t files() const { return files_; }
  uint64_t folders() const { return files_ / kFilesOfFolder; }
  /// From the root by path; opens, reads all, dies if it is not 4 KiB.
  void read_path(uint64_t folder, const std::string& name);
  std::vector<std::string> names_of(uint64_t folder);
  Reads reads() {
    const auto stats = shard().store().stats();
    return {stats.page_loads, stats.data_reads};
  }

  static std::string folder_name(uint64_t folder) {
    char text[16];
    std::snprintf(text, sizeof text, "d%05u", static_cast<unsigned>(folder));
    return text;
  }
  static std::string file_name(uint64_t file) {
    char text[16];
    std::snprintf(text, sizeof text, "f%06u", static_cast<unsigned>(file % kFilesOfFolder));
    return text;
  }

 private:
  template <class T>
  T run(Task<T> task) {
    return graph_->context().run(std::move(task));
  }
  template <class T>
  auto must_run(Task<T> task, const char* what) {
    auto done = run(std::move(task));
    if (!done) die(std::string(what) + ": " + done.error().what());
    if constexpr (!std::is_void_v<typename T::value_type>) return std::move(*done);
  }
  vos::Shard& shard() { return *graph_->engine().shard(pool_id_, 0); }
  void open();
  void make();
  void connect();
  void close();
  Task<Result<void>> write_some(uint64_t& next, uint64_t end, const dfs::Node& folder);
  Task<dfs::FsResult<uint64_t>> read_file(std::string path, ByteSpan into);

  const std::string home_;
  const uint64_t files_;
  std::shared_ptr<embed::HomeGraph> graph_;
  std::unique_ptr<client::System> system_;
  Uuid pool_id_;
  client::PoolPtr pool_;
  client::ContainerPtr container_;
  std::unique_ptr<dfs::Mount> mount_;
  Bytes content_ = Bytes(kWormFileBytes, std::byte{5});
};

void MountedFiles::open() {
  embed::GraphOptions options;
  options.home.mode = client::HomeMode::embed;
  options.home.path = home_;
  auto graph = embed::HomeGraph::open(std::move(options));
  if (!graph) die("cannot open the home: " + std::string(graph.error().what()));
  graph_ = *graph;
  system_ = embed::make_system(graph_);
}

void MountedFiles::make() {
  client::PoolCreateOptions pool;
  pool.label = kPool;
  pool.meta_bytes = files_ * 2'048 + (256u << 20);
  pool.bytes = pool.meta_bytes + 3 * files_ * kWormFileBytes + (512u << 20);
  pool.memory_bytes = kMemoryBytes;
  pool_id_ = must_run(system_->pool_create(std::move(pool)), "pool_create");
  pool_ = must_run(system_->pool_connect(kPool, client::Access::read_write), "pool_connect");
  const auto roots = dfs::Mount::plan_roots({}, {});
  if (!roots) die("no roots");
  const client::Props props{{dfs::kLayoutTypeProp, dfs::kLayoutPosix},
                            {dfs::kRootsProp, dfs::Mount::encode_roots(*roots)}};
  must_run(pool_->cont_create("files", props), "cont_create");
  auto container = must_run(pool_->cont_open("files", client::Access::read_write), "cont_open");
  must_run(dfs::Mount::format(*container, *roots, {}), "format");
  must_run(container->close(), "close");
  connect();
}

void MountedFiles::connect() {
  if (!pool_) {
    pool_ = must_run(system_->pool_connect(kPool, client::Access::read_write), "pool_connect");
  }
  container_ = must_run(pool_->cont_open("files", client::Access::read_write), "cont_open");
  mount_ = must_run(dfs::Mount::open(container_, {.writable = true}), "mount");
}

void MountedFiles::close() {
  mount_.reset();
  must_run(container_->close(), "close");
  container_.reset();
  must_run(pool_->disconnect(), "disconnect");
  pool_.reset();
  if (!system_->shutdown()) die("the home does not close");
  system_.reset();
  graph_.reset();
}

Task<Result<void>> MountedFiles::write_some(uint64_t& next, uint64_t end, const dfs::Node& folder) {
  while (next < end) {
    const uint64_t file = next++;
    auto made = co_await mount_->open_in(
        folder, file_name(file), {.mode = S_IFREG | 0644, .flags = O_CREAT | O_EXCL | O_RDWR});
    if (!made) die("a file was not made");
    const auto written =
        co_await mount_->write(*made, {{0, kWormFileBytes}}, {{content_.data(), content_.size()}});
    if (!written) die("a file was not written");
  }
  co_return Result<void>{};
}

void MountedFiles::write_all() {
  for (uint64_t folder = 0; folder < folders(); ++folder) {
    auto node = must_run(mount_->open_in(mount_->root(), folder_name(folder),
                                         {.mode = S_IFDIR | 0755, .flags = O_CREAT | O_RDWR}),
                         "mkdir");
    uint64_t next = folder * kFilesOfFolder;
    const uint64_t end = next + kFilesOfFolder;
    std::vector<Task<Result<void>>> makers;
    for (size_t i = 0; i < kMakers; ++i) makers.push_back(write_some(next, end, node));
    must_run(run_all(graph_->context().reactor(), std::move(makers), kMakers), "writing");
  }
}

void MountedFiles::flatten_all() {
  Bytes position;
  for (bool more = true; more;) {
    auto page = must_run(container_->list_objects(0, position, 1'000), "list_objects");
    more = !page.eof;
    position = std::move(page.position);
    must_run(container_->flatten(std::move(page.oids)), "flatten");
  }
}

Task<dfs::FsResult<uint64_t>> MountedFiles::read_file(std::string path, ByteSpan into) {
  auto file = co_await mount_->lookup(path, O_RDONLY);
  if (!file) die("a file is not found: " + path);
  co_return co_await mount_->read(*file, {{0, into.size()}}, {{into.data(), into.size()}});
}

void MountedFiles::read_path(uint64_t folder, const std::string& name) {
  Bytes into(kWormFileBytes);
  const auto got = run(read_file("/" + folder_name(folder) + "/" + name, into));
  if (!got || *got != kWormFileBytes || into != content_) die("a file has other bytes");
}

std::vector<std::string> MountedFiles::names_of(uint64_t folder) {
  const auto node = must_run(mount_->lookup("/" + folder_name(folder), O_RDONLY), "lookup");
  std::vector<std::string> names;
  dfs::PageRequest request;
  for (;;) {
    auto page = must_run(mount_->list(node, request), "list");
    names.insert(names.end(), page.names.begin(), page.names.end());
    if (page.eof) return names;
    request.position = std::move(page.position);
  }
}

struct OpenCounts {
  double pages = 0, data = 0;
};

OpenCounts count_random(MountedFiles& files, uint64_t count, SeededRandom& random) {
  const Reads before = files.reads();
  for (uint64_t i = 0; i < count; ++i) {
    files.read_path(random.below(files.folders()),
                    MountedFiles::file_name(random.below(kFilesOfFolder)));
  }
  const Reads now = files.reads();
  const auto n = static_cast<double>(count);
  return {static_cast<double>(now.pages - before.pages) / n,
          static_cast<double>(now.data - before.data) / n};
}

OpenCounts count_in_order(MountedFiles& files, uint64_t folders, SeededRandom& random) {
  const Reads before = files.reads();
  uint64_t count = 0;
  for (uint64_t i = 0; i < folders; ++i) {
    const uint64_t folder = random.below(files.folders());
    for (const std::string& name : files.names_of(folder)) {
      files.read_path(folder, name);
      ++count;
    }
  }
  const Reads now = files.reads();
  const auto n = static_cast<double>(count);
  return {static_cast<double>(now.pages - before.pages) / n,
          static_cast<double>(now.data - before.data) / n};
}

void print_counts(Run& run, const std::string& part, const OpenCounts& flat,
                  const OpenCounts& plain, int wanted) {
  char extra[240];
  std::snprintf(extra, sizeof extra,
                "\"index_pages\": %.3f, \"buffers\": %.4f, \"plain_index_pages\": %.3f, "
                "\"plain_data\": %.4f, \"wanted_at_most\": %d",
                flat.pages, flat.data, plain.pages, plain.data, wanted);
  run.report_count(part, flat.pages + flat.data, "reads/file", extra);
}

}  // namespace

/// Plain first, then flattened: the same files.
void worm_open_case(Run& run) {
  MountedFiles files(run.directory, run.smoke ? kFilesOfFolder : 500'000);
  files.write_all();
  const uint64_t opens = run.smoke ? 200 : 20'000;
  const uint64_t folders = run.smoke ? 1 : 10;
  SeededRandom random(3);
  const auto count = [&] {
    files.reopen();
    count_random(files, opens, random);  // branches of the index come to memory
    const OpenCounts any = count_random(files, opens, random);
    return std::pair(any, count_in_order(files, folders, random));
  };
  const auto [plain, plain_in_order] = count();
  files.flatten_all();
  const auto [flat, flat_in_order] = count();
  print_counts(run, "", flat, plain, 3);
  print_counts(run, ".in_order", flat_in_order, plain_in_order, 2);
}

}  // namespace cairn::bench
