#include "index/sweep.h"

#include <algorithm>
#include <optional>
#include <string>

#include "base/check.h"
#include "index/store_core.h"

namespace cairn::index {

namespace {

/// A page that is still to be visited.
struct Step {
  PageRef ref;
  uint32_t level = kLevelMax + 1;  // above kLevelMax: any
  uint64_t newest_said = ~uint64_t{0};
  Bytes low, high;
};

bool below(ByteView a, ByteView b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

Bytes key_of(const Node& node, uint32_t slot) {
  Bytes key(node.key_bytes(slot));
  node.key(slot).copy(0, key.size(), key.data());
  return key;
}

/// Are the page's first and last key those of its range? A whole page at the wrong place is damage,
/// too.
bool fits_range(const Node& node, ByteView low, ByteView high) {
  const uint32_t first = node.is_leaf() ? 0 : 1;
  if (node.count() <= first) return true;
  if (below(key_of(node, first), low)) return false;
  return high.empty() || below(key_of(node, node.count() - 1), high);
}

bool lies_inside(const StoreCore& core, PageRef ref) {
  const uint64_t number = ref.page_number();
  return number >= core.pages().first_page && number < core.pages().page_end;
}

/// Tries twice: a request may fail where the medium is fine.
Task<Result<void>> read_meta(StoreCore& core, uint64_t offset, ByteSpan into) {
  const auto done = co_await core.devices.meta->read(offset, into);
  if (done) co_return done;
  co_return co_await core.devices.meta->read(offset, into);
}

/// Null, or why the bytes are not the page that `ref` names.
const char* fault_of(ByteView page, PageRef ref, uint32_t level) {
  auto whole = check_page(page, ref);
  if (whole) whole = validate_node(page);
  if (!whole) return whole.error().what();
  const Node node(const_cast<std::byte*>(page.data()));
  if (level <= kLevelMax && node.level() != level) {
    return "page: not of the level that its parent says";
  }
  return nullptr;
}

}  // namespace

struct Sweep::State {
  explicit State(CorePtr c) : core(std::move(c)) {}

  CorePtr core;
  uint32_t generation = 0;  // of the root that is walked; 0: none yet
  std::vector<Step> to_do;  // ascending keys from the back
  Bytes resume;             // everything below was visited
  bool finished = false;
  bool moved = false;
  bool expand = false;  // the last visit's children are not in to_do yet
  Step last;
  media::AlignedBuffer page{kPageBytes};

  media::AlignedBuffer found{kPageBytes};  // get()'s last page from the medium
  PageRef found_ref;
  uint32_t found_generation = 0;

