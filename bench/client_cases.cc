// client.*: the pairs of store.* once more, through the C API as a program would call it.
#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "bench/client_side.h"
#include "bench/harness.h"
#include "bench/peers.h"
#include "media/device.h"

namespace cairn::bench {

namespace {

daos_obj_id_t object_id(daos_handle_t cont, daos_otype_t type) {
  daos_obj_id_t oid{.lo = 1, .hi = 0};
  must(daos_obj_generate_oid(cont, &oid, type, OC_S1, 0, 0), "daos_obj_generate_oid");
  return oid;
}

/// The arguments of one operation on one single value; they must live until it completes.
struct Operation {
  daos_event_t event{};
  std::string dkey_text;
  char akey_text = 'a';
  std::vector<char> value;
  d_iov_t dkey{}, iov{};
  daos_iod_t iod{};
  d_sg_list_t sgl{};

  explicit Operation(size_t value_bytes) : value(value_bytes, 'x') {
    d_iov_set(&iov, value.data(), value.size());
    sgl.sg_nr = 1;
    sgl.sg_iovs = &iov;
    iod.iod_nr = 1;
    iod.iod_type = DAOS_IOD_SINGLE;
    d_iov_set(&iod.iod_name, &akey_text, 1);
  }
  void aim(uint64_t key) {
    dkey_text = key_text(key);
    d_iov_set(&dkey, dkey_text.data(), dkey_text.size());
    iod.iod_size = value.size();
    sgl.sg_nr_out = 0;
  }
};

class Values {
 public:
  Values(const std::string& directory, size_t value_bytes, size_t in_flight)
      : side_(directory, true) {
    must(daos_obj_open(side_.container(), object_id(side_.container(), DAOS_OT_MULTI_HASHED),
                       DAOS_OO_RW, &object_, nullptr),
         "daos_obj_open");
    must(daos_eq_create(&queue_), "daos_eq_create");
    for (size_t i = 0; i < in_flight; ++i) {
      operations_.push_back(std::make_unique<Operation>(value_bytes));
      must(daos_event_init(&operations_.back()->event, queue_, nullptr), "daos_event_init");
    }
  }
  ~Values() {
    for (auto& o : operations_) must(daos_event_fini(&o->event), "daos_event_fini");
    must(daos_eq_destroy(queue_, 0), "daos_eq_destroy");
    must(daos_obj_close(object_, nullptr), "daos_obj_close");
  }

  /// One blocking call.
  void update(uint64_t key) { update(*operations_[0], key, nullptr); }
  void fetch(uint64_t key) {
    Operation& o = *operations_[0];
    o.aim(key);
    must(daos_obj_fetch(object_, DAOS_TX_NONE, 0, &o.dkey, 1, &o.iod, &o.sgl, nullptr, nullptr),
         "daos_obj_fetch");
    if (o.iod.iod_size != o.value.size()) die("a fetch found nothing");
  }

  /// Keeps all operations in flight until `seconds` have passed and at least one of each is done;
  /// operations per second.
  double update_many(double seconds, const std::function<uint64_t()>& next_key) {
    const double begin = now_seconds();
    for (auto& o : operations_) update(*o, next_key(), &o->event);
    uint64_t done = 0;
    size_t running = operations_.size();
    bool enough = false;
    std::vector<daos_event_t*> ended(operations_.size());
    while (running > 0) {
      const int n =
          daos_eq_poll(queue_, 1, DAOS_EQ_WAIT, static_cast<unsigned>(ended.size()), ended.data());
      if (n <= 0) die("daos_eq_poll gives " + std::to_string(n));
      done += static_cast<uint64_t>(n);
      enough = enough || now_seconds() - begin > seconds;
      for (int i = 0; i < n; ++i) {
        daos_event_t* const event = ended[static_cast<size_t>(i)];
        must(event->ev_error, "an update");
        if (enough) {
          --running;
        } else {
          update(*reinterpret_cast<Operation*>(event), next_key(), event);
        }
      }
    }
    return static_cast<double>(done) / (now_seconds() - begin);
  }

 private:
  void update(Operation& o, uint64_t key, daos_event_t* event) {
    o.aim(key);
    must(daos_obj_update(object_, DAOS_TX_NONE, 0, &o.dkey, 1, &o.iod, &o.sgl, event),
         "daos_obj_update");
  }

