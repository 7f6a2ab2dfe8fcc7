// worm.*: files of 4 KiB that are written once and read many times, plain and flattened, beside raw
// reads of the same blocks, RocksDB with a record for each file, and the host's file system.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

#include "bench/file_side.h"
#include "bench/harness.h"
#include "bench/peers.h"
#include "bench/worm_side.h"

namespace cairn::bench {

namespace {

constexpr size_t kDepth = 32;

uint64_t files_of(const Run& run) { return run.smoke ? 2'000 : 1'000'000; }

double per_file(uint64_t bytes, uint64_t files) {
  return static_cast<double>(bytes) / static_cast<double>(files);
}

/// So that counts have names of their own in the middle of a case.
void print_count(Run& run, const std::string& name, double ours, const std::string& unit,
                 const std::string& extra = {}) {
  const std::string own = std::exchange(run.name, name);
  run.report_count("", ours, unit, extra);
  run.name = own;
}

void ingest_case(Run& run) {
  const uint64_t files = files_of(run);
  WormFiles ours(run.directory, files);
  uint64_t next = 0;
  constexpr uint64_t kStep = 64 * 16;
  std::vector<Peer> peers;
  std::unique_ptr<UpdatePeer> rocks;
  if (kHaveRocksdb) {
    rocks = make_rocksdb_updates(run.directory + "/rocksdb", {.value_bytes = kWormFileBytes,
                                                              .keys = run.smoke ? 100u : 10'000u});
    peers.push_back({"rocksdb.batch64.sync",
                     [&] { return rate_of(run.seconds, 64, [&] { rocks->put(64); }); }});
  }
  HostFiles host(run.directory + "/files", {.fsync = true});
  int round = 0;
  peers.push_back({"ext4.fsync.64threads", [&] {
                     auto folder = host.make_folder("round" + std::to_string(round++));
                     return create_files(*folder, 64, run.seconds, UINT64_MAX);
                   }});
  const Extra requests = ours.side().device_requests();
  run.compare_all(
      [&] {
        return rate_of(run.seconds, kStep, [&] {
          if (next + kStep > files) next = 0;  // in a smoke run, or a very long one: overwrites
          ours.write(next, kStep, 64);
          next += kStep;
        });
      },
      peers, requests);
}

/// Index, data and memory of the files in both forms.
void print_sizes(Run& run, WormFiles& files, uint64_t plain_index, uint64_t plain_data) {
  files.go_cold();  // pages that were replaced since the last checkpoint do not count any more
  const uint64_t count = files.files();
  char extra[160];
  std::snprintf(extra, sizeof extra, "\"plain\": %.1f, \"files\": %llu, \"wanted_at_most\": 40",
                per_file(plain_index, count), static_cast<unsigned long long>(count));
  print_count(run, "worm.index_bytes_per_file", per_file(files.index_bytes(), count), "B/file",
              extra);
  const auto payload = static_cast<double>(count * kWormFileBytes);
  std::snprintf(extra, sizeof extra, "\"plain\": %.4f, \"wanted_at_most\": 1.05",
                static_cast<double>(plain_data + plain_index) / payload);
  print_count(run, "worm.space_over_payload",
              static_cast<double>(files.data_bytes() + files.index_bytes()) / payload, "B/B",
              extra);
}

void flatten_case(Run& run) {
  const uint64_t files = files_of(run);
  WormFiles ours(run.directory, files);
  ours.write_all();
  ours.go_cold(ShardSizes().memory_bytes);
  const uint64_t plain_index = ours.index_bytes();
  const uint64_t plain_data = ours.data_bytes();
  RawFile raw(run.directory + "/raw", 64, 1u << 20);
  media::AlignedBuffer data(1u << 20);
  raw.fill(data.data());
  const uint64_t step = files / static_cast<uint64_t>(run.smoke ? 1 : run.rounds);
  uint64_t next = 0;
  uint64_t slot = 0;
  run.compare(
      [&] {
        const uint64_t count = next + 2 * step > files ? files - next : step;
        const double begin = now_seconds();
        ours.flatten(next, count);
        next += count;
        return static_cast<double>(count) / (now_seconds() - begin);
      },
      // What is written of a flattened file, on the way to its extent, in writes of 1 MiB.
      {"raw.write.1MiB.RWF_DSYNC",
       [&] {
         return rate_of(run.seconds, (1u << 20) / kWormFileBytes,
                        [&] { raw.write(slot++ % 64, data.data()); });
       }},
      ours.side().device_requests());
  print_sizes(run, ours, plain_index, plain_data);
}

/// Requests of one cold read, and what they ask for.
struct ColdReads {
  double data_reads = 0, page_reads = 0, bytes = 0;
};

ColdReads count_cold_reads(WormFiles& files, uint64_t reads) {
  const DeviceCounts before = files.side().data_counts();
  const uint64_t pages_before = files.side().pages_read();
  files.read_random(reads, kDepth, files.files());
  const DeviceCounts& now = files.side().data_counts();
  const auto n = static_cast<double>(reads);
  return {static_cast<double>(now.reads - before.reads) / n,
          static_cast<double>(files.side().pages_read() - pages_before) / n,
          static_cast<double>(now.read_bytes - before.read_bytes) / n};
}

std::string members_of(const ColdReads& reads, const char* prefix) {
  char text[200];
  std::snprintf(text, sizeof text,
                "\"%sdata_reads\": %.4f, \"%spage_reads\": %.4f, \"%sdata_read_bytes\": %.0f",
                prefix, reads.data_reads, prefix, reads.page_reads, prefix, reads.bytes);
  return text;
}

constexpr size_t kHostMakers = 16;

/// Opens, reads and closes random ones of the files that kHostMakers threads have made; files per
/// second.
double read_host_files(Folder& folder, double seconds, uint64_t each) {
  std::atomic<uint64_t> done{0};
  const double begin = now_seconds();
  std::vector<std::thread> readers;
  for (size_t t = 0; t < kDepth; ++t) {
    readers.emplace_back([&, t] {
      SeededRandom random(t);
      while (now_seconds() - begin < seconds) {
        folder.read(file_name(random.below(kHostMakers), random.below(each)));
        ++done;
      }
    });
  }
  for (auto& reader : readers) reader.join();
  return static_cast<double>(done) / (now_seconds() - begin);
}

void cold_read_case(Run& run) {
  const uint64_t files = files_of(run);
  std::filesystem::create_directory(run.directory + "/plain");
  WormFiles ours(run.directory, files);
  WormFiles plain(run.directory + "/plain", files);
  for (WormFiles* side : {&ours, &plain}) side->write_all();
  ours.flatten_all();
  for (WormFiles* side : {&ours, &plain}) side->go_cold();
  const uint64_t reads = run.smoke ? 1'000 : 100'000;
  // Index pages come to memory, as far as they fit.
  for (WormFiles* side : {&ours, &plain}) side->read_random(reads, kDepth, files);
  std::vector<DeviceSpan> spans;
  ours.side().record_data_reads(&spans);
  const ColdReads flat_reads = count_cold_reads(ours, reads);
  ours.side().record_data_reads(nullptr);
  const ColdReads plain_reads = count_cold_reads(plain, reads);
  char memory[80];
  std::snprintf(memory, sizeof memory, "\"memory_bytes_per_file\": %.1f, ",
                per_file(kWormMemoryBytes, files));
  print_count(run, "worm.reads_per_cold_read", flat_reads.data_reads + flat_reads.page_reads,
              "reads/file",
              memory + members_of(flat_reads, "") + ", " + members_of(plain_reads, "plain_"));

  RawSpans raw(ours.side().data_path(), std::move(spans));
  HostFiles host(run.directory + "/files", {.direct = true});
  const auto folder = host.make_folder("top");
  const uint64_t each = std::min<uint64_t>(files, 200'000) / kHostMakers;
  create_files(*folder, kHostMakers, 0, each);
  constexpr uint64_t kStep = 64 * kDepth;
  const auto rate = [&](auto&& read) { return rate_of(run.seconds, kStep, [&] { read(); }); };
  std::vector<Peer> peers;
  peers.push_back({"raw.read.same_blocks.O_DIRECT.qd32",
                   [&] { return rate([&] { raw.read_random(kStep, kDepth); }); }});
  peers.push_back(
      {"plain", [&] { return rate([&] { plain.read_random(kStep, kDepth, files); }); }});
  std::unique_ptr<CapacityPeer> rocks;
  if (kHaveRocksdb) {
    rocks = make_rocksdb_capacity(run.directory + "/rocksdb",
                                  {files, kWormFileBytes, kWormMemoryBytes});
    peers.push_back({"rocksdb.32threads", [&] { return rocks->get_rate(run.seconds, kDepth); }});
  }
  peers.push_back(
      {"ext4.O_DIRECT.32threads", [&] { return read_host_files(*folder, run.seconds, each); }});
  run.compare_all([&] { return rate([&] { ours.read_random(kStep, kDepth, files); }); }, peers,
                  ours.side().device_requests());
}

/// Files that fit the memory for buffers.
void warm_read_case(Run& run) {
  const uint64_t files = run.smoke ? 500 : 2'000;
  std::filesystem::create_directory(run.directory + "/plain");
  WormFiles ours(run.directory, files);
  WormFiles plain(run.directory + "/plain", files);
  for (WormFiles* side : {&ours, &plain}) side->write_all();
  ours.flatten_all();
  for (WormFiles* side : {&ours, &plain}) {
    side->go_cold(512u << 20);
    side->read_random(20 * files, kDepth, files);
  }
  const uint64_t before = ours.side().data_counts().reads;
  const auto rate = [&](WormFiles& side) {
    return rate_of(run.seconds, 1'000, [&] { side.read_random(1'000, 1, files); });
  };
  std::unique_ptr<FetchPeer> rocks;
  std::vector<Peer> peers{{"plain", [&] { return rate(plain); }}};
  if (kHaveRocksdb) {
    rocks = make_rocksdb_fetches(run.directory + "/rocksdb", files, kWormFileBytes);
    peers.push_back(
        {"rocksdb.get", [&] { return rate_of(run.seconds, 1'000, [&] { rocks->get(1'000); }); }});
  }
  run.compare_all([&] { return rate(ours); }, peers,
                  [&](double operations) {
                    char text[80];
                    std::snprintf(text, sizeof text, "\"data_reads_per_op\": %.4f",
                                  static_cast<double>(ours.side().data_counts().reads - before) /
                                      std::max(1.0, operations));
                    return std::string(text);
                  });
}

}  // namespace

void add_worm_cases(std::vector<Case>& cases) {
  cases.push_back({"worm.ingest.4KiB", "files/s", ingest_case});
  cases.push_back({"worm.flatten.4KiB", "files/s", flatten_case});
  cases.push_back({"worm.read.4KiB.cold", "op/s", cold_read_case});
  cases.push_back({"worm.read.4KiB.warm", "op/s", warm_read_case});
  cases.push_back({"worm.reads_per_cold_open", "reads/file", worm_open_case});
}

}  // namespace cairn::bench
