// What is told from the files themselves: superblocks, the log, who owns which blocks. Works on
// shards that cannot be opened, too.
#include <algorithm>
#include <array>

#include "cmd/ddb/ddb.h"
#include "cmd/tool/format.h"
#include "index/record_format.h"
#include "media/wal.h"
#include "vos/key_text.h"

namespace cairn::ddb {

namespace {

using tool::Json;
using tool::Outcome;
using tool::Reply;

std::string hex64(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

Json ref_json(index::PageRef ref) {
  return ref.is_null() ? Json(nullptr) : Json(ref.page_number());
}

// ---- superblock_dump ----

Json super_json(const index::Superblock& super) {
  Json pages = Json::array(), blocks = Json::array();
  for (const index::PageRef ref : super.page_chunks) pages.push_back(ref_json(ref));
  for (const index::PageRef ref : super.data_chunks) blocks.push_back(ref_json(ref));
  Json directories = Json::array();
  for (const index::PageRef ref : super.data_directories) directories.push_back(ref_json(ref));
  return {{"version", super.version},
          {"generation", super.generation},
          {"incarnation", super.incarnation},
          {"store_id", hex64(super.store_id[0]) + hex64(super.store_id[1])},
          {"owner_tag", hex64(super.owner_tag[0]) + hex64(super.owner_tag[1])},
          {"page_bytes", index::kPageBytes},
          {"meta_pages", super.meta_pages},
          {"data_blocks", super.data_blocks},
          {"wal_bytes", super.wal_bytes},
          {"root", ref_json(super.root)},
          {"log_position", super.log_position},
          {"log_predecessor", super.log_predecessor},
          {"epoch_highest", super.epoch_highest},
          {"read_lease", super.read_lease},
          {"page_bitmaps", pages},
          {"block_directories", directories},
          {"block_bitmaps", blocks}};
}

std::string field_lines(const Json& json) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const auto& [name, value] : json.items()) {
    rows.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return tool::attributes("", rows);
}

Task<Result<std::vector<Json>>> read_copies(media::Device& meta) {
  std::vector<Json> copies;
  const uint64_t pages = meta.size_bytes() / index::kPageBytes;
  media::AlignedBuffer slot(index::kSuperblockBytesMax);
  for (uint32_t parity = 0; parity < 2; ++parity) {
    for (uint64_t copy = 0; copy < index::kSuperblockCopies; ++copy) {
      const uint64_t offset = index::superblock_offset(pages, parity, copy);
      Json json{{"slot", parity}, {"copy", copy}, {"offset", offset}};
      const auto read = co_await meta.read(offset, slot.span());
      const auto parsed = read ? index::parse_superblock(slot.view())
                               : Result<index::Superblock>(fail(read.error()));
      json["state"] = parsed                                       ? "whole"
                      : parsed.error().code() == Errc::nonexistent ? "blank"
                                                                   : "damaged";
      if (!parsed) json["cause"] = parsed.error().what();
      if (parsed) json["generation"] = parsed->generation;
      copies.push_back(std::move(json));
    }
  }
  co_return copies;
}

Outcome superblock_dump(Session& session) {
  const auto copies = session.run(read_copies(*session.devices().meta));
  if (!copies) return tool::failure("cannot read the superblocks", copies.error());
  std::string text;
  for (const Json& copy : *copies) {
    text += "slot " + copy["slot"].dump() + " copy " + copy["copy"].dump() + " at byte " +
            copy["offset"].dump() + ": " + copy["state"].get<std::string>();
    if (copy.contains("generation")) text += ", generation " + copy["generation"].dump();
    if (copy.contains("cause")) text += ": " + copy["cause"].get<std::string>();
    text += "\n";
  }
  const auto super = session.superblock();
  Json response{{"copies", *copies}, {"newest", nullptr}};
  if (!super) {
    std::replace(text.begin(), text.end(), '\n', ';');
    auto failed = tool::failure("no superblock can be used: " + text, super.error());
    failed.error().response = response;
    return failed;
  }
  response["newest"] = super_json(*super);
  text += "newest:\n" + field_lines(response["newest"]);
  return Reply{text, response};
}

// ---- log_dump ----

struct LogArguments {
  uint64_t limit = 1000;
  bool values = false;
};

Json change_json(const index::Batch& batch, const index::Batch::Op& op, bool values) {
  using Kind = index::Batch::Op::Kind;
  Json json = op.kind == Kind::put ? record_json(batch.key(op), batch.value(op))
                                   : Json{{"key", vos::key_text(batch.key(op)).text()}};
  json["change"] = op.kind == Kind::put ? "put" : op.kind == Kind::erase ? "erase" : "move";
  if (op.kind == Kind::move) json["to"] = vos::key_text(batch.value(op)).text();
  if (values && op.kind == Kind::put) json["value"] = vos::hex_text(batch.value(op));
  return json;
}

Json record_of_log(ByteView payload, uint64_t lsn, bool values) {
  Json json{{"lsn", lsn}, {"bytes", payload.size()}};
  index::Batch batch;
  const auto header = index::parse_record(payload, batch);
  if (!header) {
    json["damaged"] = header.error().what();
    return json;
  }
  json["kind"] = header->kind;
  json["session"] = header->session;
  json["sequence"] = header->sequence;
  json["epoch"] = header->epoch;
  json["minor_epoch"] = header->minor_epoch;
  json["changes"] = Json::array();
  for (const auto& op : batch.ops()) json["changes"].push_back(change_json(batch, op, values));
  json["data"] = Json::array();
  for (const index::BatchData& data : batch.data()) {
    json["data"].push_back(
        {{"block", data.extent.block}, {"count", data.extent.count}, {"digest", data.digest}});
  }
  json["freed"] = Json::array();
  for (const media::Extent& freed : batch.freed()) {
    json["freed"].push_back({{"block", freed.block}, {"count", freed.count}});
  }
  return json;
}

std::string extents_line(const Json& extents, const char* what) {
  std::string out;
  for (const Json& e : extents) {
    const auto block = e["block"].get<uint64_t>();
    out += std::string("    ") + what + " blocks " + std::to_string(block) + "-" +
           std::to_string(block + e["count"].get<uint64_t>() - 1) + "\n";
  }
  return out;
}

std::string log_lines(const Json& record) {
  std::string out = "  record " + record["lsn"].dump() + ", " + record["bytes"].dump() + " bytes";
  if (record.contains("damaged")) {
    return out + ": DAMAGED: " + record["damaged"].get<std::string>() + "\n";
  }
  out += ", epoch " + record["epoch"].dump();
  if (record["session"] != 0) {
    out += ", session " + record["session"].dump() + " #" + record["sequence"].dump();
  }
  out += "\n";
  for (const Json& change : record["changes"]) {
    out += "    " + change["change"].get<std::string>() + " " + record_line(change) + "\n";
  }
  return out + extents_line(record["data"], "owns") + extents_line(record["freed"], "frees");
}

struct Log {
  media::WalReader::Summary summary;
  Json writes = Json::array();
  uint64_t records = 0;
  std::string text;
};

/// From the newest root to the end, at most `limit` records.
Task<Result<void>> read_log(Session& session, index::Superblock super, LogArguments a, Log& log) {
  const media::WalStart start{super.log_position, super.incarnation, super.log_predecessor,
                              super.store_id[0]};
  media::WalReader reader(session.reactor(), *session.devices().wal, start);
  CO_TRY(summary, co_await reader.scan());
  log.summary = summary;
  for (;;) {
    CO_TRY(batch, co_await reader.next());
    if (!batch || log.records >= a.limit) break;
    Json write{{"begin", batch->begin},
               {"end", batch->end},
               {"complete", batch->complete},
               {"incarnation", batch->incarnation},
               {"epoch_highest", batch->stamp.epoch_highest},
               {"read_lease", batch->stamp.read_lease},
               {"records", Json::array()}};
    log.text += "write at " + std::to_string(batch->begin) + ", complete up to " +
                std::to_string(batch->complete) + ", incarnation " +
                std::to_string(batch->incarnation) + "\n";
    for (size_t i = 0; i < batch->records.size() && log.records < a.limit; ++i) {
      Json record = record_of_log(batch->records[i], batch->lsns[i], a.values);
      log.text += log_lines(record);
      write["records"].push_back(std::move(record));
      ++log.records;
    }
    log.writes.push_back(std::move(write));
  }
  co_return Result<void>{};
}

Outcome log_dump(Session& session, const LogArguments& a) {
  const auto super = session.superblock();
  if (!super) return tool::failure("no superblock can be used", super.error());
  Log log;
  const auto read = session.run(read_log(session, *super, a, log));
  if (!read) return tool::failure("cannot read the log", read.error());
  const media::WalReader::Summary& s = log.summary;
  const Json summary{{"from", super->log_position}, {"end", s.end},
                     {"complete", s.complete},      {"writes", s.batches},
                     {"records", s.records},        {"bytes", s.bytes},
                     {"incarnation", s.incarnation}};
  std::string text = log.text + "log from " + std::to_string(super->log_position) + " to " +
                     std::to_string(s.end) + ": " + std::to_string(s.records) + " records in " +
                     std::to_string(s.batches) + " writes, complete up to " +
                     std::to_string(s.complete) + "\n";
  if (log.records < s.records) {
    text += std::to_string(s.records - log.records) + " records more; raise --limit\n";
  }
  return Reply{text, {{"summary", summary}, {"writes", log.writes}}};
}

// ---- space_dump ----

/// Runs of equal bits in the bitmaps of the newest root.
struct Runs {
  uint64_t owned = 0, free = 0, unknown = 0;
  std::array<uint64_t, 64> free_runs{};  // by the length's power of 2
  Json list = Json::array();             // of free runs
  bool listed = false;
  uint64_t begin = 0, length = 0;

