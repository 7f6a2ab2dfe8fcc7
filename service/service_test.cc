#include "service/service.h"

#include <gtest/gtest.h>

#include "model/label.h"
#include "service/props.h"
#include "service/service_testing.h"

namespace cairn::service {
namespace {

TEST_F(ServiceTest, A_pool_keeps_the_memory_that_it_was_made_with) {
  // Goal: the budget is checked once and kept. Method: by ratio and by size, then a restart; below
  // the least, and above the whole metadata.
  wire::ControlRequest request{.op = wire::Op::pool_create, .label = "half", .bytes = kPoolBytes};
  request.memory_ratio = 5'000;
  ASSERT_TRUE(call(request));
  request.label = "sized";
  request.memory_ratio = 0;
  request.memory_bytes = 5u << 20;
  ASSERT_TRUE(call(request));
  const auto listed = call({.op = wire::Op::pool_list});
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->pools[0].memory_bytes, shard_sizes(kPoolBytes, 0)->meta_bytes / 2);
  EXPECT_EQ(listed->pools[1].memory_bytes, 5u << 20);
  EXPECT_EQ(host_.created_with[listed->pools[1].uuid], 5u << 20);
  restart();
  EXPECT_EQ(host_.opened_with[listed->pools[0].uuid], listed->pools[0].memory_bytes);
  request.label = "tiny";
  request.memory_bytes = 1u << 20;
  EXPECT_EQ(code(call(request)), Errc::no_memory);
  request.memory_bytes = 0;
  request.memory_ratio = 10'001;
  EXPECT_EQ(code(call(request)), Errc::invalid);
}

TEST_F(ServiceTest, A_pool_has_a_shard_on_each_target_and_keeps_them) {
  // Goal: the map is made once, told to whoever connects, and kept when the home has more targets
  // later. Method: three targets, then five.
  options_.targets = {{0, 0}, {0, 1}, {1, 0}};
  restart();
  ASSERT_TRUE(create_pool("three", 3 * kPoolBytes));
  options_.targets.push_back({1, 1});
  options_.targets.push_back({2, 0});
  restart();
  const auto connected = connect("three");
  ASSERT_TRUE(connected);
  EXPECT_EQ(connected->map.generation, 1u);
  ASSERT_EQ(connected->map.targets.size(), 3u);
  EXPECT_EQ(connected->map.targets[2],
            (wire::Target{.rank = 1, .index = 0, .state = 4, .weight = 1, .generation = 1}));
  EXPECT_EQ(host_.made_on[connected->uuid], (Targets{{0, 0}, {0, 1}, {1, 0}}));
  EXPECT_EQ(host_.opened_on[connected->uuid], host_.made_on[connected->uuid]);
  const auto about = call({.op = wire::Op::pool_query, .pool_handle = connected->handle});
  ASSERT_TRUE(about);
  EXPECT_EQ(about->pools[0].target_count, 3u);
  EXPECT_EQ(about->pools[0].engine_count, 2u);
  EXPECT_EQ(about->pools[0].map.targets, connected->map.targets);
  ASSERT_EQ(connected->map.engines.size(), 1u);
  EXPECT_EQ(connected->map.engines[0].incarnation, 5u);
  ASSERT_TRUE(create_cont(connected->handle, "c"));
  const auto opened = open_cont(connected->handle, "c");
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->map, connected->map);
  EXPECT_EQ(opened->conts.at(0).generation, 1u);
  EXPECT_EQ(code(create_pool("small", 4 * kPoolBytesMin)), Errc::invalid);
}

TEST_F(ServiceTest, A_pool_of_before_has_one_target) {
  // Goal: records without a map or a generation go on. Method: take both away.
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "c"));
  stop();
  for (auto& [key, entry] : config_.entries) {
    if (key.starts_with("pools/")) {
      auto record = parse_record<PoolRecord>(entry.value);
      ASSERT_TRUE(record);
      record->map = {};
      entry.value = wire::proto_encode(*record);
    } else if (key.find("/conts/") != key.npos) {
      auto record = parse_record<ContRecord>(entry.value);
      ASSERT_TRUE(record);
      record->generation = 0;
      entry.value = wire::proto_encode(*record);
    }
  }
  options_.targets = {{0, 0}, {0, 1}};
  start();
  const auto connected = connect("tank");
  ASSERT_TRUE(connected);
  EXPECT_EQ(host_.opened_on[connected->uuid], (Targets{{0, 0}}));
  ASSERT_EQ(connected->map.targets.size(), 1u);
  EXPECT_EQ(open_cont(connected->handle, "c")->conts.at(0).generation, 1u);
}

