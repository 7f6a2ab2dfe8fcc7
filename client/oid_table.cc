#include "client/oid_table.h"

#include <algorithm>

#include "base/endian.h"
#include "model/oclass.h"
#include "runtime/parallel.h"

namespace cairn::client {
namespace {

constexpr uint8_t kTableType = 14, kOldTableType = 1;
constexpr size_t kEntryBytes = 16;
constexpr uint32_t kObjectsPerPage = 1024;
constexpr size_t kAtOnceMax = 64;
constexpr std::byte kMarkerAkey[] = {std::byte{'m'}};

/// Any container can hold it: one group, no redundancy.
model::ObjectId table_oid(model::Epoch epoch) {
  constexpr uint64_t kOneGroup = uint64_t{1} << 32 | uint64_t{1} << 48;
  return {.lo = epoch, .hi = uint64_t{kTableType} << 56 | kOneGroup};
}

Bytes entry_key(model::ObjectId oid) {
  Bytes key(kEntryBytes);
  store_be64(key.data(), oid.hi);
  store_be64(key.data() + 8, oid.lo);
  return key;
}

model::ObjectId entry_oid(ByteView key) {
  return {.lo = load_be64(key.data() + 8), .hi = load_be64(key.data())};
}

model::Iods marker_iod(Bytes& bytes) {
  model::Iods iods(1);
  iods[0].akey = kMarkerAkey;
  iods[0].type = model::ValueType::single;
  iods[0].record_bytes = bytes.size();
  if (!bytes.empty()) iods[0].buffer = {{bytes.data(), bytes.size()}};
  return iods;
}

/// Arguments are the frame's own.
Task<Result<void>> put_entry(ContainerPtr container, model::Epoch epoch, Bytes key, Bytes marker,
                             uint64_t flags) {
  const ObjectArgs args{.oid = table_oid(epoch), .dkey = key, .flags = flags};
  CO_TRY(written, co_await container->update(args, marker_iod(marker)));
  co_return Result<void>{};
}

Task<Result<void>> get_marker(ContainerPtr container, model::Epoch epoch, model::ObjectId oid,
                              Bytes& marker) {
  const Bytes key = entry_key(oid);
  marker.resize(kMarkerBytesMax);
  const ObjectArgs args{.oid = table_oid(epoch), .dkey = key};
  CO_TRY(fetched, co_await container->fetch(args, marker_iod(marker)));
  const uint64_t bytes = fetched.iods.empty() ? 0 : fetched.iods[0].record_bytes;
  if (fetched.status != Errc::ok || bytes > kMarkerBytesMax) {
    co_return fail(Errc::format_invalid, "object id table: a marker that cannot be");
  }
  marker.resize(bytes);
  co_return Result<void>{};
}

Reactor& reactor_of(Container& container) {
  return container.pool().system().context().reactor();
}

Task<Result<Snapshot>> find_snapshot(ContainerPtr container, model::Epoch epoch) {
  CO_TRY(known, co_await container->snap_list());
  const auto found = std::ranges::find(known, epoch, &Snapshot::epoch);
  if (found == known.end()) {
    co_return fail(Errc::nonexistent, "object id table: no snapshot of that epoch");
  }
  co_return *found;
}

Task<Result<void>> write_entries(ContainerPtr container, model::Epoch epoch,
                                 std::vector<model::ObjectId> oids) {
  std::vector<Task<Result<void>>> writes;
  for (const model::ObjectId& oid : oids) {
    if (oid.type() == kTableType || oid.type() == kOldTableType) continue;
    writes.push_back(put_entry(container, epoch, entry_key(oid), {}, 0));
  }
  co_return co_await run_all(reactor_of(*container), std::move(writes), kAtOnceMax);
}

}  // namespace

Task<Result<void>> table_check(ContainerPtr container, model::Epoch epoch) {
  CO_TRY(snapshot, co_await find_snapshot(container, epoch));
  if (!snapshot.has_table) {
    co_return fail(Errc::nonexistent, "object id table: this snapshot has none");
  }
  co_return Result<void>{};
}

Task<Result<void>> table_create(ContainerPtr container, model::Epoch epoch) {
  CO_TRY(snapshot, co_await find_snapshot(container, epoch));
  if (snapshot.has_table) {
    CO_TRY(noted, co_await container->snap_set_table(epoch, false));
  }
  // What an interrupted call left goes first.
  CO_TRY(cleared, co_await container->punch_object(table_oid(epoch), 0));
  Bytes position;
  for (bool eof = false; !eof;) {
    CO_TRY(page, co_await container->list_objects(epoch, std::move(position), kObjectsPerPage));
    CO_TRY(written, co_await write_entries(container, epoch, std::move(page.oids)));
    position = std::move(page.position);
    eof = page.eof;
  }
  co_return co_await container->snap_set_table(epoch, true);
}

Task<Result<void>> table_destroy(ContainerPtr container, model::Epoch epoch) {
  CO_TRY(checked, co_await table_check(container, epoch));
  CO_TRY(noted, co_await container->snap_set_table(epoch, false));
  CO_TRY(cleared, co_await container->punch_object(table_oid(epoch), 0));
  co_return Result<void>{};
}

Task<Result<TablePage>> table_list(ContainerPtr container, model::Epoch epoch,
                                   TableRequest request) {
  model::ListRequest list;
  list.count_max = request.count_max;
  list.bytes_max = uint64_t{request.count_max} * kEntryBytes;
  list.position = std::move(request.position);
  CO_TRY(listed, co_await container->list(table_oid(epoch), std::move(list)));
  TablePage page{.position = std::move(listed.position), .eof = listed.eof};
  if (listed.keys.size() != listed.lengths.size() * kEntryBytes ||
      std::ranges::any_of(listed.lengths, [](uint64_t n) { return n != kEntryBytes; })) {
    co_return fail(Errc::format_invalid, "object id table: an entry that cannot be");
  }
  for (size_t i = 0; i < listed.lengths.size(); ++i) {
    page.oids.push_back(entry_oid(ByteView(listed.keys).subspan(i * kEntryBytes, kEntryBytes)));
  }
  if (!request.with_markers) co_return page;
  page.markers.resize(page.oids.size());
  std::vector<Task<Result<void>>> reads;
  for (size_t i = 0; i < page.oids.size(); ++i) {
    reads.push_back(get_marker(container, epoch, page.oids[i], page.markers[i]));
  }
  CO_TRY(read, co_await run_all(reactor_of(*container), std::move(reads), kAtOnceMax));
  co_return page;
}

Task<Result<void>> table_mark(ContainerPtr container, model::Epoch epoch, model::ObjectId oid,
                              Bytes marker) {
  if (marker.size() > kMarkerBytesMax) {
    co_return fail(Errc::invalid, "object id table: a marker has at most 32 bytes");
  }
  co_return co_await put_entry(container, epoch, entry_key(oid), std::move(marker),
                               model::cond::kDkeyUpdate);
}

}  // namespace cairn::client
