// One page: golden bytes, full pages, hostile pages.
#include "index/node.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>

#include "base/hash.h"

namespace cairn::index {
namespace {

std::string stamped(uint64_t stamp, std::string_view text) {
  std::string value(8, '\0');
  store_le64(value.data(), stamp);
  return value + std::string(text);
}

struct Page {
  alignas(16) std::byte bytes[kPageBytes] = {};
  ByteView view() const { return {bytes, kPageBytes}; }
  Node node() { return Node(bytes); }
};

NodeItem item(std::string_view key, std::string_view value) {
  return {KeyParts(as_bytes(key)), as_bytes(value)};
}

std::string hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte b : bytes) {
    text.push_back(kDigits[static_cast<unsigned>(b) >> 4]);
    text.push_back(kDigits[static_cast<unsigned>(b) & 15]);
  }
  return text;
}

std::unique_ptr<Page> golden_leaf() {
  auto page = std::make_unique<Page>();
  const std::string one = stamped(1, "one");
  const std::string two = stamped(2, "");
  const NodeItem items[] = {item("object/a", one), item("object/longer", two)};
  page->node().header().page.page_number = 9;
  page->node().header().page.birth = 4;
  build_node(page->node(), PageKind::leaf, 0, items);
  const std::string three = stamped(3, "3");
  page->node().insert(1, as_bytes("object/b"), as_bytes(three));
  page->node().raise_newest(3);
  return page;
}

std::unique_ptr<Page> golden_branch() {
  auto page = std::make_unique<Page>();
  const BranchValue values[] = {
      {PageRef::make(2, 1).word, 5}, {PageRef::make(3, 1).word, 6}, {PageRef::make(4, 2).word, 4}};
  const auto value = [&](size_t i) { return ByteView(view_of(&values[i], sizeof values[i])); };
  const NodeItem items[] = {{KeyParts(), value(0)},
                            {KeyParts(as_bytes("keyA")), value(1)},
                            {KeyParts(as_bytes("keyBcdefg")), value(2)}};
  build_node(page->node(), PageKind::branch, 1, items);
  return page;
}

TEST(Node, KnownLeaf_KeepsItsBytes) {
  // Golden: these bytes are on media.
  const auto page = golden_leaf();
  ASSERT_TRUE(validate_node(page->view()));
  EXPECT_EQ(hex(page->view().first(79)),
            "0000000000000000"
            "0900000000000000"
            "04000000"
            "01"
            "00"
            "0000"
            "0300000000000000"
            "0300"
            "dc3f"
            "0000"
            "0700"
            "0100"
            "0000"
            "0100"
            "0000"
            "6f626a6563742f"
            "61000000"
            "f33f"
            "0100"
            "62000000"
            "dc3f"
            "0100"
            "6c6f6e67"
            "e73f"
            "0600");
  EXPECT_EQ(hex(page->view().subspan(0x3fdc)),
            "0900"
            "0300000000000000"
            "33"
            "0800"
            "6572"
            "0200000000000000"
            "0b00"
            "0100000000000000"
            "6f6e65");
}

TEST(Node, KnownBranch_KeepsItsBytes) {
  const auto page = golden_branch();
  ASSERT_TRUE(validate_node(page->view()));
  EXPECT_EQ(hex(page->view().subspan(20, 55)),
            "02"
            "01"
            "0000"
            "0600000000000000"
            "0300"
            "ce3f"
            "0000"
            "0300"
            "0000"
            "0000"
            "0000"
            "0000"
            "6b6579"
            "00000000"
            "f03f"
            "0000"
            "41000000"
            "e03f"
            "0100"
            "42636465"
            "ce3f"
            "0600");
  EXPECT_EQ(hex(page->view().subspan(0x3fce)),
            "6667"
            "0400000000000200"
            "0400000000000000"
            "0300000000000100"
            "0600000000000000"
            "0200000000000100"
            "0500000000000000");
}

TEST(Node, KeysThatDifferInZerosAtTheirEnd_KeepTheirOrder) {
  // Heads are padded with zeros, so these keys have equal heads.
  std::vector<std::string> keys{"x"};
  for (int zeros = 0; zeros < 8; ++zeros) {
    keys.push_back("y" + std::string(static_cast<size_t>(zeros), '\0'));
    keys.push_back("y" + std::string(static_cast<size_t>(zeros), '\0') + "\x01");
  }
  std::sort(keys.begin(), keys.end());
  auto page = std::make_unique<Page>();
  const std::string value = stamped(1, "");
  std::vector<NodeItem> items;
  for (const std::string& key : keys) items.push_back(item(key, value));
  build_node(page->node(), PageKind::leaf, 0, items);
  ASSERT_TRUE(validate_node(page->view()));
  for (uint32_t i = 0; i < keys.size(); ++i) {
    const Node::Found found = page->node().find(as_bytes(keys[i]));
    EXPECT_TRUE(found.equal);
    EXPECT_EQ(found.slot, i);
    const std::string above = keys[i] + std::string(1, '\0');
    const auto expected = std::lower_bound(keys.begin(), keys.end(), above) - keys.begin();
    EXPECT_EQ(page->node().find(as_bytes(above)).slot, static_cast<uint32_t>(expected));
  }
}

