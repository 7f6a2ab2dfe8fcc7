// daos cont seal|unseal, and what `daos cont query` tells of a sealed container.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "cmd/daos/container.h"
#include "cmd/daos/flat_report.h"

namespace cairn::tool {
namespace {

constexpr std::chrono::milliseconds kLook{200};

struct SealArguments {
  ContainerArguments container;
  bool wait = false;
};

const char* state_text(uint32_t state) {
  switch (state) {
    case CAIRN_SEALING:
      return "being sealed";
    case CAIRN_SEALED:
      return "sealed";
    case CAIRN_UNSEALING:
      return "being unsealed";
    default:
      return "not sealed";
  }
}

uint64_t skipped_of(const cairn_cont_worm_t& worm) {
  uint64_t count = worm.cw_damaged;
  for (const uint64_t each : worm.cw_skipped) count += each;
  return count;
}

/// Nothing is left that somebody can wait for.
bool is_done(const cairn_cont_worm_t& worm) {
  return worm.cw_running == 0 && worm.cw_left == 0 && worm.cw_targets_away == 0;
}

std::string progress_line(const cairn_cont_worm_t& worm) {
  const uint64_t seen = worm.cw_flat + skipped_of(worm);
  const uint64_t all = seen + worm.cw_left;
  constexpr size_t kWidth = 30;
  const size_t full = all == 0 ? 0 : static_cast<size_t>(kWidth * seen / all);
  return "[" + std::string(full, '#') + std::string(kWidth - full, '.') + "] " +
         std::to_string(worm.cw_flat) + " flattened, " + std::to_string(worm.cw_left) + " left, " +
         std::to_string(skipped_of(worm)) + " skipped";
}

/// Until nothing is left. @returns 0 or a negative DER code
int wait_until_flat(daos_handle_t coh, cairn_cont_worm_t& worm) {
  const bool terminal = isatty(STDERR_FILENO) == 1;
  int rc = 0;
  for (;;) {
    rc = cairn_cont_worm_query(coh, &worm);
    if (rc != 0) break;
    if (terminal) {
      std::fprintf(stderr, "\r\033[K%s", progress_line(worm).c_str());
      std::fflush(stderr);
    }
    if (is_done(worm) || worm.cw_seal == CAIRN_SEAL_NONE) break;
    std::this_thread::sleep_for(kLook);
  }
  if (terminal) std::fputs("\n", stderr);
  return rc;
}

std::unexpected<Failure> seal_failure(const std::string& shown, int rc, daos_handle_t coh) {
  const std::string doing = "failed to seal container " + shown;
  cairn_cont_worm_t worm{};
  if (cairn_cont_worm_query(coh, &worm) != 0) return failure(doing, rc);
  auto failed = failure(doing, rc);
  if (rc == -DER_ALREADY) {
    failed.error().resolution =
        "it was sealed at " + epoch_time(worm.cw_sealed_at) + " by " + worm.cw_sealed_by;
  } else if (worm.cw_seal == CAIRN_SEALING) {
    failed.error().resolution =
        rc == -DER_BUSY ? "it is being sealed: that ends by itself when the transaction that was "
                          "being committed is over; `daos container query' shows it"
                        : "it is being sealed: that ends by itself when the engine is back; "
                          "`daos container query' shows it";
  } else if (rc == -DER_UNREACH) {
    failed.error().resolution =
        "an engine of the pool is away, and nothing was sealed: `dmg system "
        "query' shows which; seal it when all are there";
  }
  return failed;
}

Outcome seal(const SealArguments& arguments) {
  auto name = container_name(arguments.container);
  if (!name) return std::unexpected(name.error());
  auto open = open_container(*name, false);
  if (!open) return std::unexpected(open.error());
  const daos_handle_t coh = open->cont->handle();
  const int rc = cairn_cont_seal(coh);
  // Who only wants to wait need not know whether somebody has sealed it before.
  const bool before = rc == -DER_ALREADY && arguments.wait;
  if (rc != 0 && !before) return seal_failure(name->shown, rc, coh);
  cairn_cont_worm_t worm{};
  const int queried =
      arguments.wait ? wait_until_flat(coh, worm) : cairn_cont_worm_query(coh, &worm);
  if (queried != 0)
    return failure("container " + name->shown + " is sealed, but cannot be queried", queried);
  std::string text = "Container " + name->shown + " is sealed\n";
  for (const auto& [key, value] : seal_rows(worm)) text += "  " + key + ": " + value + "\n";
  return Reply{std::move(text), seal_json(worm)};
}

Outcome unseal(const SealArguments& arguments) {
  auto name = container_name(arguments.container);
  if (!name) return std::unexpected(name.error());
  auto open = open_container(*name, false);
  if (!open) return std::unexpected(open.error());
  const int rc = cairn_cont_unseal(open->cont->handle());
  if (rc == -DER_ALREADY) {
    return refuse("failed to unseal container " + name->shown + ": it is not sealed");
  }
  if (rc != 0) return failure("failed to unseal container " + name->shown, rc);
  return Reply{"Container " + name->shown + " can be changed again\n", nullptr};
}

}  // namespace

Json seal_json(const cairn_cont_worm_t& worm) {
  Json skipped = Json::object();
  if (worm.cw_damaged != 0) skipped["damaged"] = worm.cw_damaged;
  for (size_t i = 0; i < CAIRN_FLAT_OUTCOMES; ++i) {
    if (worm.cw_skipped[i] != 0) skipped[flat_outcome(i)] = worm.cw_skipped[i];
  }
  return {{"state", state_text(worm.cw_seal)},   {"sealed_at", epoch_time(worm.cw_sealed_at)},
          {"sealed_by", worm.cw_sealed_by},      {"epoch", worm.cw_sealed_at},
          {"flattening", worm.cw_running != 0},  {"objects_flattened", worm.cw_flat},
          {"objects_left", worm.cw_left},        {"objects_skipped", std::move(skipped)},
          {"targets_away", worm.cw_targets_away}};
}

std::vector<std::pair<std::string, std::string>> seal_rows(const cairn_cont_worm_t& worm) {
  std::vector<std::pair<std::string, std::string>> rows;
  if (worm.cw_seal == CAIRN_SEAL_NONE) return rows;
  rows.emplace_back("Sealed", std::string(state_text(worm.cw_seal)) + " since " +
                                  epoch_time(worm.cw_sealed_at) + " by " + worm.cw_sealed_by);
  rows.emplace_back("Objects flattened", std::to_string(worm.cw_flat));
  rows.emplace_back("Objects left", std::to_string(worm.cw_left));
  for (size_t i = 0; i < CAIRN_FLAT_OUTCOMES; ++i) {
    if (worm.cw_skipped[i] == 0) continue;
    std::string value = std::to_string(worm.cw_skipped[i]);
    if (*flat_way_out(i) != '\0')
      value += std::string(" (") + flat_way_out(i) + ")";
    rows.emplace_back(std::string("Objects skipped, ") + flat_outcome(i), value);
  }
  if (worm.cw_damaged != 0) {
    rows.emplace_back("Objects skipped, damaged",
                      std::to_string(worm.cw_damaged) + " (`cairn check --losses' lists them)");
  }
  if (worm.cw_targets_away != 0) {
    rows.emplace_back("Targets not asked",
                      std::to_string(worm.cw_targets_away) + " (their engines are away)");
  }
  return rows;
}

void add_seal_commands(Tool& tool) {
  const auto a = std::make_shared<SealArguments>();
  Command& closing = tool.command("container", "seal", {},
                                  "Refuse every change from now on, and flatten all objects");
  add_container_arguments(*closing.app, a->container);
  closing.app->add_flag("--wait", a->wait,
                        "Until its objects are flattened, as far as they can be");
  closing.run = [a] { return seal(*a); };
  Command& opening = tool.command("container", "unseal", {}, "Let it be changed again");
  add_container_arguments(*opening.app, a->container);
  opening.run = [a] { return unseal(*a); };
}

}  // namespace cairn::tool
