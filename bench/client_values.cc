#include "bench/client_values.h"

#include "bench/harness.h"
#include "bench/peers.h"

namespace cairn::bench {

namespace {

daos_obj_id_t object_id(daos_handle_t cont, daos_otype_t type, daos_oclass_id_t object_class) {
  daos_obj_id_t oid{.lo = 1, .hi = 0};
  must(daos_obj_generate_oid(cont, &oid, type, object_class, 0, 0), "daos_obj_generate_oid");
  return oid;
}

/// Starts each of `count` operations in turn and again whenever one has ended, for `seconds`.
/// @returns operations per second
double keep_busy(daos_handle_t queue, size_t count, double seconds,
                 const std::function<void(size_t)>& start,
                 const std::function<size_t(daos_event_t*)>& which) {
  const double begin = now_seconds();
  for (size_t i = 0; i < count; ++i) start(i);
  uint64_t done = 0;
  size_t running = count;
  bool enough = false;
  std::vector<daos_event_t*> ended(count);
  while (running > 0) {
    const int n =
        daos_eq_poll(queue, 1, DAOS_EQ_WAIT, static_cast<unsigned>(ended.size()), ended.data());
    if (n <= 0) die("daos_eq_poll gives " + std::to_string(n));
    done += static_cast<uint64_t>(n);
    enough = enough || now_seconds() - begin > seconds;
    for (int i = 0; i < n; ++i) {
      daos_event_t* const event = ended[static_cast<size_t>(i)];
      must(event->ev_error, "an operation");
      if (enough) {
        --running;
      } else {
        start(which(event));
      }
    }
  }
  return static_cast<double>(done) / (now_seconds() - begin);
}

}  // namespace

/// The arguments of one operation on one single value; they must live until it completes.
struct ClientValues::Operation {
  daos_event_t event{};
  size_t number = 0;
  std::string dkey_text;
  char akey_text = 'a';
  std::vector<char> value;
  d_iov_t dkey{}, iov{};
  daos_iod_t iod{};
  d_sg_list_t sgl{};

  Operation(size_t number, size_t value_bytes) : number(number), value(value_bytes, 'x') {
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

ClientValues::ClientValues(const std::string& directory, size_t value_bytes, size_t in_flight,
                           Server server, daos_oclass_id_t object_class)
    : side_(directory, true, 8ull << 30, server) {
  const daos_obj_id_t oid = object_id(side_.container(), DAOS_OT_MULTI_HASHED, object_class);
  must(daos_obj_open(side_.container(), oid, DAOS_OO_RW, &object_, nullptr), "daos_obj_open");
  must(daos_eq_create(&queue_), "daos_eq_create");
  for (size_t i = 0; i < in_flight; ++i) {
    operations_.push_back(std::make_unique<Operation>(i, value_bytes));
    must(daos_event_init(&operations_.back()->event, queue_, nullptr), "daos_event_init");
  }
}

ClientValues::~ClientValues() {
  for (auto& o : operations_) must(daos_event_fini(&o->event), "daos_event_fini");
  must(daos_eq_destroy(queue_, 0), "daos_eq_destroy");
  must(daos_obj_close(object_, nullptr), "daos_obj_close");
}

void ClientValues::update(uint64_t key) { update(*operations_[0], key, nullptr); }

void ClientValues::fetch(uint64_t key) {
  if (!try_fetch(key)) die("a fetch fails or finds nothing");
}

bool ClientValues::try_fetch(uint64_t key) {
  Operation& o = *operations_[0];
  o.aim(key);
  const int rc =
      daos_obj_fetch(object_, DAOS_TX_NONE, 0, &o.dkey, 1, &o.iod, &o.sgl, nullptr, nullptr);
  return rc == 0 && o.iod.iod_size == o.value.size();
}

double ClientValues::update_many(double seconds, const std::function<uint64_t()>& next_key) {
  return keep_busy(
      queue_, operations_.size(), seconds,
      [&](size_t i) { update(*operations_[i], next_key(), &operations_[i]->event); },
      [](daos_event_t* event) { return reinterpret_cast<Operation*>(event)->number; });
}

void ClientValues::update(Operation& o, uint64_t key, daos_event_t* event) {
  o.aim(key);
  must(daos_obj_update(object_, DAOS_TX_NONE, 0, &o.dkey, 1, &o.iod, &o.sgl, event),
       "daos_obj_update");
}

ClientArray::ClientArray(const std::string& directory, Server server)
    : side_(directory, true, 8ull << 30, server) {
  const daos_obj_id_t oid = object_id(side_.container(), DAOS_OT_ARRAY_BYTE, OC_S1);
  must(daos_array_open_with_attr(side_.container(), oid, DAOS_TX_NONE, DAOS_OO_RW, 1, kMiB, &array_,
                                 nullptr),
       "daos_array_open_with_attr");
}

ClientArray::~ClientArray() { must(daos_array_close(array_, nullptr), "daos_array_close"); }

/// The arguments of one transfer of a MiB.
struct ClientArray::Transfer {
  daos_event_t event{};
  size_t number = 0;
  daos_range_t range{};
  daos_array_iod_t iod{};
  d_iov_t iov{};
  d_sg_list_t sgl{};

  void aim(uint64_t slot, std::byte* data) {
    range = {slot * kMiB, kMiB};
    iod = {1, &range, 0, 0};
    d_iov_set(&iov, data, kMiB);
    sgl = {1, 0, &iov};
  }
  void run(bool reading, daos_handle_t array, daos_event_t* completion) {
    must(reading ? daos_array_read(array, DAOS_TX_NONE, &iod, &sgl, completion)
                 : daos_array_write(array, DAOS_TX_NONE, &iod, &sgl, completion),
         reading ? "daos_array_read" : "daos_array_write");
  }
};

void ClientArray::transfer(bool reading, uint64_t slot, std::byte* data) {
  Transfer one;
  one.aim(slot, data);
  one.run(reading, array_, nullptr);
}

double ClientArray::transfer_many(bool reading, uint64_t slots, size_t depth, double seconds,
                                  std::byte* data) {
  daos_handle_t queue{};
  must(daos_eq_create(&queue), "daos_eq_create");
  std::vector<Transfer> transfers(depth);
  for (size_t i = 0; i < depth; ++i) {
    transfers[i].number = i;
    must(daos_event_init(&transfers[i].event, queue, nullptr), "daos_event_init");
  }
  uint64_t next = 0;
  const double rate = keep_busy(
      queue, depth, seconds,
      [&](size_t i) {
        // Reads land in buffers of their own; what is written may be the same.
        transfers[i].aim(next++ % slots, data + (reading ? i * kMiB : 0));
        transfers[i].run(reading, array_, &transfers[i].event);
      },
      [](daos_event_t* event) { return reinterpret_cast<Transfer*>(event)->number; });
  for (Transfer& each : transfers) must(daos_event_fini(&each.event), "daos_event_fini");
  must(daos_eq_destroy(queue, 0), "daos_eq_destroy");
  return rate;
}

}  // namespace cairn::bench