  ClientSide side_;
  daos_handle_t object_{}, queue_{};
  std::vector<std::unique_ptr<Operation>> operations_;
};

void update_case(Run& run, size_t value_bytes, size_t in_flight) {
  Values ours(run.directory, value_bytes, in_flight);
  const uint64_t keys = run.smoke ? 2'000 : update_keys(value_bytes);
  auto peer = make_rocksdb_updates(run.directory + "/rocksdb", {value_bytes, keys});
  uint64_t filled = 0;
  while (filled < keys) (void)ours.update_many(0, [&] { return filled++ % keys; });
  SeededRandom random(1);
  const auto key = [&] { return random.below(keys); };
  run.compare(
      [&] {
        if (in_flight > 1) return ours.update_many(run.seconds, key);
        return rate_of(run.seconds, 1, [&] { ours.update(key()); });
      },
      {"rocksdb.sync.batch" + std::to_string(in_flight),
       [&] { return rate_of(run.seconds, in_flight, [&] { peer->put(in_flight); }); }});
}

void fetch_case(Run& run, size_t value_bytes, bool lmdb) {
  Values ours(run.directory, value_bytes, 256);
  const uint64_t keys = run.smoke ? kFetchKeys / 100 : kFetchKeys;
  uint64_t filled = 0;
  while (filled < keys) (void)ours.update_many(0, [&] { return filled++ % keys; });
  auto peer = lmdb ? make_lmdb_fetches(run.directory + "/lmdb", keys, value_bytes)
                   : make_rocksdb_fetches(run.directory + "/rocksdb", keys, value_bytes);
  SeededRandom random(1);
  constexpr uint64_t kStep = 1000;
  run.compare(
      [&] {
        return rate_of(run.seconds, kStep, [&] {
          for (uint64_t i = 0; i < kStep; ++i) ours.fetch(random.below(keys));
        });
      },
      {lmdb ? "lmdb" : "rocksdb",
       [&] { return rate_of(run.seconds, kStep, [&] { peer->get(kStep); }); }});
}

constexpr uint64_t kMiB = 1u << 20;

class Array {
 public:
  explicit Array(const std::string& directory) : side_(directory, true) {
    const daos_obj_id_t oid = object_id(side_.container(), DAOS_OT_ARRAY_BYTE);
    must(daos_array_open_with_attr(side_.container(), oid, DAOS_TX_NONE, DAOS_OO_RW, 1, kMiB,
                                   &array_, nullptr),
         "daos_array_open_with_attr");
  }
  ~Array() { must(daos_array_close(array_, nullptr), "daos_array_close"); }
  void transfer(bool reading, uint64_t slot, std::byte* data) {
    daos_range_t range{slot * kMiB, kMiB};
    daos_array_iod_t iod{1, &range, 0, 0};
    d_iov_t iov;
    d_iov_set(&iov, data, kMiB);
    d_sg_list_t sgl{1, 0, &iov};
    must(reading ? daos_array_read(array_, DAOS_TX_NONE, &iod, &sgl, nullptr)
                 : daos_array_write(array_, DAOS_TX_NONE, &iod, &sgl, nullptr),
         reading ? "daos_array_read" : "daos_array_write");
  }

 private:
  ClientSide side_;
  daos_handle_t array_{};
};

void data_case(Run& run, bool reading) {
  const uint64_t slots = run.smoke ? 16 : 512;
  Array ours(run.directory);
  RawFile raw(run.directory + "/raw", slots);
  media::AlignedBuffer buffer(kMiB);
  for (size_t i = 0; i < kMiB; ++i) buffer.data()[i] = static_cast<std::byte>(i * 31 + (i >> 9));
  for (uint64_t i = 0; i < slots; ++i) {
    raw.write(i, buffer.data());  // no side pays for blocks of the file system while measured
    ours.transfer(false, i, buffer.data());
  }
  uint64_t our_slot = 0;
  uint64_t their_slot = 0;
  run.compare(
      [&] {
        return rate_of(run.seconds, 1,
                       [&] { ours.transfer(reading, our_slot++ % slots, buffer.data()); });
      },
      {reading ? "raw.read.O_DIRECT" : "raw.write.O_DIRECT.O_DSYNC", [&] {
         return rate_of(run.seconds, 1, [&] {
           const uint64_t slot = their_slot++ % slots;
           reading ? raw.read(slot, buffer.data()) : raw.write(slot, buffer.data());
         });
       }});
}

}  // namespace

void add_client_cases(std::vector<Case>& cases) {
  for (const auto& [size, bytes] : {std::pair{"64B", size_t{64}}, {"1KiB", size_t{1024}}}) {
    for (const size_t depth : {1u, 64u}) {
      if (!kHaveRocksdb) continue;
      cases.push_back({std::string("client.update.") + size + ".qd" + std::to_string(depth), "op/s",
                       [bytes = bytes, depth](Run& run) { update_case(run, bytes, depth); }});
    }
  }
  if (kHaveLmdb) {
    cases.push_back(
        {"client.fetch.64B.cached.lmdb", "op/s", [](Run& run) { fetch_case(run, 64, true); }});
  }
  if (kHaveRocksdb) {
    cases.push_back(
        {"client.fetch.64B.cached.rocksdb", "op/s", [](Run& run) { fetch_case(run, 64, false); }});
  }
  cases.push_back({"client.write.1MiB.qd1", "MiB/s", [](Run& run) { data_case(run, false); }});
  cases.push_back({"client.read.1MiB.qd1", "MiB/s", [](Run& run) { data_case(run, true); }});
}

}  // namespace cairn::bench
