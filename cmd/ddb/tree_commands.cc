// Looking at and changing what stands in the tree.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cmd/ddb/ddb.h"
#include "vos/key_text.h"
#include "vos/value_format.h"

namespace cairn::ddb {

namespace {

using tool::Json;
using tool::Outcome;
using tool::Reply;

constexpr uint64_t kChunkBytes = 16u << 20;
constexpr size_t kShownBytesMax = 4096;
constexpr size_t kEntriesMax = 1'000'000;

struct Arguments {
  std::string path = "/";
  std::string file;
  bool recursive = false;
  bool details = false;
};

// ---- ls ----

struct Listing {
  Session& session;
  const Arguments& arguments;
  Json entries = Json::array();
  std::string text;

  Found<void> add_below(const TreePath& path);
  void add_details(const TreePath& path, Json& json, std::string& line);
};

/// Of the value records of an akey or extent: epoch, form, blocks.
void Listing::add_details(const TreePath& path, Json& json, std::string& line) {
  TreePath akey = path;
  akey.extent.reset();
  json["records"] = Json::array();
  Walk walk{.look = [&](ByteView key, ByteView value) -> std::optional<vos::Key> {
              const auto parsed = vos::parse_key(key);
              if (parsed && path.extent &&
                  (parsed->kind != vos::Kind::extent ||
                   parsed->position != path.extent->index + path.extent->count)) {
                return std::nullopt;
              }
              json["records"].push_back(record_json(key, value));
              line += "\n      " + record_line(json["records"].back());
              return std::nullopt;
            },
            .lost = {}};
  const auto walked = walk_records(session, akey.prefix(vos::Range::live), walk);
  if (!walked) line += "\n      " + std::string(walked.error().what());
  for (const std::string& lost : walk.lost) line += "\n      LOST: " + lost;
}

Found<void> Listing::add_below(const TreePath& path) {
  const auto listed = list_below(session, path);
  if (!listed) return std::unexpected(listed.error());
  size_t index = 0;
  for (const Entry& entry : *listed) {
    if (entries.size() >= kEntriesMax) {
      return std::unexpected(tool::Failure{
          "more than 1,000,000 entries; list a part of them", tool::kStatusMisc, {}, {}});
    }
    Json json{{"index", index}, {"path", entry.path.text()}, {"name", entry.name}};
    std::string line =
        arguments.recursive ? entry.path.text() : "[" + std::to_string(index) + "] " + entry.name;
    if (arguments.details && entry.path.depth() >= 4) add_details(entry.path, json, line);
    ++index;
    entries.push_back(std::move(json));
    text += line + "\n";
    if (!arguments.recursive || entry.path.depth() >= 5) continue;
    const auto below = add_below(entry.path);
    if (!below) return below;
  }
  return {};
}

Outcome list(Session& session, const Arguments& a) {
  const auto path = resolve(session, a.path);
  if (!path) return std::unexpected(path.error());
  Listing listing{session, a};
  const auto added = listing.add_below(*path);
  if (!added) return std::unexpected(added.error());
  return Reply{listing.text, {{"path", path->text()}, {"entries", listing.entries}}};
}

// ---- records ----

Outcome records(Session& session, const Arguments& a) {
  const auto path = resolve(session, a.path);
  if (!path) return std::unexpected(path.error());
  TreePath at = *path;
  at.extent.reset();
  Json list = Json::array(), lost = Json::array();
  std::string text;
  const auto add = [&](const vos::Key& prefix) -> Result<void> {
    Walk walk{.look = [&](ByteView key, ByteView value) -> std::optional<vos::Key> {
                list.push_back(record_json(key, value));
                text += record_line(list.back()) + "\n";
                if (list.size() >= kEntriesMax) return vos::Key{};
                return std::nullopt;
              },
              .lost = {}};
    const auto walked = walk_records(session, prefix, walk);
    for (const std::string& line : walk.lost) {
      lost.push_back(line);
      text += "LOST: " + line + "\n";
    }
    return walked;
  };
  Result<void> done;
  if (at.depth() == 0) {
    done = add({});
  } else {
    for (const vos::Range range :
         {vos::Range::live, vos::Range::pending, vos::Range::history, vos::Range::marker}) {
      if (done) done = add(at.prefix(range));
    }
  }
  if (!done) return tool::failure("cannot read the records of " + at.text(), done.error());
  return Reply{text, {{"path", at.text()}, {"records", list}, {"lost", lost}}};
}

// ---- values ----

struct Shape {
  model::ValueType type = model::ValueType::none;
  uint64_t bytes = 0;  // of a single value
  uint64_t record_bytes = 0;
};

/// What the akey holds.
Task<Result<Shape>> shape_of(vos::Shard& shard, const TreePath& path) {
  vos::FetchRequest request{.object = *path.object, .dkey = *path.dkey};
  request.iods.push_back({.akey = *path.akey,
                          .type = model::ValueType::single,
                          .recxs = {},
                          .buffer = {},
                          .size_only = true});
  CO_TRY(single, co_await shard.fetch(request));
  Shape shape;
  if (single.iods[0].record_bytes != 0) {
    shape.type = model::ValueType::single;
    shape.bytes = single.iods[0].record_bytes;
    co_return shape;
  }
  CO_TRY(listed, co_await shard.list(*path.object, {.what = model::ListRequest::What::recxs,
                                                    .dkey = *path.dkey,
                                                    .akey = *path.akey,
                                                    .count_max = 1,
                                                    .bytes_max = 0,
                                                    .position = {}}));
  if (listed.recxs.empty()) co_return shape;
  shape.type = model::ValueType::array;
  shape.record_bytes = listed.record_bytes;
  co_return shape;
}

Task<Result<Bytes>> fetch_bytes(vos::Shard& shard, const TreePath& path, Shape shape,
                                model::Recx recx) {
  const bool single = shape.type == model::ValueType::single;
  Bytes out(single ? shape.bytes : recx.count * shape.record_bytes);
  vos::FetchRequest request{.object = *path.object, .dkey = *path.dkey};
  model::Iod iod{
      .akey = *path.akey, .type = shape.type, .recxs = {}, .buffer = {{out.data(), out.size()}}};
  if (!single) {
    iod.record_bytes = shape.record_bytes;
    iod.recxs = {recx};
  }
  request.iods.push_back(std::move(iod));
  CO_TRY(fetched, co_await shard.fetch(request));
  if (fetched.status != Errc::ok) co_return fail(fetched.status, "ddb: the value changed");
  co_return out;
}

/// The first bytes of a value of `total`.
std::string shown_bytes(ByteView bytes, uint64_t total) {
  std::string out;
  for (size_t at = 0; at < std::min(bytes.size(), kShownBytesMax); at += 16) {
    const ByteView row = bytes.subspan(at, std::min<size_t>(16, bytes.size() - at));
    char offset[24];
    std::snprintf(offset, sizeof offset, "%08zx  ", at);
    std::string hex, text;
    for (const std::byte b : row) {
      hex += vos::hex_text({&b, 1}) + " ";
      text += b >= std::byte{0x20} && b < std::byte{0x7f} ? static_cast<char>(b) : '.';
    }
    hex.resize(48, ' ');
    out += offset + hex + " " + text + "\n";
  }
  if (total > kShownBytesMax) {
    out += "... " + std::to_string(total) + " bytes; name a file to get them all\n";
  }
  return out;
}

std::unexpected<tool::Failure> file_failure(const std::string& file, const char* doing) {
  return tool::refuse("cannot " + std::string(doing) + " " + file + ": " + std::strerror(errno));
}

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

/// Reads piece by piece until `take` wants no more. @returns the bytes of the whole value
Found<uint64_t> read_value(Session& session, vos::Shard& shard, const TreePath& path, Shape shape,
                           const std::function<bool(ByteView)>& take) {
  if (shape.type == model::ValueType::single) {
    const auto bytes = session.run(fetch_bytes(shard, path, shape, {}));
    if (!bytes) return tool::failure("cannot read " + path.text(), bytes.error());
    take(*bytes);
    return bytes->size();
  }
  const uint64_t each = std::max<uint64_t>(1, kChunkBytes / shape.record_bytes);
  for (uint64_t at = 0; at < path.extent->count; at += each) {
    const model::Recx part{path.extent->index + at, std::min(each, path.extent->count - at)};
    const auto bytes = session.run(fetch_bytes(shard, path, shape, part));
    if (!bytes) return tool::failure("cannot read " + path.text(), bytes.error());
    if (!take(*bytes)) break;
  }
  return path.extent->count * shape.record_bytes;
}

Outcome value_dump(Session& session, const Arguments& a) {
  const auto path = resolve(session, a.path);
  if (!path) return std::unexpected(path.error());
  if (path->depth() < 4) return tool::refuse(path->text() + " is no value; name an akey or extent");
  const auto shard = session.shard();
  if (!shard) return tool::failure("cannot open the shard", shard.error());
  const auto shape = session.run(shape_of(**shard, *path));
  if (!shape) return tool::failure("cannot read " + path->text(), shape.error());
  if (shape->type == model::ValueType::none) {
    return tool::refuse(path->text() + " holds no value", -static_cast<int>(Errc::nonexistent));
  }
  const bool array = shape->type == model::ValueType::array;
  if (array != path->extent.has_value()) {
    return tool::refuse(array ? path->text() + " holds an array; name an extent, such as " +
                                    path->text() + "/[0]"
                              : path->text() +
                                    ": the akey holds a single value, which has no "
                                    "extents");
  }
  File file(a.file.empty() ? nullptr : std::fopen(a.file.c_str(), "wb"));
  if (!a.file.empty() && !file) return file_failure(a.file, "write");
  Bytes shown;
  bool written = true;
  const auto take = [&](ByteView bytes) {
    if (!file) {
      shown.insert(shown.end(), bytes.begin(), bytes.end());
      return shown.size() <= kShownBytesMax;
    }
    written = std::fwrite(bytes.data(), 1, bytes.size(), file.get()) == bytes.size();
    return written;
  };
  const auto total = read_value(session, **shard, *path, *shape, take);
  if (!total) return std::unexpected(total.error());
  if (file && (std::fflush(file.get()) != 0 || !written)) return file_failure(a.file, "write");
  Json response{{"path", path->text()}, {"type", array ? "array" : "single"}, {"bytes", *total}};
  if (array) response["record_bytes"] = shape->record_bytes;
  if (file) {
    response["file"] = a.file;
    return Reply{std::to_string(*total) + " bytes to " + a.file + "\n", response};
  }
  response["hex"] = vos::hex_text(ByteView(shown).first(std::min(shown.size(), kShownBytesMax)));
  return Reply{shown_bytes(shown, *total), response};
}

Found<Bytes> read_file(const std::string& name) {
  File file(std::fopen(name.c_str(), "rb"));
  if (!file) return file_failure(name, "read");
  Bytes out;
  for (;;) {
    const size_t have = out.size();
    out.resize(have + (1u << 20));
    const size_t got = std::fread(out.data() + have, 1, out.size() - have, file.get());
    out.resize(have + got);
    if (got == 0) break;
  }
  if (std::ferror(file.get()) != 0) return file_failure(name, "read");
  return out;
}

Outcome value_load(Session& session, const Arguments& a) {
  auto bytes = read_file(a.file);
  if (!bytes) return std::unexpected(bytes.error());
  const auto path = resolve(session, a.path);
  if (!path) return std::unexpected(path.error());
  if (path->depth() < 4) return tool::refuse(path->text() + " is no value; name an akey or extent");
  if (bytes->empty()) return tool::refuse(a.file + " is empty; `rm` removes a value");
  const auto shard = session.shard();
  if (!shard) return tool::failure("cannot open the shard", shard.error());
  model::Iod iod{.akey = *path->akey,
                 .type = model::ValueType::single,
                 .record_bytes = bytes->size(),
                 .recxs = {},
                 .buffer = {{bytes->data(), bytes->size()}}};
  if (path->extent) {
    if (bytes->size() % path->extent->count != 0) {
      return tool::refuse(a.file + ": its " + std::to_string(bytes->size()) +
                          " bytes are not a whole number for each of " +
                          std::to_string(path->extent->count) + " records");
    }
    iod.type = model::ValueType::array;
    iod.record_bytes = bytes->size() / path->extent->count;
    iod.recxs = {*path->extent};
  }
  vos::UpdateRequest request{.object = *path->object, .dkey = *path->dkey, .iods = {iod}};
  const auto epoch = session.run((*shard)->update(request));
  if (!epoch) return tool::failure("cannot write " + path->text(), epoch.error());
  return Reply{std::to_string(bytes->size()) + " bytes to " + path->text() + "\n",
               {{"path", path->text()}, {"bytes", bytes->size()}, {"epoch", *epoch}}};
}

// ---- rm ----

Task<Result<void>> remove(vos::Shard& shard, TreePath path) {
  using Level = vos::PunchRequest::Level;
  const int depth = path.depth();
  if (depth == 1) co_return co_await shard.destroy_container(*path.container);
  if (depth == 5) {
    vos::UpdateRequest request{.object = *path.object, .dkey = *path.dkey, .iods = {}};
    request.iods.push_back({.akey = *path.akey,
                            .type = model::ValueType::array,
                            .recxs = {*path.extent},
                            .buffer = {}});
    CO_TRY(done, co_await shard.update(request));
    co_return Result<void>{};
  }
  vos::PunchRequest request{.object = *path.object, .dkey = {}, .akeys = {}};
  request.level = depth == 2 ? Level::object : depth == 3 ? Level::dkey : Level::akeys;
  if (path.dkey) request.dkey = *path.dkey;
  if (path.akey) request.akeys.push_back(ByteView(*path.akey));
  // An object punch takes no condition.
  if (depth > 2) request.flags = model::cond::kPunch;
  CO_TRY(epoch, co_await shard.punch(request));
  co_await shard.reclaimed();
  co_return Result<void>{};
}

/// Is anything there?
bool exists(Session& session, const TreePath& path) {
  TreePath above = path;
  if (path.depth() == 1) {
    above.container.reset();
  } else {
    above.object.reset();
  }
  const auto listed = list_below(session, above);
  return listed && std::any_of(listed->begin(), listed->end(), [&](const Entry& entry) {
           return entry.path.text() == path.text();
         });
}

Outcome remove_path(Session& session, const Arguments& a) {
  const auto path = resolve(session, a.path);
  if (!path) return std::unexpected(path.error());
  if (path->depth() == 0) return tool::refuse("the whole shard goes with `dmg pool destroy`");
  if (path->depth() <= 2 && !exists(session, *path)) {
    return tool::refuse("there is no " + path->text(), -static_cast<int>(Errc::nonexistent));
  }
  const auto shard = session.shard();
  if (!shard) return tool::failure("cannot open the shard", shard.error());
  const auto removed = session.run(remove(**shard, *path));
  if (!removed) return tool::failure("cannot remove " + path->text(), removed.error());
  std::string text = "removed " + path->text() + "\n";
  if (path->depth() == 1) {
    text += "what the container held is gone; `daos cont destroy` also removes its entry\n";
  }
  return Reply{text, {{"path", path->text()}}};
}

// ---- csum_dump ----

Outcome csum_dump(Session& session, const Arguments& a) {
  const auto path = resolve(session, a.path);
  if (!path) return std::unexpected(path.error());
  if (path->depth() < 4) return tool::refuse(path->text() + " is no value; name an akey or extent");
  TreePath akey = *path;
  akey.extent.reset();
  Json list = Json::array();
  std::string text;
  const vos::Key prefix = akey.prefix(vos::Range::live);
  Walk walk{.look = [&](ByteView key, ByteView value) -> std::optional<vos::Key> {
              const auto parsed = vos::parse_key(key);
              if (!parsed) return std::nullopt;
              const auto v = vos::parse_value(parsed->kind, value);
              const bool wanted =
                  !path->extent || parsed->position == path->extent->index + path->extent->count;
              if (!v || !wanted) return std::nullopt;
              Bytes crcs;
              if (parsed->kind == vos::Kind::checksums) {
                crcs.assign(v->inlined.begin(), v->inlined.end());
              } else if (v->form == vos::Form::data) {
                const auto data = vos::parse_data(*v);
                for (const uint32_t crc : data ? data->crcs : std::vector<uint32_t>{}) {
                  std::byte le[4];
                  store_le32(le, crc);
                  crcs.insert(crcs.end(), le, le + 4);
                }
              }
              if (crcs.empty()) return std::nullopt;
              Json numbers = Json::array();
              text += vos::key_text(key).text() + ":";
              for (size_t i = 0; i + 4 <= crcs.size(); i += 4) {
                char hex[16];
                std::snprintf(hex, sizeof hex, "%08x", load_le32(crcs.data() + i));
                numbers.push_back(hex);
                text += std::string(" ") + hex;
              }
              text += "\n";
              list.push_back({{"key", vos::key_text(key).text()},
                              {"type", "crc32c"},
                              {"block_bytes", vos::kDataBlockBytes},
                              {"checksums", numbers}});
              return std::nullopt;
            },
            .lost = {}};
  const auto walked = walk_records(session, prefix, walk);
  if (!walked) return tool::failure("cannot read " + path->text(), walked.error());
  if (!walk.lost.empty()) return tool::refuse("a part of it is damaged: " + walk.lost.front());
  if (list.empty()) text = "no blocks: small values lie in pages, whose checksum covers them\n";
  return Reply{text, {{"path", path->text()}, {"records", list}}};
}

using Function = Outcome (*)(Session&, const Arguments&);

/// A command whose arguments live as long as it.
tool::Command& add(tool::Tool& tool, Ddb& ddb, const char* name, const char* help, bool writes,
                   Function function, const std::shared_ptr<Arguments>& arguments) {
  tool::Command& command = tool.command("", name, {}, help);
  command.run = [&ddb, writes, function, arguments]() -> Outcome {
    const auto session = writes ? ddb.get_writable() : ddb.get();
    if (!session) return std::unexpected(session.error());
    return function(**session, *arguments);
  };
  return command;
}

}  // namespace

void add_tree_commands(tool::Tool& tool, Ddb& ddb) {
  const auto a = std::make_shared<Arguments>();
  CLI::App* ls = add(tool, ddb, "ls", "List what stands below a path", false, list, a).app;
  ls->add_option("path", a->path, "a path, / by default");
  ls->add_flag("-r,--recursive", a->recursive, "everything below, too");
  ls->add_flag("-d,--details", a->details, "epochs, forms and blocks of values");
  add(tool, ddb, "records", "The tree's own records below a path, all ranges", false, records, a)
      .app->add_option("path", a->path, "a path, / by default");
  CLI::App* dump =
      add(tool, ddb, "value_dump", "Show a value, or write it to a file", false, value_dump, a).app;
  dump->add_option("path", a->path, "akey or extent")->required();
  dump->add_option("file", a->file, "where the bytes go");
  CLI::App* load =
      add(tool, ddb, "value_load", "Write a file's bytes as a value", true, value_load, a).app;
  load->add_option("file", a->file, "the bytes")->required();
  load->add_option("path", a->path, "akey or extent")->required();
  add(tool, ddb, "rm", "Remove a container's content, an object, key or extent", true, remove_path,
      a)
      .app->add_option("path", a->path, "what goes")
      ->required();
  add(tool, ddb, "csum_dump", "The checksums of a value's blocks", false, csum_dump, a)
      .app->add_option("path", a->path, "akey or extent")
      ->required();
}

}  // namespace cairn::ddb
