// Fuzzer of tree pages: what validate_node() lets pass must be safe to search, walk, change and
// rebuild, and must pass again after each change. Input: a 16-bit length n, n bytes that go to the
// page's start, the page's end; then an operation's key. The middle of the page is zero.
#include <cstring>

#include "base/testing/fuzz.h"
#include "index/node.h"

namespace {

using namespace cairn;
using namespace cairn::index;
using cairn::testing::FuzzInput;

using Page = std::vector<std::byte>;

Bytes whole_key(const Node& node, uint32_t slot) {
  const KeyParts parts = node.key(slot);
  Bytes key(parts.size());
  parts.copy(0, key.size(), key.data());
  return key;
}

void expect_valid(const Node& node, const Page& page) {
  if (node.count() != 0) CHECK(validate_node(page).has_value());
}

/// Every key is found where it stands, and neighbours in order.
void search(const Node& node) {
  const uint32_t first = node.is_leaf() ? 0 : 1;
  for (uint32_t i = first; i < node.count(); ++i) {
    const Bytes key = whole_key(node, i);
    const Node::Found found = node.find(key);
    CHECK(found.equal && found.slot == i);
    if (node.is_leaf()) {
      CHECK(node.value(i).data() == node.leaf_value(i).data());
      CHECK(node.value(i).size() >= kStampBytes);
    } else {
      CHECK(node.child_for(key) == i);
    }
  }
}

void change_leaf(const Node& node, Page& page, ByteView key) {
  Bytes value(kStampBytes + key.size());
  store_le64(value.data(), node.newest());
  const Node::Found found = node.find(key);
  if (found.equal) {
    node.remove(found.slot);
    expect_valid(node, page);
    return;
  }
  if (!node.has_prefix(key)) return;
  const size_t bytes = node.entry_bytes(key.size(), value.size());
  if (bytes > node.free_bytes()) return;
  if (bytes > node.gap_bytes()) node.compact();
  expect_valid(node, page);
  node.insert(found.slot, key, value);
  expect_valid(node, page);
  CHECK(node.find(key).equal);
  node.overwrite(found.slot, value);
  expect_valid(node, page);
}

void rebuild(const Node& node) {
  std::vector<NodeItem> items;
  node.items(items);
  const bool leaf = node.is_leaf();
  const size_t known = node.prefix().size();
  const size_t prefix = choose_prefix(items, leaf, known);
  if (packed_node_bytes(items, leaf, prefix) > kNodeBytes) return;
  Page copy(kPageBytes);
  Node built(copy.data());
  build_node(built, leaf ? PageKind::leaf : PageKind::branch, node.level(), items, known);
  CHECK(validate_node(copy).has_value());
  CHECK(built.count() == node.count());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput in(data, size);
  const ByteView key = in.chunk();
  const ByteView front = in.take(std::min<size_t>(in.u16(), kPageBytes));
  const ByteView back = in.take(kPageBytes - front.size());
  Page page(kPageBytes);
  std::copy(front.begin(), front.end(), page.begin());
  std::copy(back.begin(), back.end(), page.end() - static_cast<ptrdiff_t>(back.size()));
  if (!validate_node(page)) return 0;
  const Node node(page.data());
  search(node);
  rebuild(node);
  (void)node.find(key);
  if (node.is_leaf() && !key.empty()) change_leaf(node, page, key);
  if (node.count() == 0) return 0;
  node.compact();
  expect_valid(node, page);
  while (node.count() > 1) node.remove(node.count() / 2);
  expect_valid(node, page);
  return 0;
}

namespace {

Bytes as_input(const Page& page, std::string_view key) {
  const Node node(const_cast<std::byte*>(page.data()));
  const size_t heap = node.header().heap_begin.get();
  size_t front = kPageBytes;
  while (front > 0 && (front > heap || page[front - 1] == std::byte{0})) --front;
  Bytes out{static_cast<std::byte>(key.size())};
  testing::append(out, as_bytes(key));
  out.resize(out.size() + 2);
  out[out.size() - 2] = static_cast<std::byte>(front);
  out[out.size() - 1] = static_cast<std::byte>(front >> 8);
  testing::append(out, ByteView(page).first(front));
  testing::append(out, ByteView(page).subspan(heap));
  return out;
}

Bytes page_input(PageKind kind, size_t count, size_t value_bytes, std::string_view key) {
  std::vector<Bytes> keys, values;
  for (size_t i = 0; i < count; ++i) {
    keys.push_back(testing::seed_of("object" + std::to_string(100 + i) + (i % 3 == 0 ? "x" : "")));
    values.emplace_back(kind == PageKind::leaf ? value_bytes : sizeof(BranchValue));
    store_le64(values.back().data(), i + 1);
  }
  std::vector<NodeItem> items;
  for (size_t i = 0; i < count; ++i) {
    const bool keyless = kind == PageKind::branch && i == 0;
    items.push_back({keyless ? KeyParts() : KeyParts(keys[i]), values[i]});
  }
  Page page(kPageBytes);
  Node node(page.data());
  node.init(kind, kind == PageKind::leaf ? 0 : 1);
  build_node(node, kind, kind == PageKind::leaf ? 0 : 1, items);
  CHECK(validate_node(page).has_value());
  return as_input(page, key);
}

}  // namespace

cairn::testing::FuzzSeeds fuzz_seeds() {
  return {page_input(PageKind::leaf, 1, 8, "object100x"),
          page_input(PageKind::leaf, 6, 20, "object1"),
          page_input(PageKind::leaf, 12, 9, "object104"),
          page_input(PageKind::branch, 2, 0, "object101"),
          page_input(PageKind::branch, 7, 0, "object2")};
}
