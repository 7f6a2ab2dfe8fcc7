// How the memory budget of one store is divided. Everything that grows with use has a part here,
// and stays within it; I/O buffers of operations under way are bounded by how many there are, those
// of the store itself have a part.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "index/superblock_format.h"

namespace cairn::index {

/// A store with less could not do one operation of the largest kind; it is refused when it is made.
inline constexpr uint64_t kMemoryBytesMin = 4ull << 20;
inline constexpr size_t kFramesMin = 200;

/// Of one page in memory beside its bytes: its slot, its places in the tables of pages in memory
/// and of those remembered after eviction, and four in those of what the generation changed (born
/// pages, addresses to be freed).
inline constexpr size_t kFrameOverhead = 512;

struct Budget {
  uint64_t table_bytes = 0;   // sessions, deferred frees, the log's open writes
  uint64_t io_bytes = 0;      // writers of pages, batches of the log, small data
  uint64_t bitmap_bytes = 0;  // the map of free pages, and what is kept of that of free blocks
  size_t frames = 0;          // pages, clones for a checkpoint among them: all that is left
};

/// Two bits of a map and a little for each page (media/space.h).
constexpr uint64_t map_bytes(uint64_t pages) { return pages / 4 + pages / 64 + 1024; }

/// Of each chunk of the data space (index/data_space.h), its part of the list of what is to be told
/// to the device included. Its bitmap has a frame while it is needed.
inline constexpr uint64_t kChunkSummaryBytes = 32;
inline constexpr uint64_t kChunkTrimBytes = 64;
/// Of a chunk whose free blocks are in memory.
inline constexpr uint64_t kOpenChunkBytes = 16'512;

constexpr uint64_t open_chunks(uint64_t memory_bytes) {
  return std::clamp<uint64_t>(memory_bytes >> 20, 4, 32);
}

/// Lost chunks that are rebuilt at once: two bits a block.
constexpr uint64_t rebuilt_chunks(uint64_t memory_bytes) {
  return std::clamp<uint64_t>(memory_bytes >> 22, 1, 32);
}

/// Runs of blocks whose bitmap is not up to date yet.
constexpr uint64_t late_runs_max(uint64_t memory_bytes) { return memory_bytes / 64 / 64; }

constexpr uint64_t data_map_bytes(uint64_t memory_bytes, uint64_t data_blocks) {
  const uint64_t chunks = data_blocks / kChunkBits + 1;
  return chunks * (kChunkSummaryBytes + kChunkTrimBytes) +
         std::min(chunks, open_chunks(memory_bytes)) * kOpenChunkBytes +
         std::min(chunks, rebuilt_chunks(memory_bytes)) * 2 * kChunkBytes +
         late_runs_max(memory_bytes) * 64;
}

/// Sessions and their like get a share whatever the blobs' sizes.
constexpr uint64_t table_bytes(uint64_t memory_bytes) { return memory_bytes / 16; }

/// So much suffices at any speed. A store with little memory has few of them at once, and needs all
/// of it for pages.
constexpr uint64_t io_bytes(uint64_t memory_bytes) {
  return memory_bytes < (32u << 20) ? 0 : std::min<uint64_t>(memory_bytes / 32, 4u << 20);
}

/// Small data on its way to its blocks: what a fast log brings while a bufferful is written, or
/// what one operation needs, twice.
constexpr uint64_t behind_bytes(uint64_t memory_bytes) {
  return memory_bytes < (32u << 20) ? 32u << 10 : 512u << 10;
}

constexpr Budget split_budget(uint64_t memory_bytes, uint64_t meta_pages, uint64_t data_blocks) {
  Budget budget;
  budget.table_bytes = table_bytes(memory_bytes);
  budget.io_bytes = io_bytes(memory_bytes) + behind_bytes(memory_bytes);
  budget.bitmap_bytes = map_bytes(meta_pages) + data_map_bytes(memory_bytes, data_blocks);
  const uint64_t taken = budget.table_bytes + budget.io_bytes + budget.bitmap_bytes;
  if (taken < memory_bytes) budget.frames = (memory_bytes - taken) / (kPageBytes + kFrameOverhead);
  return budget;
}

}  // namespace cairn::index
