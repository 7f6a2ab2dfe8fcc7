// Walks: is every page of a tree whole, and does every page and block have exactly one owner?
#include <algorithm>

#include "base/check.h"
#include "index/node.h"
#include "index/store_core.h"

namespace cairn::index {
namespace {

constexpr size_t kReadersMax = 16;

struct Step {
  PageRef ref;
  uint32_t level;
};

/// A walk over the pages of a tree on the medium, children before the next sibling, by several readers.
struct Walk {
  explicit Walk(Reactor& reactor) : join(reactor), more(reactor) {}
  std::vector<Step> to_do;
  size_t busy = 0;
  uint64_t pages = 0;
  Join join;
  WaitList more;
};

Result<void> look_at(StoreCore& core, Walk& walk, ByteView page, const Step& step) {
  TRY(whole, check_page(page, step.ref));
  TRY(valid, validate_node(page));
  ++walk.pages;
  const Node node(const_cast<std::byte*>(page.data()));
  if (step.level <= kLevelMax && node.level() != step.level) {
    return fail(Errc::checksum, "tree: a page is not of the level that its parent says");
  }
  if (walk.pages > core.meta_pages) return fail(Errc::checksum, "tree: it has a loop");
  if (node.is_leaf()) return {};
  for (uint32_t slot = node.count(); slot-- > 0;) {
    walk.to_do.push_back({node.child(slot), node.level() - 1});
  }
  return {};
}

Task<void> walker(CorePtr core, std::shared_ptr<Walk> walk) {
  media::AlignedBuffer page(kPageBytes);
  Result<void> result;
  while (result && walk->join.result) {
    if (walk->to_do.empty()) {
      if (walk->busy == 0) break;
      co_await walk->more.wait();
      continue;
    }
    const Step step = walk->to_do.back();
    walk->to_do.pop_back();
    ++walk->busy;
    const uint64_t number = step.ref.page_number();
    if (number < core->pages().first_page || number >= core->pages().page_end) {
      result = fail(Errc::checksum, "page: a reference points outside of the blob");
    } else {
      result = co_await core->devices.meta->read(number * kPageBytes, page.span());
    }
    if (result) result = look_at(*core, *walk, page.view(), step);
    --walk->busy;
    walk->more.wake_all();
  }
  walk->join.end(result);
  walk->more.wake_all();
}

}  // namespace

Task<Result<void>> walk_medium(CorePtr core, PageRef root) {
  if (root.is_null()) co_return Result<void>{};
  auto walk = std::make_shared<Walk>(core->reactor);
  walk->to_do.push_back({root, kLevelMax + 1});
  walk->join.pending = kReadersMax;
  for (size_t i = 0; i < kReadersMax; ++i) core->reactor.spawn(walker(core, walk));
  while (walk->join.pending != 0) co_await walk->join.ended.wait();
  co_return walk->join.result;
}

}  // namespace cairn::index
