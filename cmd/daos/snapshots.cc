// Snapshots of containers: create-snap, list-snap, destroy-snap, rollback, snap-diff; and
// list-objects, which reads one.
#include <cairn_cont.h>

#include <charconv>

#include "cmd/daos/container.h"
#include "cmd/tool/format.h"

namespace cairn::tool {
namespace {

struct SnapArguments {
  ContainerArguments container;
  std::string name, epoch, range, older;
};

/// Decimal, or hexadecimal with 0x. @error  in the words that scripts know
std::expected<uint64_t, Failure> parse_epoch(const char* flag, const std::string& text) {
  std::string_view digits = text;
  const bool hex = digits.starts_with("0x") || digits.starts_with("0X");
  if (hex) digits.remove_prefix(2);
  uint64_t value = 0;
  const auto parsed =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
  if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) {
    return bad_flag(flag, "uint64", "\"" + text + "\" is no epoch");
  }
  return value;
}

std::expected<std::vector<uint64_t>, Failure> snapshots_of(const Cont& cont,
                                                           const std::string& doing) {
  std::vector<uint64_t> epochs;
  for (int count = 0;;) {
    daos_anchor_t anchor{};
    count = static_cast<int>(epochs.size());
    const int rc = daos_cont_list_snap(cont.handle(), &count, epochs.data(), nullptr, &anchor,
                                       nullptr);
    if (rc != 0) return failure(doing, rc);
    const bool whole = static_cast<size_t>(count) <= epochs.size();
    epochs.resize(static_cast<size_t>(count));
    if (whole) return epochs;
  }
}

Json snapshot_json(uint64_t epoch) {
  return {{"epoch", epoch}, {"timestamp", epoch_time(epoch)}};
}

Outcome create_snapshot(const SnapArguments& arguments) {
  auto name = container_name(arguments.container);
  if (!name) return std::unexpected(name.error());
  auto open = open_container(*name, false);
  if (!open) return std::unexpected(open.error());
  std::string given = arguments.name;
  daos_epoch_t epoch = 0;
  const int rc = daos_cont_create_snap(open->cont->handle(), &epoch,
                                       given.empty() ? nullptr : given.data(), nullptr);
  if (rc != 0) return failure("failed to create snapshot of container " + name->shown, rc);
  return Reply{"snapshot/epoch " + epoch_hex(epoch) + " has been created (timestamp: " +
                   epoch_time(epoch) + ")\n",
               snapshot_json(epoch)};
}

Outcome list_snapshots(const SnapArguments& arguments) {
  auto name = container_name(arguments.container);
  if (!name) return std::unexpected(name.error());
  auto open = open_container(*name, true);
  if (!open) return std::unexpected(open.error());
  auto epochs =
      snapshots_of(*open->cont, "failed to list snapshots of container " + name->shown);
  if (!epochs) return std::unexpected(epochs.error());
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows;
  for (const uint64_t epoch : *epochs) {
    list.push_back(snapshot_json(epoch));
    rows.push_back({epoch_time(epoch), epoch_hex(epoch), ""});
  }
  return Reply{rows.empty() ? "No snapshots.\n" : table({"Timestamp", "Epoch", "Name"}, rows),
               list};
}

/// The epochs that the options of destroy-snap mean.
std::expected<std::vector<uint64_t>, Failure> doomed_epochs(const SnapArguments& arguments,
                                                            const Cont& cont,
                                                            const std::string& doing) {
  if (!arguments.epoch.empty()) {
    auto epoch = parse_epoch("-e, --epc", arguments.epoch);
    if (!epoch) return std::unexpected(epoch.error());
    return std::vector<uint64_t>{*epoch};
  }
  const size_t dash = arguments.range.find('-');
  if (dash == std::string::npos) {
    return bad_flag("-r, --epcrange", "epoch range", "give A-B");
  }
  auto first = parse_epoch("-r, --epcrange", arguments.range.substr(0, dash));
  auto last = parse_epoch("-r, --epcrange", arguments.range.substr(dash + 1));
  if (!first || !last) return std::unexpected(first ? last.error() : first.error());
  auto epochs = snapshots_of(cont, doing);
  if (!epochs) return epochs;
  std::erase_if(*epochs, [&](uint64_t epoch) { return epoch < *first || epoch > *last; });
  if (epochs->empty()) return failure(doing, -DER_NONEXIST);
  return epochs;
}

Outcome destroy_snapshot(const SnapArguments& arguments) {
  auto name = container_name(arguments.container);
  if (!name) return std::unexpected(name.error());
  const int given = static_cast<int>(!arguments.name.empty()) +
                    static_cast<int>(!arguments.epoch.empty()) +
                    static_cast<int>(!arguments.range.empty());
  if (given != 1) return refuse("must specify one of snapshot name or epoch or epoch range");
  auto open = open_container(*name, false);
  if (!open) return std::unexpected(open.error());
  if (!arguments.name.empty()) return refuse("snapshot \"" + arguments.name + "\" not found");
  const std::string doing = "failed to destroy snapshots of container " + name->shown;
  auto epochs = doomed_epochs(arguments, *open->cont, doing);
  if (!epochs) return std::unexpected(epochs.error());
  for (const uint64_t epoch : *epochs) {
    const int rc = daos_cont_destroy_snap(open->cont->handle(), {epoch, epoch}, nullptr);
    if (rc != 0) return failure(doing, rc);
  }
  return Reply{"", nullptr};
}

Outcome roll_back(const SnapArguments& arguments) {
  auto name = container_name(arguments.container);
  if (!name) return std::unexpected(name.error());
  if (arguments.name.empty() == arguments.epoch.empty()) {
    return refuse("must specify one of snapshot name or epoch");
  }
  auto open = open_container(*name, false);
  if (!open) return std::unexpected(open.error());
  if (!arguments.name.empty()) return refuse("snapshot \"" + arguments.name + "\" not found");
  auto epoch = parse_epoch("-e, --epc", arguments.epoch);
  if (!epoch) return std::unexpected(epoch.error());
  const int rc = cairn_cont_rollback(open->cont->handle(), *epoch, nullptr);
  if (rc != 0) {
    auto failed = failure("failed to roll back container " + name->shown, rc);
    if (rc == -DER_BUSY) {
      failed.error().resolution =
          "newer snapshots exist; destroy them first (daos cont list-snap)";
    }
    return failed;
  }
  return Reply{"Container " + name->shown + " is what it was at snapshot/epoch " +
                   epoch_hex(*epoch) + "\n",
               snapshot_json(*epoch)};
}

std::string oid_text(daos_obj_id_t oid) {
  return std::to_string(oid.hi) + "." + std::to_string(oid.lo);
}

/// Printable bytes as they are, others as \xNN.
std::string key_text(const void* key, size_t bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : std::string_view(static_cast<const char*>(key), bytes)) {
    if (c >= 0x20 && c < 0x7f && c != '\\') {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

struct DiffList {
  Json json = Json::array();
  std::string text;
};

int add_difference(const cairn_snap_difference_t* found, void* arg) {
  static constexpr const char* kKinds[] = {"added", "removed", "changed"};
  auto& list = *static_cast<DiffList*>(arg);
  const std::string dkey = key_text(found->dkey, found->dkey_bytes);
  const std::string akey = key_text(found->akey, found->akey_bytes);
  const char* const kind = kKinds[found->kind];
  list.json.push_back(
      {{"change", kind}, {"oid", oid_text(found->oid)}, {"dkey", dkey}, {"akey", akey}});
  list.text += std::string(kind) + " " + oid_text(found->oid) + " " + dkey + " " + akey + "\n";
  return 0;
}

Outcome compare_snapshots(const SnapArguments& arguments) {
  auto name = container_name(arguments.container);
  if (!name) return std::unexpected(name.error());
  auto older = parse_epoch("-f, --from", arguments.older);
  auto newer = parse_epoch("-t, --to", arguments.epoch);
  if (!older || !newer) return std::unexpected(older ? newer.error() : older.error());
  auto open = open_container(*name, true);
  if (!open) return std::unexpected(open.error());
  DiffList list;
  const int rc =
      cairn_cont_snap_diff(open->cont->handle(), *older, *newer, add_difference, &list);
  if (rc != 0) return failure("failed to compare snapshots of container " + name->shown, rc);
  return Reply{std::move(list.text), std::move(list.json)};
}

/// A snapshot's table, made for a command and gone with it.
class TemporarySnapshot {
 public:
  explicit TemporarySnapshot(const Cont& cont) : cont_(cont) {}
  TemporarySnapshot(const TemporarySnapshot&) = delete;
  ~TemporarySnapshot() {
    if (epoch_ != 0) (void)daos_cont_destroy_snap(cont_.handle(), {epoch_, epoch_}, nullptr);
  }
  int make() {
    const auto options =
        static_cast<daos_snapshot_opts>(DAOS_SNAP_OPT_CR | DAOS_SNAP_OPT_OIT);
    return daos_cont_create_snap_opt(cont_.handle(), &epoch_, nullptr, options, nullptr);
  }
  daos_epoch_t epoch() const { return epoch_; }

 private:
  const Cont& cont_;
  daos_epoch_t epoch_ = 0;
};

int list_table(daos_handle_t table, std::vector<std::string>& out) {
  daos_anchor_t anchor{};
  daos_obj_id_t oids[256];
  while (!daos_anchor_is_eof(&anchor)) {
    uint32_t count = std::size(oids);
    const int rc = daos_oit_list(table, oids, &count, &anchor, nullptr);
    if (rc != 0) return rc;
    for (uint32_t i = 0; i < count; ++i) out.push_back(oid_text(oids[i]));
  }
  return 0;
}

Outcome list_objects(const SnapArguments& arguments) {
  auto name = container_name(arguments.container);
  if (!name) return std::unexpected(name.error());
  auto open = open_container(*name, false);
  if (!open) return std::unexpected(open.error());
  const std::string doing = "failed to list objects of container " + name->shown;
  TemporarySnapshot own(*open->cont);
  uint64_t epoch = 0;
  if (arguments.epoch.empty()) {
    const int rc = own.make();
    if (rc != 0) return failure(doing, rc);
    epoch = own.epoch();
  } else {
    auto given = parse_epoch("-e, --epc", arguments.epoch);
    if (!given) return std::unexpected(given.error());
    epoch = *given;
  }
  daos_handle_t table{};
  int rc = daos_oit_open(open->cont->handle(), epoch, &table, nullptr);
  if (rc != 0) return failure(doing, rc);
  std::vector<std::string> oids;
  rc = list_table(table, oids);
  (void)daos_oit_close(table, nullptr);
  if (rc != 0) return failure(doing, rc);
  std::string text;
  for (const std::string& oid : oids) text += oid + "\n";
  return Reply{std::move(text), oids};
}

using SnapRun = Outcome (*)(const SnapArguments&);
Command& add_one(Tool& tool, const char* name, std::vector<std::string> aliases,
                 const char* description, std::shared_ptr<SnapArguments> arguments, SnapRun run) {
  Command& command = tool.command("container", name, aliases, description);
  add_container_arguments(*command.app, arguments->container);
  command.run = [arguments, run] { return run(*arguments); };
  return command;
}

}  // namespace

void add_snapshot_commands(Tool& tool) {
  const auto a = std::make_shared<SnapArguments>();
  add_one(tool, "create-snap", {"snap"}, "Make a snapshot", a, create_snapshot)
      .app->add_option("-s,--snap", a->name, "Names are not supported");
  add_one(tool, "list-snap", {"list-snaps"}, "List snapshots", a, list_snapshots);
  CLI::App& destroy =
      *add_one(tool, "destroy-snap", {}, "Destroy snapshots", a, destroy_snapshot).app;
  destroy.add_option("-s,--snap", a->name, "By name");
  destroy.add_option("-e,--epc", a->epoch, "By epoch, decimal or 0x...");
  destroy.add_option("-r,--epcrange", a->range, "All from A to B: A-B");
  CLI::App& back = *add_one(tool, "rollback", {},
                            "Make a container what it was at its newest snapshot", a, roll_back)
                        .app;
  back.add_option("-s,--snap", a->name, "By name");
  back.add_option("-e,--epc", a->epoch, "By epoch, decimal or 0x...");
  CLI::App& diff = *add_one(tool, "snap-diff", {}, "Tell what differs between two snapshots", a,
                            compare_snapshots)
                        .app;
  diff.add_option("-f,--from", a->older, "Epoch of the older one");
  diff.add_option("-t,--to", a->epoch, "Epoch of the newer one");
  add_one(tool, "list-objects", {"list-obj"}, "List the objects of a container", a, list_objects)
      .app->add_option("-e,--epc", a->epoch, "Of a snapshot that has a table of its objects");
}

}  // namespace cairn::tool
