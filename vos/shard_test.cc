#include "vos/shard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "media/file_device.h"
#include "runtime/context.h"

namespace cairn::vos {
namespace {

using model::ValueType;

Bytes bytes_of(std::string_view s) { return {as_bytes(s).begin(), as_bytes(s).end()}; }
std::string text_of(ByteView b) { return std::string(as_chars(b)); }
IoVecs buffer_of(Bytes& b) { return {{b.data(), b.size()}}; }

/// A shard on files in a directory of its own.
class ShardTest : public ::testing::Test {
 protected:
  static constexpr uint8_t kHashed = 0, kIntegerDkeys = 2, kLexicalDkeys = 5;

  void SetUp() override {
    char name[] = "/tmp/cairn-vos-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    start(true);
  }
  void TearDown() override {
    stop();
    std::filesystem::remove_all(directory_);
  }

  void start(bool create) {
    reactor_ = std::make_unique<Reactor>(system_clock(), system_random(), *make_io_backend());
    context_ = std::make_unique<Context>(*reactor_);
    const auto device = [&](const char* name, uint64_t bytes, bool fill) {
      auto opened = context_->run(media::open_file_device(
          *reactor_, directory_ + "/" + name, {.create = create, .fill = fill, .bytes = bytes}));
      EXPECT_TRUE(opened) << name;
      return std::move(*opened);
    };
    wal_ = device("wal", 8u << 20, true);
    meta_ = device("meta", 64u << 20, false);
    data_ = device("data", 256u << 20, false);
    const index::StoreDevices devices{wal_.get(), meta_.get(), data_.get()};
    ShardOptions options;
    options.store.evict_always = evict_always_;
    auto shard = context_->run(create ? Shard::create(*reactor_, devices, {}, options)
                                      : Shard::open(*reactor_, devices, {}, options));
    ASSERT_TRUE(shard) << shard.error().what();
    shard_ = std::move(*shard);
  }
  void stop() {
    if (shard_ != nullptr) {
      EXPECT_TRUE(context_->run(shard_->close()));
    }
    shard_.reset();
    wal_.reset();
    meta_.reset();
    data_.reset();
    context_.reset();
    reactor_.reset();
  }
  void restart() {
    stop();
    start(false);
  }