TEST_F(ServiceTest, A_pool_has_a_unique_well_formed_label_and_a_sensible_size) {
  // Goal: bad requests make nothing. Method: each kind, then the good one, twice.
  for (const std::string label : {"", "a b", "01234567-89ab-cdef-0123-456789abcdef",
                                  "pool_label_not_set"}) {
    EXPECT_EQ(code(create_pool(label)), Errc::invalid) << label;
  }
  EXPECT_EQ(code(create_pool(std::string(128, 'x'))), Errc::invalid);
  EXPECT_EQ(code(create_pool("small", 1000)), Errc::invalid);
  EXPECT_EQ(code(call({.op = wire::Op::pool_create, .label = "rf", .bytes = kPoolBytes,
                       .props = {{.number = prop::kPoolRedunFac, .integer = 3}}})),
            Errc::invalid);
  EXPECT_TRUE(config_.entries.empty());
  ASSERT_TRUE(create_pool("tank"));
  EXPECT_EQ(code(create_pool("tank")), Errc::exists);
  EXPECT_EQ(host_.pools.size(), 1u);
  const auto list = call({.op = wire::Op::pool_list});
  ASSERT_TRUE(list);
  ASSERT_EQ(list->pools.size(), 1u);
  EXPECT_EQ(list->pools[0].label, "tank");
  EXPECT_EQ(list->pools[0].data_total, 7u);
}

TEST_F(ServiceTest, A_pool_that_cannot_be_made_leaves_nothing) {
  // Goal: label and files are free again. Method: the engine fails halfway.
  host_.fail_create = true;
  EXPECT_EQ(code(create_pool("tank")), Errc::no_space);
  EXPECT_TRUE(host_.pools.empty());
  EXPECT_TRUE(config_.entries.empty());
  host_.fail_create = false;
  EXPECT_TRUE(create_pool("tank"));
}

TEST_F(ServiceTest, The_label_of_a_half_made_pool_is_free_before_its_parts_are_gone) {
  // Goal: whoever asks again for a pool that could not be made is not told that it exists. Method:
  // an engine fails halfway, and what it has made cannot be removed yet.
  host_.fail_create = host_.fail_remove = true;
  EXPECT_EQ(code(create_pool("tank")), Errc::no_space);
  EXPECT_EQ(host_.pools.size(), 1u);
  host_.fail_create = false;
  EXPECT_TRUE(create_pool("tank"));
  EXPECT_EQ(host_.pools.size(), 2u);
  const auto list = call({.op = wire::Op::pool_list});
  ASSERT_TRUE(list);
  EXPECT_EQ(list->pools.size(), 1u);
  host_.fail_remove = false;
  restart();
  EXPECT_EQ(host_.pools.size(), 1u);
}

TEST_F(ServiceTest, Connections_are_exclusive_when_they_say_so) {
  // Goal: access modes as the reference has them. Method: the combinations of the probe.
  ASSERT_TRUE(create_pool("tank"));
  EXPECT_EQ(code(connect("absent")), Errc::nonexistent);
  EXPECT_EQ(code(connect("01234567-89ab-cdef-0123-456789abcdef")), Errc::nonexistent);
  EXPECT_EQ(code(connect("")), Errc::invalid);
  EXPECT_EQ(code(connect("a b")), Errc::invalid);
  for (const uint32_t access : {0u, 3u, 5u, 8u}) {
    EXPECT_EQ(code(connect("tank", access)), Errc::invalid) << access;
  }
  const auto shared = connect("tank", 1);
  ASSERT_TRUE(shared);
  EXPECT_EQ(code(connect("tank", 4)), Errc::busy);
  ASSERT_TRUE(call({.op = wire::Op::pool_disconnect, .pool_handle = shared->handle}));
  EXPECT_EQ(code(call({.op = wire::Op::pool_disconnect, .pool_handle = shared->handle})),
            Errc::no_handle);
  const auto alone = connect("tank", 4);
  ASSERT_TRUE(alone);
  EXPECT_EQ(code(connect("tank", 1)), Errc::busy);
}