  void add(uint64_t bit, bool is_owned) {
    ++(is_owned ? owned : free);
    if (!is_owned && length == 0) begin = bit;
    if (!is_owned) {
      ++length;
    } else {
      end();
    }
  }
  void add_free(uint64_t from, uint64_t to) {
    if (length == 0) begin = from;
    length += to - from;
    free += to - from;
  }
  void end() {
    if (length == 0) return;
    ++free_runs[static_cast<size_t>(63 - __builtin_clzll(length))];
    if (listed) list.push_back({{"first", begin}, {"count", length}});
    length = 0;
  }
};

struct BitmapPlace {
  index::PageKind kind;
  uint64_t first = 0, end = 0;  // bits that count
};

/// Of a bitmap that nobody knows.
constexpr index::PageRef kUnknownRef{~uint64_t{0}};

/// Where the bitmaps of blocks are.
Task<Result<std::vector<index::PageRef>>> find_bitmaps(media::Device& meta, index::Superblock super,
                                                       std::vector<std::string>& damage) {
  if (super.version == index::kVersionWithoutDirectories) co_return super.data_chunks;
  std::vector<index::PageRef> refs(index::chunk_count(super.data_blocks));
  media::AlignedBuffer page(index::kPageBytes);
  for (uint64_t d = 0; d < index::directory_count(super.data_blocks); ++d) {
    if (super.data_directories[d * index::kDirectoryCopies].is_null()) continue;
    Result<ByteView> entries = fail(Errc::checksum, "none");
    for (uint64_t copy = 0; copy < index::kDirectoryCopies && !entries; ++copy) {
      const index::PageRef ref = super.data_directories[d * index::kDirectoryCopies + copy];
      const auto read = co_await meta.read(ref.page_number() * index::kPageBytes, page.span());
      entries = read ? index::open_bitmap(page.view(), index::PageKind::block_directory, ref, d)
                     : Result<ByteView>(fail(read.error()));
      if (entries) continue;
      damage.push_back("directory " + std::to_string(d) + " at page " +
                       std::to_string(ref.page_number()) + ": " + entries.error().what());
    }
    const uint64_t first = d * index::kDirectoryChunks;
    for (uint64_t i = 0; i < index::kDirectoryChunks && first + i < refs.size(); ++i) {
      index::DirectoryEntry entry{};
      if (entries) std::memcpy(&entry, entries->data() + i * sizeof entry, sizeof entry);
      const bool lost = !entries || entry.run_max.get() == index::kChunkLost;
      refs[first + i] = lost ? kUnknownRef : index::PageRef{entry.bitmap.get()};
      if (!entries || !lost) continue;
      damage.push_back("bitmap " + std::to_string(first + i) + ": lost before");
    }
  }
  co_return refs;
}

Task<Result<void>> read_bitmaps(media::Device& meta, std::vector<index::PageRef> refs,
                                BitmapPlace place, Runs& runs, std::vector<std::string>& damage) {
  media::AlignedBuffer page(index::kPageBytes);
  for (size_t chunk = 0; chunk < refs.size(); ++chunk) {
    const uint64_t base = chunk * index::kChunkBits;
    ByteView bits;
    bool whole = true;
    if (refs[chunk] == kUnknownRef) {
      whole = false;
    } else if (!refs[chunk].is_null()) {
      const auto read =
          co_await meta.read(refs[chunk].page_number() * index::kPageBytes, page.span());
      const auto opened = read ? index::open_bitmap(page.view(), place.kind, refs[chunk], chunk)
                               : Result<ByteView>(fail(read.error()));
      whole = opened.has_value();
      if (opened) bits = *opened;
      if (!opened) {
        damage.push_back("bitmap " + std::to_string(chunk) + " at page " +
                         std::to_string(refs[chunk].page_number()) + ": " + opened.error().what());
      }
    }
    const uint64_t end = std::min(base + index::kChunkBits, place.end);
    if (whole && bits.empty()) {
      runs.add_free(std::max(base, place.first), end);
      continue;
    }
    for (uint64_t bit = std::max(base, place.first); bit < end; ++bit) {
      if (!whole) {
        ++runs.unknown;
        runs.end();
        continue;
      }
      const uint64_t at = bit - base;
      const bool owned = !bits.empty() && (static_cast<uint8_t>(bits[at / 8]) >> (at % 8) & 1) != 0;
      runs.add(bit, owned);
    }
  }
  runs.end();
  co_return Result<void>{};
}

Json runs_json(Runs& runs) {
  Json sizes = Json::object();
  for (size_t i = 0; i < runs.free_runs.size(); ++i) {
    if (runs.free_runs[i] != 0) sizes[std::to_string(uint64_t{1} << i)] = runs.free_runs[i];
  }
  Json json{{"owned", runs.owned}, {"free", runs.free}, {"free_runs_by_size", sizes}};
  if (runs.unknown != 0) json["unknown"] = runs.unknown;
  if (runs.listed) json["free_runs"] = runs.list;
  return json;
}

std::string runs_text(const char* what, const Json& json) {
  std::string text =
      std::string(what) + ": " + json["owned"].dump() + " owned, " + json["free"].dump() + " free";
  if (json.contains("unknown")) text += ", " + json["unknown"].dump() + " in damaged bitmaps";
  text += "\n";
  for (const auto& [size, count] : json["free_runs_by_size"].items()) {
    text += "  free runs of " + size + " and more: " + count.dump() + "\n";
  }
  if (!json.contains("free_runs")) return text;
  for (const Json& run : json["free_runs"]) {
    const auto first = run["first"].get<uint64_t>();
    text += "  free " + std::to_string(first) + "-" +
            std::to_string(first + run["count"].get<uint64_t>() - 1) + "\n";
  }
  return text;
}

Outcome space_dump(Session& session, bool listed) {
  const auto super = session.superblock();
  if (!super) return tool::failure("no superblock can be used", super.error());
  media::Device& meta = *session.devices().meta;
  std::vector<std::string> damage;
  Runs pages, blocks;
  pages.listed = blocks.listed = listed;
  const BitmapPlace of_pages{index::PageKind::page_bitmap, index::kEdgePages,
                             super->meta_pages - index::kEdgePages};
  const BitmapPlace of_blocks{index::PageKind::block_bitmap, 0, super->data_blocks};
  auto read = session.run(read_bitmaps(meta, super->page_chunks, of_pages, pages, damage));
  const auto bitmaps = session.run(find_bitmaps(meta, *super, damage));
  if (!bitmaps) return tool::failure("cannot read the directories", bitmaps.error());
  if (read) read = session.run(read_bitmaps(meta, *bitmaps, of_blocks, blocks, damage));
  if (!read) return tool::failure("cannot read the bitmaps", read.error());
  Json response{{"generation", super->generation},
                {"pages", runs_json(pages)},
                {"blocks", runs_json(blocks)},
                {"damage", damage}};
  std::string text = "in the bitmaps of generation " + std::to_string(super->generation) + "\n" +
                     runs_text("pages of 16 KiB", response["pages"]) +
                     runs_text("blocks of 4 KiB", response["blocks"]);
  for (const std::string& line : damage) text += "DAMAGED: " + line + "\n";
  const auto shard = session.shard();
  if (!shard) return Reply{text + "the shard cannot be opened\n", response};
  const index::StoreStats stats = (*shard)->store().stats();
  const auto usage = [](const media::SpaceUsage& u) {
    return Json{{"total", u.total},       {"owned", u.used}, {"reserved", u.reserved},
                {"deferred", u.deferred}, {"lost", u.lost},  {"free", u.available()}};
  };
  response["now"] = {{"pages", usage(stats.pages)},
                     {"blocks", usage(stats.data)},
                     {"log_used_bytes", stats.wal_used_bytes},
                     {"log_bytes", stats.wal_bytes}};
  text += "with the log's records\n";
  for (const char* name : {"pages", "blocks"}) {
    const Json& u = response["now"][name];
    text += std::string("  ") + name + ": " + u["owned"].dump() + " owned, " +
            u["reserved"].dump() + " reserved, " + u["deferred"].dump() +
            " freed but not reusable "
            "yet, " +
            u["free"].dump() + " free\n";
  }
  return Reply{text, response};
}

}  // namespace

void add_dump_commands(tool::Tool& tool, Ddb& ddb) {
  tool::Command& super =
      tool.command("", "superblock_dump", {}, "The superblock's four copies, and the newest state");
  super.run = [&ddb]() -> Outcome {
    const auto session = ddb.get();
    if (!session) return std::unexpected(session.error());
    return superblock_dump(**session);
  };
  const auto log = std::make_shared<LogArguments>();
  tool::Command& log_command =
      tool.command("", "log_dump", {}, "The log's records between the newest root and its end");
  log_command.app->add_option("-n,--limit", log->limit, "records at most (default 1000)");
  log_command.app->add_flag("--values", log->values, "with --json: the values' bytes");
  log_command.run = [&ddb, log]() -> Outcome {
    const auto session = ddb.get();
    if (!session) return std::unexpected(session.error());
    return log_dump(**session, *log);
  };
  const auto listed = std::make_shared<bool>(false);
  tool::Command& space = tool.command("", "space_dump", {"vea_dump"},
                                      "Owned and free pages and blocks, by the bitmaps and now");
  space.app->add_flag("-l,--list", *listed, "every free run");
  space.run = [&ddb, listed]() -> Outcome {
    const auto session = ddb.get();
    if (!session) return std::unexpected(session.error());
    return space_dump(**session, *listed);
  };
}

}  // namespace cairn::ddb
