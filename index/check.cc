// Walks: is every page of a tree whole, and does every page and block have exactly one owner?
#include <algorithm>
#include <bit>
#include <map>
#include <string>

#include "base/check.h"
#include "index/node.h"
#include "index/store_core.h"
#include "index/sweep.h"
#include "media/bits.h"

namespace cairn::index {
namespace {

constexpr size_t kReadersMax = 16;

struct Step {
  PageRef ref;
  uint32_t level;
};

/// A walk over the pages of a tree on the medium, children before the next sibling, by several
/// readers.
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

// ---- the offline check ----

constexpr size_t kProblemsMax = 1000;

/// Whose blocks are compared with what records claim.
struct CheckedChunk {
  std::vector<uint64_t> owned;  // empty: lost, nobody knows
  std::vector<uint64_t> seen = std::vector<uint64_t>(kChunkBits / media::kWordBits);
};
constexpr uint64_t kCheckedChunkBytes = 2 * kChunkBytes;

/// What the check knows so far. Leaves are met in key order. Bitmaps of blocks take no more than a
/// part of memory at once: where there are more, the tree is walked once for each such window.
struct Checker {
  StoreCore& core;
  const Store::Claims& claims;
  Store::CheckReport report{};
  std::vector<bool> pages_seen{};
  std::map<uint64_t, CheckedChunk> window{};
  uint64_t window_begin = 0, window_end = 0;  // chunks
  Bytes last_key{};

  void problem(std::string text) {
    if (report.problems.size() < kProblemsMax) report.problems.push_back(std::move(text));
  }
  /// False: the page is not to be looked into.
  bool enter_page(PageRef ref, const char* what);
  void lose(const Sweep::Visit& visit);
  void look_at_leaf(const Node& node, uint64_t number);
  void claim_all(ByteView key, ByteView value);
  void claim(ByteView key, const media::Extent& extent);
  void compare_pages();
  void compare_blocks();
};

std::string name_of(uint64_t page) { return "page " + std::to_string(page); }

std::string hex_of(ByteView key) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte b : key.first(std::min<size_t>(key.size(), 48))) {
    text += kDigits[static_cast<uint8_t>(b) >> 4];
    text += kDigits[static_cast<uint8_t>(b) & 15];
  }
  return key.size() > 48 ? text + "..." : text;
}

bool Checker::enter_page(PageRef ref, const char* what) {
  const uint64_t number = ref.page_number();
  if (number < core.pages().first_page || number >= core.pages().page_end) {
    problem(name_of(number) + ": named as " + what + ", but outside of the blob");
    return false;
  }
  if (pages_seen[number]) {
    problem(name_of(number) + ": reached twice, the second time as " + what);
    return false;
  }
  pages_seen[number] = true;
  ++report.pages;
  if (!core.pages().space.is_owned(number)) {
    problem(name_of(number) + ": in use as " + what + ", but the bitmap says it is free");
  }
  return true;
}

void Checker::lose(const Sweep::Visit& visit) {
  problem(name_of(visit.ref.page_number()) + ": " + visit.lost);
  report.lost.push_back({visit.low, visit.high, visit.ref.page_number(),
                         visit.level <= kLevelMax ? visit.level : kLevelMax, visit.lost});
}

void Checker::claim(ByteView key, const media::Extent& extent) {
  if (extent.block + extent.count > core.super.data_blocks ||
      extent.block + extent.count < extent.block) {
    if (window_begin == 0) {
      problem("record " + hex_of(key) + ": claims blocks outside of the blob");
    }
    return;
  }
  const uint64_t begin = std::max(extent.block, window_begin * kChunkBits);
  const uint64_t end = std::min(extent.block + extent.count, window_end * kChunkBits);
  for (uint64_t block = begin; block < end; ++block) {
    const auto [at, fresh] = window.try_emplace(block / kChunkBits);
    CheckedChunk& chunk = at->second;
    if (fresh) chunk.owned.resize(chunk.seen.size());
    const uint64_t bit = block % kChunkBits;
    if (media::is_set(chunk.seen, bit)) {
      problem("block " + std::to_string(block) + ": claimed twice");
    }
    if (!chunk.owned.empty() && !media::is_set(chunk.owned, bit)) {
      problem("block " + std::to_string(block) + ": claimed by record " + hex_of(key) +
              ", but the bitmap says it is free");
    }
    media::set_bits(chunk.seen, bit, bit + 1, true);
    ++report.blocks;
  }
}

void Checker::claim_all(ByteView key, ByteView value) {
  if (!claims) return;
  const auto claimed = claims(key, value);
  if (claimed) {
    for (const media::Extent& extent : *claimed) claim(key, extent);
  } else if (window_begin == 0) {
    problem("record " + hex_of(key) + ": " + claimed.error().what());
  }
}

void Checker::look_at_leaf(const Node& node, uint64_t number) {
  for (uint32_t slot = 0; slot < node.count(); ++slot) {
    Bytes key(node.key_bytes(slot));
    node.key(slot).copy(0, key.size(), key.data());
    const bool ordered =
        std::lexicographical_compare(last_key.begin(), last_key.end(), key.begin(), key.end());
    if (!ordered) problem(name_of(number) + ": key " + hex_of(key) + " is out of order");
    ++report.records;
    claim_all(key, node.leaf_value(slot));
    last_key = std::move(key);
  }
}