TEST_F(ServiceTest, A_pool_in_use_is_destroyed_by_force_only) {
  // Goal: busy, then eviction. Method: a handle and a container in the way; afterwards the old
  // handles.
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "docs"));
  const auto cont = open_cont(handle, "docs");
  ASSERT_TRUE(cont);
  EXPECT_EQ(code(call({.op = wire::Op::pool_disconnect, .pool_handle = handle})), Errc::busy);
  EXPECT_EQ(code(destroy_pool("tank", false)), Errc::busy);
  ASSERT_TRUE(destroy_pool("tank", true));
  EXPECT_TRUE(host_.pools.empty());
  EXPECT_TRUE(config_.entries.empty());
  EXPECT_EQ(code(call({.op = wire::Op::pool_query, .pool_handle = handle})), Errc::no_handle);
  EXPECT_EQ(code(of_cont(wire::Op::cont_query, cont->handle)), Errc::nonexistent);
  EXPECT_TRUE(of_cont(wire::Op::cont_close, cont->handle));
  EXPECT_TRUE(call({.op = wire::Op::pool_disconnect, .pool_handle = handle}));
  EXPECT_EQ(code(destroy_pool("tank", true)), Errc::nonexistent);
}

TEST_F(ServiceTest, Containers_are_found_by_label_and_uuid_and_keep_their_labels_apart) {
  // Goal: names. Method: create, look up in both ways, collide, change the label.
  const uint64_t handle = pool();
  const auto made = create_cont(handle, "docs");
  ASSERT_TRUE(made);
  EXPECT_EQ(code(create_cont(handle, "docs")), Errc::exists);
  EXPECT_EQ(code(create_cont(handle, std::string(128, 'L'))), Errc::invalid);
  EXPECT_EQ(code(create_cont(handle, "container_label_not_set")), Errc::invalid);
  ASSERT_TRUE(create_cont(handle, ""));
  const auto by_label = open_cont(handle, "docs");
  const auto by_uuid = open_cont(handle, to_string(made->uuid), 1);
  ASSERT_TRUE(by_label && by_uuid);
  EXPECT_EQ(by_uuid->uuid, made->uuid);
  EXPECT_EQ(by_uuid->conts[0].handle_count, 2u);
  EXPECT_EQ(code(open_cont(handle, "docs", 4)), Errc::busy);
  EXPECT_EQ(code(open_cont(handle, "absent")), Errc::nonexistent);
  EXPECT_EQ(code(open_cont(handle, "")), Errc::invalid);
  EXPECT_EQ(code(open_cont(handle, "docs", 3)), Errc::invalid);

  ASSERT_TRUE(create_cont(handle, "other"));
  const auto relabel = [&](uint64_t id, std::string label) {
    return call({.op = wire::Op::cont_set_props, .cont_handle = id,
                 .props = {{.number = prop::kContLabel, .text = std::move(label)}}});
  };
  EXPECT_EQ(code(relabel(by_label->handle, "other")), Errc::exists);
  EXPECT_EQ(code(relabel(by_label->handle, "a b")), Errc::invalid);
  EXPECT_EQ(code(relabel(by_uuid->handle, "new")), Errc::no_perm);
  ASSERT_TRUE(relabel(by_label->handle, "new"));
  EXPECT_EQ(code(open_cont(handle, "docs")), Errc::nonexistent);
  EXPECT_TRUE(open_cont(handle, "new"));
  EXPECT_TRUE(create_cont(handle, "docs"));
}

TEST_F(ServiceTest, Destroying_an_open_container_needs_force_and_evicts) {
  // Goal: the recorded behaviour of destroy. Method: as the probe does it.
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "c"));
  const auto cont = open_cont(handle, "c");
  ASSERT_TRUE(cont);
  EXPECT_EQ(code(destroy_cont(handle, "c", false)), Errc::busy);
  ASSERT_TRUE(destroy_cont(handle, "c", true));
  EXPECT_EQ(host_.destroyed, std::vector<uint32_t>{1});
  EXPECT_EQ(host_.revoked, std::vector<uint32_t>{cont->io_index});
  EXPECT_EQ(code(of_cont(wire::Op::cont_query, cont->handle)), Errc::nonexistent);
  EXPECT_TRUE(of_cont(wire::Op::cont_close, cont->handle));
  EXPECT_EQ(code(destroy_cont(handle, "c", true)), Errc::nonexistent);
  // The number is never used again, also after a restart.
  ASSERT_TRUE(create_cont(handle, "c"));
  restart();
  const uint64_t again = connect("tank")->handle;
  ASSERT_TRUE(create_cont(again, "d"));
  ASSERT_TRUE(open_cont(again, "c"));
  ASSERT_TRUE(open_cont(again, "d"));
  EXPECT_EQ(host_.grants.at(1).container, 2u);
  EXPECT_EQ(host_.grants.at(2).container, 3u);
}