  ObjectPath object(uint64_t lo = 1, uint8_t type = kHashed) {
    return {1, {lo, uint64_t{type} << 56 | 0x0001'0001'0000'0000}, 0};
  }
  Result<model::Epoch> put(const ObjectPath& o, std::string_view dkey, std::string_view akey,
                           Bytes value, uint64_t flags = 0) {
    UpdateRequest r{.object = o, .dkey = as_bytes(dkey), .flags = flags};
    r.iods.push_back(
        {as_bytes(akey), ValueType::single, value.size(), 0, {}, buffer_of(value), false});
    return context_->run(shard_->update(r));
  }
  Result<model::Epoch> write(const ObjectPath& o, std::string_view akey, uint64_t at, Bytes records,
                             uint64_t record_bytes = 1) {
    UpdateRequest r{.object = o, .dkey = as_bytes("d")};
    r.iods.push_back({as_bytes(akey),
                      ValueType::array,
                      record_bytes,
                      0,
                      {{at, records.size() / record_bytes}},
                      buffer_of(records),
                      false});
    return context_->run(shard_->update(r));
  }
  Result<model::Epoch> hole(const ObjectPath& o, std::string_view akey, uint64_t at,
                            uint64_t count) {
    UpdateRequest r{.object = o, .dkey = as_bytes("d")};
    r.iods.push_back({as_bytes(akey), ValueType::array, 0, 0, {{at, count}}, {}, false});
    return context_->run(shard_->update(r));
  }
  /// The single value; "<none>" if absent.
  std::string get(const ObjectPath& o, std::string_view dkey, std::string_view akey,
                  uint64_t room = 1 << 20) {
    Bytes out(room);
    FetchRequest r{.object = o, .dkey = as_bytes(dkey)};
    r.iods.push_back({as_bytes(akey), ValueType::single, 0, 0, {}, buffer_of(out), false});
    auto fetched = context_->run(shard_->fetch(r));
    EXPECT_TRUE(fetched) << fetched.error().what();
    if (!fetched || fetched->iods[0].record_bytes == 0) return "<none>";
    out.resize(fetched->iods[0].record_bytes);
    return text_of(out);
  }
  /// The records, holes as '.'.
  std::string read(const ObjectPath& o, std::string_view akey, uint64_t at, uint64_t count,
                   uint64_t record_bytes = 1) {
    Bytes out(count * record_bytes, std::byte{'.'});
    FetchRequest r{.object = o, .dkey = as_bytes("d")};
    r.iods.push_back(
        {as_bytes(akey), ValueType::array, record_bytes, 0, {{at, count}}, buffer_of(out), false});
    auto fetched = context_->run(shard_->fetch(r));
    EXPECT_TRUE(fetched) << fetched.error().what();
    return text_of(out);
  }
  Result<model::Epoch> punch(const ObjectPath& o, PunchRequest::Level level,
                             std::string_view dkey = {}, std::vector<ByteView> akeys = {},
                             uint64_t flags = 0) {
    PunchRequest r{
        .object = o, .level = level, .dkey = as_bytes(dkey), .akeys = akeys, .flags = flags};
    return context_->run(shard_->punch(r));
  }
  std::vector<std::string> keys(const ObjectPath& o, model::ListRequest r) {
    std::vector<std::string> all;
    for (int calls = 0; calls < 10'000; ++calls) {
      auto listed = context_->run(shard_->list(o, r));
      EXPECT_TRUE(listed) << listed.error().what();
      if (!listed) break;
      size_t at = 0;
      for (const uint64_t n : listed->lengths) {
        all.push_back(text_of(ByteView(listed->keys).subspan(at, n)));
        at += n;
      }
      r.position = listed->position;
      if (listed->eof) return all;
    }
    ADD_FAILURE() << "the listing does not end";
    return all;
  }
  std::vector<std::string> dkeys(const ObjectPath& o, uint32_t each = 100) {
    return keys(
        o, {.what = model::ListRequest::What::dkeys, .count_max = each, .bytes_max = 8u << 20});
  }
  std::string extents(const ObjectPath& o, std::string_view akey, bool descending = false,
                      uint32_t each = 100) {
    model::ListRequest r{.what = model::ListRequest::What::recxs,
                         .dkey = as_bytes("d"),
                         .akey = as_bytes(akey),
                         .count_max = each,
                         .bytes_max = 0,
                         .position = {},
                         .descending = descending};
    std::string out;
    for (int calls = 0; calls < 10'000; ++calls) {
      auto listed = context_->run(shard_->list(o, r));
      EXPECT_TRUE(listed) << listed.error().what();
      if (!listed) break;
      for (const auto& x : listed->recxs) {
        out += std::to_string(x.index) + "+" + std::to_string(x.count) + " ";
      }
      r.position = listed->position;
      if (listed->eof) return out;
    }
    ADD_FAILURE() << "the listing does not end";
    return out;
  }
  void expect_clean() {
    auto report = context_->run(shard_->check(true));
    ASSERT_TRUE(report) << report.error().what();
    for (const std::string& p : report->problems) ADD_FAILURE() << p;
  }

  bool evict_always_ = false;
  std::string directory_;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<media::Device> wal_, meta_, data_;
  std::unique_ptr<Shard> shard_;
};

Bytes pattern(size_t n, uint32_t seed) {
  Bytes b(n);
  for (size_t i = 0; i < n; ++i) b[i] = static_cast<std::byte>((i * 131 + seed * 7 + (i >> 8)) | 1);
  return b;
}

Task<void> tell_end(Task<Result<model::Epoch>> update, bool& ended) {
  EXPECT_TRUE(co_await std::move(update));
  ended = true;
}

TEST_F(ShardTest, A_fetch_at_once_answers_only_what_needs_no_wait) {
  // Goal: the plain call gives what fetch() gives, or nothing. Method: a small durable value; one
  // in blocks; an absent one; one whose update is under way.
  const ObjectPath o = object();
  ASSERT_TRUE(put(o, "small", "a", bytes_of("value")));
  ASSERT_TRUE(put(o, "large", "a", Bytes(10'000, std::byte{7})));
  Bytes out(20'000);
  const auto at_once = [&](std::string_view dkey) -> Result<bool> {
    FetchRequest r{.object = o, .dkey = as_bytes(dkey)};
    r.iods.push_back({as_bytes("a"), ValueType::single, 0, 0, {}, buffer_of(out), false});
    model::Fetched found;
    TRY(done, shard_->fetch_at_once(r, found));
    EXPECT_EQ(done ? text_of(ByteView(out).first(found.iods[0].record_bytes)) : "value", "value");
    return done;
  };
  EXPECT_EQ(at_once("small"), true);
  EXPECT_EQ(at_once("large"), false);
  EXPECT_EQ(at_once("absent"), false);
  EXPECT_EQ(at_once("").error().code(), Errc::invalid);

  Bytes changed = bytes_of("other");
  UpdateRequest r{.object = o, .dkey = as_bytes("small")};
  r.iods.push_back(
      {as_bytes("a"), ValueType::single, changed.size(), 0, {}, buffer_of(changed), false});
  bool updated = false;
  context_->start(tell_end(shard_->update(r), updated));
  ASSERT_FALSE(updated);
  EXPECT_EQ(at_once("small"), false);
  EXPECT_TRUE(context_->drive_until([&] { return updated; }, kNever));
  EXPECT_EQ(get(o, "small", "a"), "other");
}

TEST_F(ShardTest, Single_values_are_read_back_also_after_a_restart) {
  // Goal: small, packed-size and large values survive. Method: write, read, restart, read, check.
  const auto o = object();
  const Bytes large = pattern(3'145'728, 1);
  ASSERT_TRUE(put(o, "d", "small", bytes_of("hello")));
  ASSERT_TRUE(put(o, "d", "inode", Bytes(88)));
  ASSERT_TRUE(put(o, "d", "block", pattern(4096, 2)));
  ASSERT_TRUE(put(o, "d", "large", large));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(get(o, "d", "small"), "hello");
    EXPECT_EQ(get(o, "d", "inode"), std::string(88, '\0'));
    EXPECT_EQ(get(o, "d", "block"), text_of(pattern(4096, 2)));
    EXPECT_EQ(get(o, "d", "large", 4u << 20), text_of(large));
    EXPECT_EQ(get(o, "d", "other"), "<none>");
    restart();
  }
  expect_clean();
}

TEST_F(ShardTest, Overlapping_array_writes_trim_and_split_what_they_cover) {
  // Goal: readers see the newest bytes, extents never overlap. Method: small overlaps, then in
  // blocks.
  const auto o = object();
  ASSERT_TRUE(write(o, "a", 0, bytes_of("abcdefgh")));
  ASSERT_TRUE(write(o, "a", 2, bytes_of("XYZ")));
  EXPECT_EQ(read(o, "a", 0, 10), "abXYZfgh..");
  EXPECT_EQ(extents(o, "a"), "0+2 2+3 5+3 ");
  EXPECT_EQ(extents(o, "a", true, 1), "5+3 2+3 0+2 ");
  ASSERT_TRUE(hole(o, "a", 1, 2));
  EXPECT_EQ(read(o, "a", 0, 8), "a..YZfgh");

  std::string model = text_of(pattern(100'000, 3));
  ASSERT_TRUE(write(o, "b", 0, bytes_of(model)));
  for (const auto& [at, n] : std::vector<std::pair<size_t, size_t>>{
           {10, 5}, {4090, 20}, {50'000, 9'000}, {8192, 4096}, {99'000, 1'000}, {3, 1}}) {
    const Bytes piece = pattern(n, static_cast<uint32_t>(at));
    ASSERT_TRUE(write(o, "b", at, piece));
    model.replace(at, n, text_of(piece));
    ASSERT_EQ(read(o, "b", 0, model.size()), model) << at;
    expect_clean();
  }
  restart();
  EXPECT_EQ(read(o, "b", 0, model.size()), model);
  expect_clean();
}

TEST_F(ShardTest, Attributes_set_in_an_inode_leave_one_record) {
  // Goal: 88 bytes written whole and then in parts stay one packed record, read back exactly; a
  // part that is made a hole, or a write beyond them, is an ordinary one. Method: a string beside.
  const auto o = object();
  std::string inode(88, '\0');
  inode[0] = 'm';
  ASSERT_TRUE(write(o, "inode", 0, bytes_of(inode)));
  for (const auto& [at, text] : std::vector<std::pair<size_t, std::string>>{
           {20, "mtime---"}, {0, "mode"}, {80, "12345678"}, {28, std::string(8, '\0')}}) {
    ASSERT_TRUE(write(o, "inode", at, bytes_of(text)));
    inode.replace(at, text.size(), text);
    EXPECT_EQ(extents(o, "inode"), "0+88 ");
    EXPECT_EQ(read(o, "inode", 0, 88), inode);
    EXPECT_EQ(read(o, "inode", 2, 30), inode.substr(2, 30));
  }
  restart();
  EXPECT_EQ(read(o, "inode", 0, 88), inode);
  ASSERT_TRUE(write(o, "inode", 84, bytes_of("beyond")));
  inode.replace(84, 6, "beyond");
  EXPECT_EQ(read(o, "inode", 0, 90), inode);
  ASSERT_TRUE(hole(o, "inode", 4, 4));
  inode.replace(4, 4, "....");
  EXPECT_EQ(read(o, "inode", 0, 90), inode);
  expect_clean();
}

TEST_F(ShardTest, A_large_write_is_one_extent_to_the_caller) {
  // Goal: pieces that we cut are joined in listings. Method: 10 MiB in one write, both directions.
  const auto o = object();
  ASSERT_TRUE(write(o, "a", 5, pattern(10u << 20, 1)));
  EXPECT_EQ(extents(o, "a"), "5+10485760 ");
  EXPECT_EQ(extents(o, "a", true), "5+10485760 ");
  ASSERT_TRUE(write(o, "r", 0, pattern(3 * 5'000'000, 1), 5'000'000));
  EXPECT_EQ(extents(o, "r"), "0+3 ");
  EXPECT_EQ(read(o, "r", 1, 1, 5'000'000),
            text_of(pattern(3 * 5'000'000, 1)).substr(5'000'000, 5'000'000));
  expect_clean();
}

TEST_F(ShardTest, Conditions_decide_in_one_step_with_the_update) {
  // Goal: each condition's both outcomes. Method: the cases of the reference's table.
  using namespace model::cond;
  const auto o = object();
  EXPECT_EQ(put(o, "d", "a", bytes_of("v"), kDkeyUpdate).error().code(), Errc::nonexistent);
  ASSERT_TRUE(put(o, "d", "a", bytes_of("v"), kDkeyInsert));
  EXPECT_EQ(put(o, "d", "b", bytes_of("v"), kDkeyInsert).error().code(), Errc::exists);
  EXPECT_TRUE(put(o, "d", "b", bytes_of("v"), kAkeyInsert));
  EXPECT_EQ(put(o, "d", "b", bytes_of("w"), kAkeyInsert).error().code(), Errc::exists);
  EXPECT_EQ(put(o, "d", "c", bytes_of("w"), kAkeyUpdate).error().code(), Errc::nonexistent);
  EXPECT_EQ(put(o, "d", "a", bytes_of("w"), kAkeyFetch).error().code(), Errc::invalid);
  EXPECT_EQ(get(o, "d", "b"), "v");
  EXPECT_EQ(get(o, "d", "c"), "<none>");
}

TEST_F(ShardTest, Punches_hide_what_they_cover_at_every_level) {
  // Goal: object, dkey and akey punches; the last akey hides its dkey. Method: list and read after
  // each.
  using Level = PunchRequest::Level;
  const auto o = object();
  for (const char* d : {"d1", "d2", "d3"}) {
    ASSERT_TRUE(put(o, d, "a", bytes_of("1")));
    ASSERT_TRUE(put(o, d, "b", pattern(9000, 1)));
  }
  const auto before = context_->run(shard_->max_epoch(o));
  ASSERT_TRUE(punch(o, Level::akeys, "d1", {as_bytes("a")}));
  EXPECT_GT(*context_->run(shard_->max_epoch(o)), *before);
  EXPECT_EQ(get(o, "d1", "a"), "<none>");
  EXPECT_EQ(dkeys(o).size(), 3u);
  ASSERT_TRUE(punch(o, Level::akeys, "d1", {as_bytes("b")}));
  EXPECT_EQ(dkeys(o), (std::vector<std::string>{"d2", "d3"}));
  ASSERT_TRUE(punch(o, Level::dkey, "d2"));
  EXPECT_EQ(dkeys(o), (std::vector<std::string>{"d3"}));
  EXPECT_EQ(punch(o, Level::dkey, "d2", {}, model::cond::kPunch).error().code(), Errc::nonexistent);
  ASSERT_TRUE(punch(o, Level::object));
  EXPECT_TRUE(dkeys(o).empty());
  EXPECT_EQ(shard_->store().stats().data.used, 0u);
  expect_clean();
}

TEST_F(ShardTest, A_large_punch_is_one_record_and_gives_its_space_back_in_the_background) {
  // Goal: an object with many records vanishes at once, stays gone after a restart, can be written
  // again, and its blocks come back. Method: 2,000 dkeys with data, object punch, restart before
  // the pass ends.
  const auto o = object();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(put(o, "d" + std::to_string(i), "a", pattern(5000, 1)));
  ASSERT_TRUE(punch(o, PunchRequest::Level::object));
  EXPECT_TRUE(dkeys(o).empty());
  EXPECT_EQ(get(o, "d5", "a"), "<none>");
  ASSERT_TRUE(put(o, "d5", "a", bytes_of("new"), model::cond::kDkeyInsert));
  restart();
  EXPECT_EQ(dkeys(o), (std::vector<std::string>{"d5"}));
  EXPECT_EQ(get(o, "d5", "a"), "new");
  context_->run(shard_->reclaimed());
  EXPECT_EQ(get(o, "d5", "a"), "new");
  EXPECT_EQ(dkeys(o), (std::vector<std::string>{"d5"}));
  expect_clean();
}

TEST_F(ShardTest, Holes_and_empty_values_keep_their_keys_listed) {
  // Goal: size-0 updates as observed in the reference. Method: conformance cases at this interface.
  const auto o = object();
  ASSERT_TRUE(write(o, "a", 0, bytes_of("abcd")));
  ASSERT_TRUE(hole(o, "a", 0, 4));
  EXPECT_EQ(dkeys(o).size(), 1u);
  EXPECT_EQ(write(o, "a", 0, bytes_of("abcd"), 2).error().code(), Errc::invalid);
  ASSERT_TRUE(put(o, "e", "s", {}));
  EXPECT_EQ(dkeys(o).size(), 2u);
  EXPECT_EQ(get(o, "e", "s"), "<none>");
  EXPECT_EQ(put(o, "e", "s", bytes_of("x"), model::cond::kAkeyInsert).error().code(), Errc::exists);
  EXPECT_EQ(put(o, "d", "a", bytes_of("x")).error().code(), Errc::no_perm);
}

TEST_F(ShardTest, Long_keys_are_listed_whole) {
  // Goal: keys above 64 bytes, above a page and of 1 MiB. Method: list in full after a restart.
  const auto o = object();
  std::vector<std::string> names;
  for (const size_t n : {64u, 65u, 5'000u, 100'000u, 1u << 20}) {
    names.push_back(text_of(pattern(n, static_cast<uint32_t>(n))));
    ASSERT_TRUE(put(o, names.back(), "a", bytes_of("v")));
    ASSERT_TRUE(put(o, "d", names.back(), bytes_of("w")));
  }
  restart();
  auto listed = dkeys(o);
  for (const std::string& name : names) {
    EXPECT_EQ(std::count(listed.begin(), listed.end(), name), 1) << name.size();
    EXPECT_EQ(get(o, name, "a"), "v");
  }
  EXPECT_EQ(keys(o, {.what = model::ListRequest::What::akeys,
                     .dkey = as_bytes("d"),
                     .count_max = 2,
                     .bytes_max = 2u << 20})
                .size(),
            names.size());
  expect_clean();
  ASSERT_TRUE(punch(o, PunchRequest::Level::object));
  EXPECT_EQ(shard_->store().stats().data.used, 0u);
}

TEST_F(ShardTest, Listings_go_on_from_their_anchor_after_a_restart) {
  // Goal: positions are key positions, not memory. Method: one key a call, a restart in the middle.
  const auto o = object(2, kLexicalDkeys);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(put(o, "key" + std::to_string(10 + i), "a", bytes_of("v")));
  }
  model::ListRequest r{.what = model::ListRequest::What::dkeys, .count_max = 1, .bytes_max = 100};
  for (int i = 0; i < 20; ++i) {
    if (i % 7 == 3) restart();
    auto listed = context_->run(shard_->list(o, r));
    ASSERT_TRUE(listed);
    ASSERT_EQ(text_of(listed->keys), "key" + std::to_string(10 + i));
    EXPECT_EQ(listed->eof, i == 19);
    r.position = listed->position;
  }
  r.position = *shard_->position_of(o, model::ListRequest::What::dkeys, as_bytes("key15"));
  EXPECT_EQ(text_of(context_->run(shard_->list(o, r))->keys), "key15");
  r.bytes_max = 3;
  r.position.clear();
  auto small = context_->run(shard_->list(o, r));
  EXPECT_TRUE(small->too_small);
  EXPECT_EQ(small->lengths[0], 5u);
}

TEST_F(ShardTest, Queries_find_the_greatest_and_smallest) {
  // Goal: integer dkeys and extents, after punches too. Method: three dkeys with arrays.
  const auto o = object(3, kIntegerDkeys);
  for (const uint64_t d : {1u, 5u, 300u}) {
    Bytes value = bytes_of("abcd");
    UpdateRequest r{.object = o, .dkey = view_of(&d, 8)};
    r.iods.push_back(
        {as_bytes("0"), ValueType::array, 1, 0, {{d * 10, 4}}, buffer_of(value), false});
    const auto updated = context_->run(shard_->update(r));
    ASSERT_TRUE(updated) << updated.error().what();
  }
  model::QueryKeyRequest q{.max = true,
                           .want_dkey = true,
                           .want_akey = false,
                           .want_recx = true,
                           .dkey = 0,
                           .akey = 0,
                           .dkey_bytes = {},
                           .akey_bytes = as_bytes("0")};
  auto found = context_->run(shard_->query_key(o, q));
  ASSERT_TRUE(found && found->found);
  EXPECT_EQ(found->dkey, 300u);
  EXPECT_EQ(found->recx, (model::Recx{3000, 4}));
  q.max = false;
  EXPECT_EQ(context_->run(shard_->query_key(o, q))->dkey, 1u);
  const uint64_t last = 300;
  ASSERT_TRUE(punch(o, PunchRequest::Level::dkey, as_chars(view_of(&last, 8))));
  q.max = true;
  EXPECT_EQ(context_->run(shard_->query_key(o, q))->dkey, 5u);
}

TEST_F(ShardTest, A_resend_gets_the_first_answer_also_after_a_restart) {
  // Goal: exactly once. Method: the same (session, sequence) again, before and after a checkpoint
  // and reopen; a session never opened is refused.
  const auto o = object();
  Bytes value = bytes_of("v");
  UpdateRequest r{
      .object = o, .dkey = as_bytes("d"), .flags = model::cond::kDkeyInsert, .origin = {7, 1, 0}};
  r.iods.push_back({as_bytes("a"), ValueType::single, 1, 0, {}, buffer_of(value), false});
  EXPECT_EQ(context_->run(shard_->update(r)).error().code(), Errc::unknown);
  shard_->open_session(7);
  const auto first = context_->run(shard_->update(r));
  ASSERT_TRUE(first);
  EXPECT_EQ(*context_->run(shard_->update(r)), *first);
  restart();
  EXPECT_EQ(*context_->run(shard_->update(r)), *first);
  r.origin = {7, 2, 2};
  EXPECT_EQ(context_->run(shard_->update(r)).error().code(), Errc::exists);
  r.origin = {7, 1, 0};
  EXPECT_EQ(context_->run(shard_->update(r)).error().code(), Errc::unknown);
}

TEST_F(ShardTest, A_late_copy_of_a_punch_of_nothing_removes_nothing_also_after_a_restart) {
  // Goal: exactly once for punches that found nothing. Method: punch, write, restart, punch again.
  const auto o = object();
  shard_->open_session(9);
  PunchRequest p{
      .object = o, .level = PunchRequest::Level::dkey, .dkey = as_bytes("d"), .origin = {9, 1, 0}};
  const auto first = context_->run(shard_->punch(p));
  ASSERT_TRUE(first);
  ASSERT_TRUE(put(o, "d", "a", bytes_of("v")));
  EXPECT_EQ(*context_->run(shard_->punch(p)), *first);
  restart();
  EXPECT_EQ(*context_->run(shard_->punch(p)), *first);
  EXPECT_EQ(get(o, "d", "a"), "v");
}

TEST_F(ShardTest, An_epoch_that_a_caller_gives_is_above_the_floor_and_within_the_clock_bound) {
  // Goal: no caller can write into the past or shut others out of the future. Method: both ends.
  const auto o = object();
  const auto first = put(o, "d", "a", bytes_of("v"));
  ASSERT_TRUE(first);
  Bytes value = bytes_of("w");
  UpdateRequest r{.object = o, .dkey = as_bytes("d"), .epoch = *first};
  r.iods.push_back({as_bytes("a"), ValueType::single, 1, 0, {}, buffer_of(value), false});
  EXPECT_EQ(context_->run(shard_->update(r)).error().code(), Errc::tx_restart);
  r.epoch = model::kEpochMax;
  EXPECT_EQ(context_->run(shard_->update(r)).error().code(), Errc::invalid);
  r.epoch = *first + 1;
  EXPECT_EQ(context_->run(shard_->update(r)).value_or(0), *first + 1);
  EXPECT_EQ(get(o, "d", "a"), "w");
  PunchRequest p{.object = o, .epoch = *first};
  EXPECT_EQ(context_->run(shard_->punch(p)).error().code(), Errc::tx_restart);
}

TEST_F(ShardTest, Many_fetches_in_one_call_answer_as_single_ones_do_also_from_the_disk) {
  // Goal: fetch_many(). Method: more keys than one group, of every kind: small, in blocks, an array
  // and absent ones; compared with fetch(), warm, and after a restart with no page in memory.
  const auto o = object();
  constexpr uint32_t kKeys = 100;
  const auto value = [](uint32_t i) { return pattern(i % 10 == 3 ? 9000 : 5 + i, i); };
  for (uint32_t i = 0; i < kKeys; ++i) {
    if (i % 7 != 0) ASSERT_TRUE(put(o, "key" + std::to_string(i), "a", value(i)));
  }
  ASSERT_TRUE(write(o, "array", 10, pattern(20, 1)));
  for (const bool warm : {true, false}) {
    if (!warm) restart();
    std::vector<std::string> names(kKeys);
    std::vector<Bytes> rooms(kKeys + 1, Bytes(9000));
    std::vector<FetchRequest> requests(kKeys + 1);
    for (uint32_t i = 0; i < kKeys; ++i) {
      names[i] = "key" + std::to_string(i);
      requests[i] = {.object = o, .dkey = as_bytes(names[i])};
      requests[i].iods.push_back(
          {as_bytes("a"), ValueType::single, 0, 0, {}, buffer_of(rooms[i]), false});
    }
    requests[kKeys] = {.object = o, .dkey = as_bytes("d")};
    requests[kKeys].iods.push_back(
        {as_bytes("array"), ValueType::array, 1, 0, {{0, 30}}, buffer_of(rooms[kKeys]), false});
    auto fetched = context_->run(shard_->fetch_many(requests));
    ASSERT_TRUE(fetched) << fetched.error().what();
    ASSERT_EQ(fetched->size(), requests.size());
    for (uint32_t i = 0; i < kKeys; ++i) {
      const model::FetchedIod& found = (*fetched)[i].iods[0];
      const Bytes wanted = i % 7 == 0 ? Bytes() : value(i);
      ASSERT_EQ(found.record_bytes, wanted.size()) << i;
      EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), rooms[i].begin())) << i;
    }
    const model::FetchedIod& array = (*fetched)[kKeys].iods[0];
    EXPECT_EQ(array.extents, (model::Recxs{{10, 20}}));
    EXPECT_EQ(array.pieces, (model::FetchedIod::Pieces{{10, 20}}));
  }
  FetchRequest bad{.object = o, .dkey = {}};
  bad.iods.push_back({as_bytes("a"), ValueType::single, 0, 0, {}, {}, true});
  const auto refused = context_->run(shard_->fetch_many({&bad, 1}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::invalid);
  EXPECT_TRUE(context_->run(shard_->fetch_many({}))->empty());
}

TEST_F(ShardTest, A_single_value_whose_checksums_would_meet_those_of_its_akey_is_refused) {
  // Goal: neither is ever overwritten by the other. Method: sizes on both sides of 16 blocks.
  const std::string akey(70'000, 'k'), shorter(65'536, 'k');
  const auto refused = put(object(), "d", akey, Bytes(70'000, std::byte{1}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::not_supported);
  ASSERT_TRUE(put(object(), "d", akey, Bytes(65'536, std::byte{2})));
  ASSERT_TRUE(put(object(), "d", shorter, Bytes(70'000, std::byte{3})));
  restart();
  EXPECT_EQ(get(object(), "d", akey), std::string(65'536, 2));
  EXPECT_EQ(get(object(), "d", shorter), std::string(70'000, 3));
}

TEST_F(ShardTest, A_destroyed_container_leaves_nothing) {
  // Goal: all space comes back, other containers stay. Method: two containers, one destroyed.
  auto other = object();
  other.container = 2;
  for (int i = 0; i < 700; ++i) {
    ASSERT_TRUE(put(object(), "d" + std::to_string(i), "a", pattern(5000, 1)));
  }
  ASSERT_TRUE(put(other, "d", "a", bytes_of("stays")));
  ASSERT_TRUE(context_->run(shard_->destroy_container(1)));
  EXPECT_TRUE(dkeys(object()).empty());
  EXPECT_EQ(get(other, "d", "a"), "stays");
  EXPECT_EQ(shard_->store().stats().data.used, 0u);
  expect_clean();
}

}  // namespace
}  // namespace cairn::vos