void Checker::compare_pages() {
  const Pager::State& pages = core.pages();
  for (uint64_t page = pages.first_page; page < pages.page_end; ++page) {
    if (!pages_seen[page] && pages.space.is_owned(page)) {
      problem(name_of(page) + ": owned, but nothing leads to it");
    }
  }
}

void Checker::compare_blocks() {
  for (const auto& [number, chunk] : window) {
    for (size_t w = 0; w < chunk.owned.size(); ++w) {
      for (uint64_t left = chunk.owned[w] & ~chunk.seen[w]; left != 0; left &= left - 1) {
        const uint64_t block = number * kChunkBits + w * media::kWordBits +
                               static_cast<uint64_t>(std::countr_zero(left));
        problem("block " + std::to_string(block) + ": owned, but no record claims it");
      }
    }
  }
}

/// The bitmaps of the next chunks.
Task<Result<void>> load_window(CorePtr core, Checker& checker) {
  const uint64_t limit =
      std::max<uint64_t>(16, core->options.memory_bytes / 4 / kCheckedChunkBytes);
  checker.window.clear();
  checker.window_begin = checker.window_end;
  uint64_t& number = checker.window_end;
  for (; number < core->data.chunk_count() && checker.window.size() < limit; ++number) {
    if (core->data.chunk(number).used == 0 && !core->data.chunk(number).lost) continue;
    CO_TRY(loaded, co_await load_chunk(core, number));
    CheckedChunk& chunk = checker.window[number];
    if (!core->data.chunk(number).lost) {
      if (!core->data.is_at_hand(number)) co_return fail(Errc::busy, "store: it was changed");
      chunk.owned = core->data.owned(number);
      continue;
    }
    const uint64_t first = number * kChunkBits;
    checker.problem("blocks " + std::to_string(first) + " to " +
                    std::to_string(first + core->data.blocks_of(number) - 1) +
                    ": their bitmap is lost, so what is free of them is not handed out");
  }
  co_return Result<void>{};
}

Result<void> look_at_visit(Checker& checker, Sweep& sweep, const Sweep::Visit& visit) {
  if (visit.moved) return fail(Errc::busy, "store: it was changed while it was checked");
  if (checker.window_begin != 0) {
    if (visit.lost != nullptr || !sweep.node().is_leaf()) return {};
    const Node node = sweep.node();
    for (uint32_t slot = 0; slot < node.count(); ++slot) {
      Bytes key(node.key_bytes(slot));
      node.key(slot).copy(0, key.size(), key.data());
      checker.claim_all(key, node.leaf_value(slot));
    }
    return {};
  }
  const bool fresh = checker.enter_page(visit.ref, "a page of the tree");
  if (visit.lost != nullptr) {
    checker.lose(visit);
    return {};
  }
  if (!fresh) {
    sweep.skip_children();
    return {};
  }
  const Node node = sweep.node();
  if (node.newest() > visit.newest_said) {
    checker.problem(name_of(visit.ref.page_number()) +
                    ": holds a newer stamp than its parent says");
  }
  if (node.is_leaf()) checker.look_at_leaf(node, visit.ref.page_number());
  return {};
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

Task<Result<Store::CheckReport>> check_now(CorePtr core, Store::Claims claims) {
  // What is being mended is no damage.
  while (core->rebuilding && !core->is_stopped()) co_await core->progress.wait();
  // Then what is on the medium is all there is.
  CO_TRY(made, co_await checkpoint_now(core));
  Checker checker{*core, claims};
  checker.pages_seen.resize(core->meta_pages);
  for (std::string& problem : co_await Sweep(core).check_fixed_pages()) {
    checker.problem(std::move(problem));
  }
  for (const PageRef ref : core->super.page_chunks) {
    if (!ref.is_null()) checker.enter_page(ref, "a bitmap of pages");
  }
  for (const PageRef ref : core->super.data_directories) {
    if (!ref.is_null()) checker.enter_page(ref, "a directory of blocks");
  }
  for (uint64_t number = 0; number < core->data.chunk_count(); ++number) {
    const PageRef ref = core->data.chunk(number).bitmap;
    if (!ref.is_null()) checker.enter_page(ref, "a bitmap of blocks");
  }
  do {
    CO_TRY(loaded, co_await load_window(core, checker));
    Sweep sweep(core);
    while (const auto visit = co_await sweep.next()) {
      CO_TRY(looked, look_at_visit(checker, sweep, *visit));
    }
    // What lost pages may own is not held against anyone.
    if (claims && checker.report.lost.empty()) checker.compare_blocks();
  } while (claims && checker.window_end < core->data.chunk_count());
  if (checker.report.lost.empty()) checker.compare_pages();
  co_return std::move(checker.report);
}

Task<Result<Store::KeySpan>> find_span(CorePtr core, Bytes key) {
  for (;;) {
    CO_TRY(span, core->tree.span_at(key));
    if (span.absent.is_null()) co_return Store::KeySpan{span.low, span.high, std::nullopt};
    const auto loaded = co_await load_page(core, span.absent);
    if (loaded) continue;
    const Errc code = loaded.error().code();
    if (core->is_stopped() || (code != Errc::checksum && code != Errc::io)) {
      co_return fail(loaded.error());
    }
    co_return Store::KeySpan{span.low, span.high,
                             LostRange{span.low, span.high, span.absent.page_number(), span.level,
                                       loaded.error().what()}};
  }
}

}  // namespace cairn::index