TEST_F(ServiceTest, What_could_not_be_removed_is_removed_at_the_next_start) {
  // Goal: tombstones are finished. Method: the engine fails to remove; restart with it healed.
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "c"));
  host_.fail_remove = true;
  ASSERT_TRUE(destroy_cont(handle, "c", false));
  EXPECT_EQ(code(open_cont(handle, "c")), Errc::nonexistent);
  EXPECT_TRUE(create_cont(handle, "c"));
  ASSERT_TRUE(create_pool("gone"));
  ASSERT_TRUE(destroy_pool("gone", false));
  EXPECT_EQ(host_.pools.size(), 2u);
  host_.fail_remove = false;
  restart();
  EXPECT_EQ(host_.destroyed, std::vector<uint32_t>{1});
  EXPECT_EQ(host_.pools.size(), 1u);
  EXPECT_TRUE(create_pool("gone"));
}

TEST_F(ServiceTest, Object_numbers_start_at_zero_and_never_come_twice) {
  // Goal: contiguous in a process, ahead after a restart. Method: several counts, restart in
  // between.
  const uint64_t handle = pool();
  ASSERT_TRUE(create_cont(handle, "c"));
  const uint64_t cont = open_cont(handle, "c", 1)->handle;
  const auto alloc = [&](uint64_t id, uint64_t count) {
    return call({.op = wire::Op::cont_alloc_oids, .cont_handle = id, .count = count});
  };
  EXPECT_EQ(alloc(cont, 1)->first, 0u);
  EXPECT_EQ(alloc(cont, 10)->first, 1u);
  EXPECT_EQ(alloc(cont, 100'000)->first, 11u);
  EXPECT_EQ(alloc(cont, 1)->first, 100'011u);
  EXPECT_EQ(code(alloc(cont, 0)), Errc::invalid);
  EXPECT_EQ(code(alloc(cont, ~uint64_t{0})), Errc::no_space);
  restart();
  const uint64_t after = open_cont(connect("tank")->handle, "c")->handle;
  EXPECT_GE(alloc(after, 1)->first, 100'012u);
}

TEST_F(ServiceTest, Properties_are_checked_one_by_one) {
  // Goal: the property table. Method: the cases that the probes recorded.
  const uint64_t handle = pool();
  const auto create = [&](uint32_t number, uint64_t value) {
    return code(create_cont(handle, "", {{.number = number, .integer = value}}));
  };
  EXPECT_EQ(create(0x1002, 1), Errc::ok);             // POSIX
  EXPECT_EQ(create(0x1004, 99), Errc::invalid);
  EXPECT_EQ(create(0x1005, 0), Errc::ok);
  EXPECT_EQ(create(0x1007, 9), Errc::invalid);
  EXPECT_EQ(create(0x1007, 1), Errc::invalid);        // one engine
  EXPECT_EQ(create(0x1008, 77), Errc::invalid);
  EXPECT_EQ(create(0x1014, 1000), Errc::invalid);
  EXPECT_EQ(create(0x1014, 65536), Errc::ok);
  EXPECT_EQ(create(0x1010, 10), Errc::invalid);
  EXPECT_EQ(create(0x100c, 99), Errc::invalid);
  EXPECT_EQ(create(0x1012, uint64_t{1} << 32), Errc::invalid);
  EXPECT_EQ(create(0x1017, 1), Errc::invalid);
  EXPECT_EQ(create(3, 5), Errc::invalid);             // a pool's
  EXPECT_EQ(create(0x101e, 5), Errc::invalid);
  ASSERT_TRUE(create_cont(handle, "c", {{.number = 0x1013, .integer = 55}}));
  const uint64_t cont = open_cont(handle, "c")->handle;
  const auto change = [&](uint32_t number, uint64_t value) {
    return code(call({.op = wire::Op::cont_set_props, .cont_handle = cont,
                      .props = {{.number = number, .integer = value}}}));
  };
  EXPECT_EQ(change(0x1009, 3), Errc::ok);
  EXPECT_EQ(change(0x1004, 1), Errc::no_perm);
  EXPECT_EQ(change(0x1004, 99), Errc::invalid);
  EXPECT_EQ(change(0x1014, 65536), Errc::no_perm);
  EXPECT_EQ(change(0x1013, 100), Errc::no_perm);
  EXPECT_EQ(change(0x1017, 1), Errc::invalid);
  EXPECT_EQ(change(0x1012, uint64_t{1} << 32), Errc::invalid);
  EXPECT_EQ(change(0x1012, uint64_t{1} << 48), Errc::ok);   // healthy, with the clear flag
  EXPECT_EQ(code(of_cont(wire::Op::cont_set_props, cont)), Errc::invalid);
  const auto info = of_cont(wire::Op::cont_query, cont);
  ASSERT_TRUE(info);
  const auto& props = info->conts.at(0).props;
  EXPECT_EQ(find_prop(props, 0x1009)->integer, 3u);
  EXPECT_EQ(find_prop(props, 0x1013)->integer, 55u);
  EXPECT_EQ(find_prop(props, prop::kContLabel)->text, "c");
}

TEST_F(ServiceTest, Attributes_are_set_together_and_checked) {
  // Goal: names and values within their limits, several at once, all or none. Method: borders of
  // each.
  const uint64_t handle = pool();
  const auto set = [&](std::vector<wire::Attr> attrs) {
    return code(call({.op = wire::Op::pool_set_attrs, .pool_handle = handle,
                      .attrs = std::move(attrs)}));
  };
  EXPECT_EQ(set({}), Errc::invalid);
  EXPECT_EQ(set({{"", Bytes(1)}}), Errc::invalid);
  EXPECT_EQ(set({{std::string(512, 'n'), Bytes(1)}}), Errc::invalid);
  EXPECT_EQ(set({{"n", Bytes()}}), Errc::invalid);
  EXPECT_EQ(set({{"good", Bytes(1)}, {"bad", Bytes()}}), Errc::invalid);
  EXPECT_EQ(set({{std::string(511, 'n'), Bytes(1u << 20)}, {"b", Bytes(2)}, {"b", Bytes(3)}}),
            Errc::ok);
  const auto all = call({.op = wire::Op::pool_attrs, .pool_handle = handle});
  ASSERT_TRUE(all);
  ASSERT_EQ(all->attrs.size(), 2u);
  EXPECT_EQ(all->attrs[0].value.size(), 3u);
  EXPECT_EQ(code(call({.op = wire::Op::pool_delete_attrs, .pool_handle = handle,
                       .names = {"b", "absent"}})),
            Errc::ok);
  EXPECT_EQ(call({.op = wire::Op::pool_attrs, .pool_handle = handle})->attrs.size(), 1u);
  EXPECT_EQ(code(call({.op = wire::Op::pool_delete_attrs, .pool_handle = handle})), Errc::invalid);
  EXPECT_EQ(code(call({.op = wire::Op::pool_attrs, .pool_handle = 999})), Errc::no_handle);
}

TEST_F(ServiceTest, A_read_only_home_changes_nothing) {
  // Goal: every change is refused, reading works. Method: restart read only over a pool with a
  // container.
  const uint64_t first = pool();
  ASSERT_TRUE(create_cont(first, "c"));
  options_.read_only = true;
  restart();
  const auto before = config_.revision;
  const uint64_t handle = connect("tank")->handle;
  EXPECT_EQ(code(create_pool("p")), Errc::no_perm);
  EXPECT_EQ(code(create_cont(handle, "d")), Errc::no_perm);
  const auto cont = open_cont(handle, "c");
  ASSERT_TRUE(cont);
  EXPECT_FALSE(host_.grants.back().writable);
  EXPECT_TRUE(of_cont(wire::Op::cont_query, cont->handle));
  EXPECT_EQ(config_.revision, before);
}

TEST_F(ServiceTest, Hostile_requests_are_refused) {
  // Goal: no bytes stop the service. Method: garbage, another version, unknown operations.
  Bytes garbage(40, std::byte{0xff});
  auto reply = world_.run(service_->handle({.session = 1}, garbage));
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->error().code(), Errc::protocol);
  EXPECT_EQ(code(call({.version = 9, .op = wire::Op::pool_list})), Errc::protocol);
  EXPECT_EQ(code(call({.op = static_cast<wire::Op>(99)})), Errc::no_sys);
  EXPECT_EQ(code(call({})), Errc::no_sys);
}

}  // namespace
}  // namespace cairn::service