  void restart();
  void push_children();
  Task<const char*> read(PageRef ref, uint32_t level, ByteSpan into);
};

void Sweep::State::restart() {
  moved = generation != 0;
  generation = core->super.generation;
  to_do.clear();
  expand = false;
  if (finished || core->super.root.is_null()) return;
  to_do.push_back({.ref = core->super.root, .low = {}, .high = {}});
}

void Sweep::State::push_children() {
  if (!std::exchange(expand, false)) return;
  const Node node(page.data());
  Bytes high = last.high;
  for (uint32_t slot = node.count(); slot-- > 0;) {
    Bytes low = slot == 0 ? last.low : key_of(node, slot);
    // What lies wholly below `resume` was visited under an earlier root.
    if (!high.empty() && !below(resume, high)) return;
    Step step{node.child(slot), node.level() - 1, node.child_newest(slot), low, std::move(high)};
    high = std::move(low);
    to_do.push_back(std::move(step));
  }
}

Task<const char*> Sweep::State::read(PageRef ref, uint32_t level, ByteSpan into) {
  if (!lies_inside(*core, ref)) co_return "page: a reference points outside of the blob";
  const auto done = co_await read_meta(*core, ref.page_number() * kPageBytes, into);
  if (!done) co_return done.error().what();
  co_return fault_of(into, ref, level);
}

Sweep::Sweep(std::shared_ptr<StoreCore> core) : state_(std::make_unique<State>(std::move(core))) {}
Sweep::Sweep(Sweep&&) noexcept = default;
Sweep::~Sweep() = default;

Node Sweep::node() const { return Node(state_->page.data()); }
void Sweep::skip_children() { state_->expand = false; }

Task<std::optional<Sweep::Visit>> Sweep::next() {
  State& s = *state_;
  for (;;) {
    if (s.generation != s.core->super.generation) {
      s.restart();
    } else {
      s.push_children();
    }
    if (s.to_do.empty()) co_return std::nullopt;
    s.last = std::move(s.to_do.back());
    s.to_do.pop_back();
    const Step& step = s.last;
    Visit visit{.ref = step.ref,
                .level = step.level,
                .newest_said = step.newest_said,
                .low = step.low,
                .high = step.high};
    visit.lost = co_await s.read(step.ref, step.level, s.page.span());
    // Under a new root this page's place may have been used again.
    if (s.generation != s.core->super.generation) continue;
    const Node node(s.page.data());
    if (visit.lost == nullptr && !fits_range(node, step.low, step.high)) {
      visit.lost = "page: its keys are not those that its parent says";
    }
    if (visit.lost == nullptr) visit.level = node.level();
    if (below(visit.low, s.resume)) visit.low = s.resume;
    visit.moved = std::exchange(s.moved, false);
    s.expand = visit.lost == nullptr && !node.is_leaf();
    if (!s.expand) {
      s.resume = step.high;
      s.finished = step.high.empty();
    }
    co_return visit;
  }
}

Task<Result<std::optional<Bytes>>> Sweep::get(Bytes key) {
  State& s = *state_;
  StoreCore& core = *s.core;
  for (;;) {
    const uint32_t generation = core.super.generation;
    PageRef ref = core.super.root;
    uint32_t level = kLevelMax + 1;
    std::optional<Bytes> value;
    while (!ref.is_null() && generation == core.super.generation) {
      // What is in memory unchanged since the root was made is what stands on the medium.
      const Slot* slot = core.pages().find(ref.page_number());
      const bool frozen = slot != nullptr && slot->used && !slot->dirty && !slot->bitmap &&
                          slot->ref == ref && slot->birth <= generation;
      std::byte* bytes = frozen ? slot->data : s.found.data();
      if (!frozen && (s.found_ref != ref || s.found_generation != generation)) {
        s.found_ref = {};
        const char* lost = co_await s.read(ref, level, s.found.span());
        if (generation != core.super.generation) break;
        if (lost != nullptr) co_return fail(Errc::checksum, lost);
        s.found_ref = ref;
        s.found_generation = generation;
      }
      const Node node(bytes);
      if (!node.is_leaf()) {
        level = node.level() - 1;
        ref = node.child(node.child_for(key));
        continue;
      }
      const Node::Found found = node.find(key);
      if (found.equal) {
        const ByteView v = node.leaf_value(found.slot);
        value.emplace(v.begin(), v.end());
      }
      break;
    }
    if (generation == core.super.generation) co_return value;
  }
}

namespace {

const char* name_of(PageKind kind) {
  switch (kind) {
    case PageKind::page_bitmap:
      return "bitmap of pages ";
    case PageKind::block_bitmap:
      return "bitmap of blocks ";
    default:
      return "directory of blocks ";
  }
}

std::vector<PageRef> bitmaps_of(ByteView entries) {
  std::vector<PageRef> refs;
  for (size_t at = 0; at < entries.size(); at += sizeof(DirectoryEntry)) {
    refs.push_back({load_le64(entries.data() + at)});
  }
  return refs;
}

/// @param first  the number of the first of `refs`; of directories there are several of each number
Task<void> check_bitmaps(StoreCore& core, std::vector<PageRef> refs, PageKind kind, uint64_t first,
                         std::vector<std::string>& out) {
  media::AlignedBuffer page(kPageBytes);
  const uint32_t generation = core.super.generation;
  const bool directories = kind == PageKind::block_directory;
  std::optional<size_t> looked_into;
  for (size_t i = 0; i < refs.size(); ++i) {
    const PageRef ref = refs[i];
    if (ref.is_null()) continue;
    const uint64_t chunk = first + (directories ? i / kDirectoryCopies : i);
    const std::string name = "page " + std::to_string(ref.page_number()) + " (" + name_of(kind) +
                             std::to_string(chunk) + "): ";
    if (!lies_inside(core, ref)) {
      out.push_back(name + "outside of the blob");
      continue;
    }
    const auto read = co_await read_meta(core, ref.page_number() * kPageBytes, page.span());
    if (generation != core.super.generation) co_return;
    const char* fault = nullptr;
    if (!read) {
      fault = read.error().what();
    } else if (const auto bits = open_bitmap(page.view(), kind, ref, chunk); !bits) {
      fault = bits.error().what();
    } else if (directories && looked_into != chunk) {
      looked_into = chunk;
      co_await check_bitmaps(core, bitmaps_of(*bits), PageKind::block_bitmap,
                             chunk * kDirectoryChunks, out);
      if (generation != core.super.generation) co_return;
    }
    if (fault != nullptr) out.push_back(name + fault);
  }
}

}  // namespace

Task<std::vector<std::string>> Sweep::check_fixed_pages() {
  StoreCore& core = *state_->core;
  for (;;) {
    std::vector<std::string> out;
    const uint32_t generation = core.super.generation;
    media::AlignedBuffer slot(kSuperblockBytesMax);
    for (uint64_t copy = 0; copy < kSuperblockCopies; ++copy) {
      const uint64_t offset = superblock_offset(core.meta_pages, generation, copy);
      const auto read = co_await read_meta(core, offset, slot.span());
      const auto parsed =
          read ? parse_superblock(slot.view()) : Result<Superblock>(fail(read.error()));
      const std::string name = "superblock, copy " + std::to_string(copy) + ": ";
      if (!parsed) {
        out.push_back(name + parsed.error().what());
      } else if (parsed->generation != generation) {
        out.push_back(name + "of another generation; the medium lost a write");
      }
    }
    const std::vector<PageRef> pages = core.super.page_chunks;
    const std::vector<PageRef> directories = core.super.data_directories;
    const std::vector<PageRef> bitmaps = core.super.data_chunks;
    co_await check_bitmaps(core, pages, PageKind::page_bitmap, 0, out);
    co_await check_bitmaps(core, directories, PageKind::block_directory, 0, out);
    co_await check_bitmaps(core, bitmaps, PageKind::block_bitmap, 0, out);
    // A checkpoint meanwhile: what was read may have been written over.
    if (generation == core.super.generation) co_return out;
  }
}

}  // namespace cairn::index
