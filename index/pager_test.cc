#include "index/pager.h"

#include <gtest/gtest.h>

#include "index/node.h"
#include "index/pager_state.h"
#include "index/pager_testing.h"

namespace cairn::index {
namespace {

/// A leaf with one record, so that the validator likes it.
Frame* leaf(Pager& pager, char letter) {
  const auto reserved = pager.reserve(1);
  CHECK(reserved.has_value());
  Frame* frame = pager.allocate();
  const Bytes value(16, static_cast<std::byte>(letter));
  const NodeItem only{KeyParts(as_bytes("key")), value};
  build_node(Node(frame->data), PageKind::leaf, 0, {&only, 1});
  return frame;
}

TEST(Pager, A_page_of_this_generation_is_changed_in_place) {
  // Goal: no copy before a checkpoint. Method: writable() gives the same frame.
  MemoryPager memory(100);
  Frame* frame = leaf(memory.pager(), 'a');
  ASSERT_TRUE(memory.pager().reserve(1).has_value());
  EXPECT_EQ(memory.pager().writable(frame), frame);
}

TEST(Pager, A_page_of_an_earlier_generation_is_copied_and_kept_for_its_root) {
  // Goal: path copying. Method: freeze, change; the old bytes stay on the medium under the old
  // name, the old address is free only after the next checkpoint.
  MemoryPager memory(100);
  Pager& pager = memory.pager();
  Frame* frame = leaf(pager, 'a');
  const PageRef old = frame->ref;
  memory.checkpoint();
  ASSERT_TRUE(pager.reserve(1).has_value());
  Frame* copy = pager.writable(frame);
  EXPECT_NE(copy->ref.page_number(), old.page_number());
  EXPECT_EQ(copy->header().page_number.get(), copy->ref.page_number());
  EXPECT_TRUE(check_page(memory.medium(old.page_number()), old).has_value());
  EXPECT_EQ(pager.state().space.usage().deferred, 1u);
  memory.checkpoint();
  EXPECT_EQ(pager.state().space.usage().deferred, 0u);
  EXPECT_EQ(pager.state().space.usage().used, 1u);
}

TEST(Pager, A_dropped_interim_page_gives_its_address_back_at_once) {
  // Goal: no space leaks inside a generation. Method: allocate and drop more pages than there are.
  MemoryPager memory(100);
  for (int i = 0; i < 1000; ++i) memory.pager().drop(leaf(memory.pager(), 'x'));
  EXPECT_EQ(memory.pager().state().frames_used, 0u);
}

TEST(Pager, An_absent_page_is_named_and_comes_back_whole) {
  // Goal: eviction and loading keep bytes; damage is found. Method: evict, get, load; flip a byte,
  // load.
  MemoryPager memory(100);
  Pager& pager = memory.pager();
  pager.set_validator(&validate_node);
  const PageRef ref = leaf(pager, 'b')->ref;
  memory.evict_all();
  EXPECT_EQ(pager.get(ref).error().code(), Errc::page_absent);
  ASSERT_TRUE(memory.load_absent().has_value());
  const auto frame = pager.get(ref);
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(Node((*frame)->data).leaf_value(0)[0], std::byte{'b'});
  memory.evict_all();
  memory.medium(ref.page_number())[9000] ^= std::byte{1};
  EXPECT_EQ(pager.get(ref).error().code(), Errc::page_absent);
  EXPECT_EQ(memory.load_absent().error().code(), Errc::checksum);
}

TEST(Pager, A_pinned_frame_is_not_evicted) {
  // Goal: pins hold. Method: pin one of two frames and evict everything.
  MemoryPager memory(100);
  Frame* pinned = leaf(memory.pager(), 'p');
  const PageRef other = leaf(memory.pager(), 'q')->ref;
  ++pinned->pins;
  memory.evict_all();
  EXPECT_TRUE(memory.pager().get(pinned->ref).has_value());
  EXPECT_FALSE(memory.pager().get(other).has_value());
  --pinned->pins;
}

TEST(Pager, Updates_leave_pages_for_removals) {
  // Goal: a full blob can be emptied. Method: allocate until updates are refused; removals still
  // get pages.
  MemoryPager memory(200, 1000);
  Pager& pager = memory.pager();
  while (pager.reserve(1).has_value()) pager.allocate();
  EXPECT_EQ(pager.reserve(1).error().code(), Errc::no_space);
  int more = 0;
  for (; pager.reserve(1, Pager::Use::removal).has_value(); ++more) pager.allocate();
  EXPECT_GE(more, 14);  // the rest is for checkpoints
}

}  // namespace
}  // namespace cairn::index
