// Flattening: `daos object flatten` for some objects, `daos container flatten` for all of them.
#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "cmd/daos/container.h"
#include "cmd/daos/flat_report.h"

namespace cairn::tool {
namespace {

struct FlattenArguments {
  ContainerArguments container;
};

/// HI.LO, decimal or hexadecimal with 0x.
std::optional<daos_obj_id_t> parse_oid(const std::string& text) {
  const size_t dot = text.find('.');
  if (dot == std::string::npos) return std::nullopt;
  const auto number = [](std::string_view digits) -> std::optional<uint64_t> {
    const bool hex = digits.starts_with("0x") || digits.starts_with("0X");
    if (hex) digits.remove_prefix(2);
    uint64_t value = 0;
    const auto parsed =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
    if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) return {};
    return value;
  };
  const auto hi = number(std::string_view(text).substr(0, dot));
  const auto lo = number(std::string_view(text).substr(dot + 1));
  if (!hi || !lo) return std::nullopt;
  return daos_obj_id_t{.lo = *lo, .hi = *hi};
}

int flatten_one(daos_handle_t coh, daos_obj_id_t oid, cairn_flat_t* flat) {
  daos_handle_t oh{};
  int rc = daos_obj_open(coh, oid, DAOS_OO_RW, &oh, nullptr);
  if (rc != 0) return rc;
  rc = cairn_obj_flatten(oh, flat, nullptr);
  (void)daos_obj_close(oh, nullptr);
  // Said by its outcome.
  return rc == -DER_BUSY || rc == -DER_NOTAPPLICABLE ? 0 : rc;
}

Outcome flatten_objects(const FlattenArguments& arguments) {
  auto name = container_name(arguments.container);
  if (!name) return std::unexpected(name.error());
  const std::vector<std::string>& own = name->rest;
  std::vector<daos_obj_id_t> oids;
  for (const std::string& word : own) {
    const auto oid = parse_oid(word);
    if (!oid)
      return std::unexpected(
          Failure{.message = "invalid object id \"" + word + "\"; HI.LO is one"});
    oids.push_back(*oid);
  }
  if (oids.empty())
    return std::unexpected(Failure{.message = "no object named: POOL CONT HI.LO ..."});
  auto open = open_container(*name, false);
  if (!open) return std::unexpected(open.error());
  std::string text;
  Json list = Json::array();
  for (size_t i = 0; i < oids.size(); ++i) {
    cairn_flat_t flat{};
    const int rc = flatten_one(open->cont->handle(), oids[i], &flat);
    if (rc != 0) return failure("failed to flatten object " + own[i], rc);
    const char* const way_out = flat_way_out(flat.cf_outcome);
    text += own[i] + ": " + flat_outcome(flat.cf_outcome);
    if (*way_out != '\0') text += std::string(" (") + way_out + ")";
    text += "\n";
    list.push_back({{"oid", own[i]},
                    {"outcome", flat_outcome(flat.cf_outcome)},
                    {"buffer_bytes", flat.cf_buffer_bytes}});
  }
  return Reply{std::move(text), list};
}

int show_progress(const cairn_flat_stats_t* so_far, void*) {
  std::fprintf(stderr, "\rflattened %llu of %llu objects",
               static_cast<unsigned long long>(so_far->cs_outcomes[CAIRN_FLAT_DONE]),
               static_cast<unsigned long long>(so_far->cs_objects));
  return 0;
}

Outcome flatten_container(const FlattenArguments& arguments) {
  auto name = container_name(arguments.container);
  if (!name) return std::unexpected(name.error());
  auto open = open_container(*name, false);
  if (!open) return std::unexpected(open.error());
  const bool terminal = isatty(STDERR_FILENO) == 1;
  cairn_flat_stats_t stats{};
  const int rc =
      cairn_cont_flatten(open->cont->handle(), &stats, terminal ? show_progress : nullptr, nullptr);
  if (terminal) std::fprintf(stderr, "\n");
  if (rc != 0) return failure("failed to flatten container " + name->shown, rc);
  return Reply{"Objects: " + std::to_string(stats.cs_objects) + "\n" + flat_lines(stats) +
                   "Bytes of buffers: " + std::to_string(stats.cs_buffer_bytes) + "\n",
               {{"objects", stats.cs_objects},
                {"outcomes", flat_outcomes(stats)},
                {"buffer_bytes", stats.cs_buffer_bytes}}};
}

}  // namespace

void add_flatten_commands(Tool& tool) {
  tool.resource("object", {"obj"}, "Objects of containers");
  const auto a = std::make_shared<FlattenArguments>();
  Command& some = tool.command("object", "flatten", {},
                               "Make one buffer of each object, to be read from now on");
  add_container_arguments(*some.app, a->container);
  some.run = [a] { return flatten_objects(*a); };
  Command& all = tool.command("container", "flatten", {}, "Flatten all objects that can be");
  add_container_arguments(*all.app, a->container);
  all.run = [a] { return flatten_container(*a); };
}

}  // namespace cairn::tool