TEST(Node, WhatWasRemoved_LeavesNoBytesBehind) {
  auto page = golden_leaf();
  page->node().remove(0);
  page->node().remove(0);
  EXPECT_TRUE(validate_node(page->view()));
  EXPECT_EQ(as_chars(page->view()).find("one"), std::string_view::npos);
  page->node().compact();
  EXPECT_TRUE(validate_node(page->view()));
  EXPECT_EQ(page->node().header().hole_bytes.get(), 0);
}

/// Walks a page as the tree does; reads every byte that it may read.
uint64_t walk(Node node) {
  uint64_t digest = node.newest();
  Bytes key(kKeyBytesMax);
  for (uint32_t i = 0; i < node.count(); ++i) {
    const size_t bytes = node.key_bytes(i);
    node.key(i).copy(0, bytes, key.data());
    digest += xxh3_64(ByteView(key).first(bytes)) + xxh3_64(node.value(i));
    digest += node.find(ByteView(key).first(bytes)).slot;
    if (!node.is_leaf()) digest += node.child(i).word + node.child_newest(i);
  }
  return digest;
}

void damage_every_byte(Page& page) {
  std::mt19937_64 rng(3);
  size_t accepted = 0;
  for (size_t at = 0; at < kPageBytes; ++at) {
    const std::byte before = page.bytes[at];
    for (const unsigned value :
         {0u, 1u, 4u, 0x7Fu, 0x80u, 0xFFu, static_cast<unsigned>(rng() % 256)}) {
      page.bytes[at] = static_cast<std::byte>(value);
      if (!validate_node(page.view())) continue;
      ++accepted;
      walk(page.node());
    }
    page.bytes[at] = before;
  }
  EXPECT_GT(accepted, 0u);  // values and hints are free
  EXPECT_TRUE(validate_node(page.view()));
}

TEST(Node, AnyByteOfASmallPageChanged_IsRefusedOrSafeToWalk) {
  // Goal: no bytes from a medium lead out of the page. Method: mutations under the address
  // sanitizer.
  damage_every_byte(*golden_leaf());
  damage_every_byte(*golden_branch());
}

TEST(Node, SeveralBytesOfAFullPageChanged_IsRefusedOrSafeToWalk) {
  std::mt19937_64 rng(11);
  auto page = std::make_unique<Page>();
  std::vector<std::string> keys;
  for (int i = 0; i < 60; ++i) {
    keys.push_back("prefix/" + std::string(rng() % 40, static_cast<char>('a' + rng() % 3)) +
                   std::to_string(i));
  }
  std::sort(keys.begin(), keys.end());
  const std::string value = stamped(9, std::string(90, 'v'));
  std::vector<NodeItem> items;
  for (const std::string& key : keys) items.push_back(item(key, value));
  build_node(page->node(), PageKind::leaf, 0, items);
  const Page whole = *page;
  for (int round = 0; round < 20'000; ++round) {
    *page = whole;
    for (uint64_t n = 1 + rng() % 3; n > 0; --n) {
      // Mostly header and slots: that is where the lengths are.
      const size_t at = rng() % 4 == 0 ? rng() % kPageBytes : 20 + rng() % 540;
      page->bytes[at] = static_cast<std::byte>(rng());
    }
    if (validate_node(page->view())) walk(page->node());
  }
}

TEST(Node, OverlapsCyclesAndDisorder_AreRefused) {
  const auto refused = [](auto change) {
    auto page = golden_leaf();
    change(*page);
    const auto valid = validate_node(page->view());
    return !valid && valid.error().code() == Errc::checksum;
  };
  const size_t slots = sizeof(NodeHeader) + 7;
  EXPECT_TRUE(refused([&](Page& p) { p.node().header().slot_count = 0; }));
  EXPECT_TRUE(refused([&](Page& p) { p.node().header().page.kind = 3; }));
  EXPECT_TRUE(refused([&](Page& p) { p.node().header().page.level = 1; }));
  EXPECT_TRUE(refused([&](Page& p) { p.node().header().page.newest_stamp = 2; }));
  EXPECT_TRUE(refused([&](Page& p) { p.node().header().reserved = 1; }));
  // Two slots share an entry; two keys change places; a byte in the free space.
  EXPECT_TRUE(refused([&](Page& p) { std::memcpy(p.bytes + slots + 4, p.bytes + slots + 12, 2); }));
  EXPECT_TRUE(refused([&](Page& p) { std::swap(p.bytes[slots], p.bytes[slots + 8]); }));
  EXPECT_TRUE(refused([&](Page& p) { p.bytes[8000] = std::byte{1}; }));
  auto branch = golden_branch();
  branch->node().set_child(1, {});
  EXPECT_FALSE(validate_node(branch->view()));
  EXPECT_FALSE(validate_node(branch->view().first(100)));
}

}  // namespace
}  // namespace cairn::index
