// Every allocation of a shard fails once. Memory is budgeted beforehand, so this never happens in a
// machine that has what it was given; when it does, the engine ends (abort) instead of going on
// with half an operation, and that is a crash like any other: whoever opens the shard next finds
// exactly what was acknowledged. Method: a child process works on blobs in memory that it shares
// with the test; its n-th allocation throws; the child must end by abort, at once; then the test
// opens the blobs. CAIRN_ALLOCATION_STEP=n tries every n-th allocation only (1: all).
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <new>

#include "tests/store/story.h"

namespace {

uint64_t allocations = 0;
uint64_t failing = 0;  // the number of the one that fails; 0: none

void* allocate(size_t bytes, size_t alignment) {
  ++allocations;
  if (failing != 0 && allocations == failing) throw std::bad_alloc();
  void* const memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(bytes == 0 ? 1 : bytes)
          : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t bytes) { return allocate(bytes, 1); }
void* operator new[](size_t bytes) { return allocate(bytes, 1); }
void* operator new(size_t bytes, std::align_val_t align) {
  return allocate(bytes, static_cast<size_t>(align));
}
void* operator new[](size_t bytes, std::align_val_t align) {
  return allocate(bytes, static_cast<size_t>(align));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace cairn::tests::store {
namespace {

constexpr Letter kWorkload[] = {
    Letter::small, Letter::large,     Letter::overwrite,  Letter::evict,   Letter::small,
    Letter::punch, Letter::overwrite, Letter::checkpoint, Letter::destroy, Letter::large};
constexpr uint64_t kBlobBytes[] = {512u << 10, 64u << 20, 8u << 20};

/// Memory that a child and the test see both; blobs are sparse in it.
class Shared {
 public:
  explicit Shared(size_t bytes) : bytes_(bytes) {
    at_ = static_cast<std::byte*>(
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    CHECK(at_ != MAP_FAILED);
  }
  ~Shared() { ::munmap(at_, bytes_); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  std::byte* data() const { return at_; }

 private:
  std::byte* at_;
  size_t bytes_;
};

/// A blob in shared memory: what was written is there, whatever becomes of the process.
class SharedBlob final : public media::Device {
 public:
  SharedBlob(std::byte* at, uint64_t bytes) : at_(at), bytes_(bytes) {}
  uint64_t size_bytes() const override { return bytes_; }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    std::memcpy(into.data(), at_ + offset, into.size());
    co_return Result<void>{};
  }
  Task<Result<void>> write(uint64_t offset, ByteView from) override {
    std::memcpy(at_ + offset, from.data(), from.size());
    co_return Result<void>{};
  }
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override {
    return write(offset, from);
  }
  Task<Result<void>> flush() override { co_return Result<void>{}; }
  Task<void> discard(uint64_t, uint64_t) override { co_return; }

 private:
  std::byte* at_;
  uint64_t bytes_;
};

/// What the child has been told, in shared memory.
struct Ledger {
  uint64_t acknowledged = 0;
  uint64_t allocations = 0;  // of a run that got through
};

/// The blobs of one run and a shard on them.
struct Place {
  explicit Place(std::byte* memory) : world(test_seed()) {
    for (size_t i = 0; i < 3; ++i) {
      blobs.push_back(std::make_unique<SharedBlob>(memory, kBlobBytes[i]));
      memory += kBlobBytes[i];
    }
    options.store.memory_bytes = 64u << 20;
  }
  index::StoreDevices devices() { return {blobs[0].get(), blobs[1].get(), blobs[2].get()}; }
  ~Place() {
    world.end_era();
    shard.reset();
  }
  std::vector<std::unique_ptr<SharedBlob>> blobs;
  vos::ShardOptions options;
  std::unique_ptr<vos::Shard> shard;
  sim::World world;
};

Task<Result<void>> start(Place& place, bool create) {
  Reactor& reactor = place.world.reactor();
  CO_TRY(shard, create ? co_await vos::Shard::create(reactor, place.devices(), {}, place.options)
                       : co_await vos::Shard::open(reactor, place.devices(), {}, place.options));
  place.shard = std::move(shard);
  co_return Result<void>{};
}

Task<Result<void>> work(Place& place, Ledger& ledger) {
  CO_TRY(opened, co_await start(place, false));
  uint32_t stamp = 0;
  for (const Letter letter : kWorkload) {
    CO_TRY(done, co_await perform(*place.shard, letter, ++stamp));
    ledger.acknowledged = stamp;
    CO_TRY(seen, co_await look(*place.shard, stamp % kLooks));
  }
  co_return co_await place.shard->close();
}

/// Never returns.
[[noreturn]] void child(std::byte* memory, Ledger& ledger, uint64_t nth) {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  Place place(memory);
  allocations = 0;
  failing = nth;
  const auto done = place.world.run(work(place, ledger));
  failing = 0;
  ledger.allocations = allocations;
  ::_exit(done && done->has_value() ? 0 : 1);
}

std::vector<std::string> texts_of_states() {
  State state;
  std::vector<std::string> texts{full_text(state)};
  uint32_t stamp = 0;
  for (const Letter letter : kWorkload) {
    apply(state, letter, ++stamp);
    texts.push_back(full_text(state));
  }
  return texts;
}

void expect_there(std::byte* memory, const Ledger& ledger) {
  static const std::vector<std::string> kTexts = texts_of_states();
  Place place(memory);
  const auto opened = place.world.run(start(place, false));
  ASSERT_TRUE(opened && opened->has_value()) << opened->error().what();
  const auto text = place.world.run(full_text(*place.shard));
  ASSERT_TRUE(text && text->has_value()) << text->error().what();
  const size_t next = std::min<size_t>(ledger.acknowledged + 1, std::size(kWorkload));
  EXPECT_TRUE(**text == kTexts[ledger.acknowledged] || **text == kTexts[next])
      << "acknowledged " << ledger.acknowledged << ", found " << **text;
  const auto report = place.world.run(place.shard->check(true));
  ASSERT_TRUE(report && report->has_value());
  for (const std::string& problem : (*report)->problems) ADD_FAILURE() << problem;
}

/// Blank blobs with an empty shard on them.
std::unique_ptr<Shared> fresh_blobs() {
  auto memory = std::make_unique<Shared>(kBlobBytes[0] + kBlobBytes[1] + kBlobBytes[2]);
  Place place(memory->data());
  const auto created = place.world.run(start(place, true));
  CHECK(created && created->has_value());
  const auto closed = place.world.run(place.shard->close());
  CHECK(closed && closed->has_value());
  return memory;
}

TEST(Allocations, One_that_fails_ends_the_process_and_loses_nothing_that_was_acknowledged) {
  // Goal, method: see above. An allocation that the child does not reach ends the enumeration.
  const uint64_t step = env_number("CAIRN_ALLOCATION_STEP", 5);
  const Shared shared(sizeof(Ledger));
  auto& ledger = *new (shared.data()) Ledger;
  uint64_t runs = 0;
  for (uint64_t nth = 1 + test_seed() % step;; nth += step, ++runs) {
    SCOPED_TRACE("allocation " + std::to_string(nth));
    ledger = {};
    const auto memory = fresh_blobs();
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) child(memory->data(), ledger, nth);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    const bool through = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    ASSERT_TRUE(through || (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT))
        << "it neither aborted nor got through: status " << status;
    ASSERT_NO_FATAL_FAILURE(expect_there(memory->data(), ledger));
    if (!through) continue;
    EXPECT_EQ(ledger.acknowledged, std::size(kWorkload));
    EXPECT_LT(ledger.allocations, nth) << "a failed allocation went unnoticed";
    break;
  }
  std::printf("%llu failed allocations of %llu\n", static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(ledger.allocations));
  EXPECT_GT(ledger.allocations, 300u) << "the workload is too small to mean anything";
}

}  // namespace
}  // namespace cairn::tests::store
