// cairn_bench [--rounds N] [--seconds S] [--smoke] [--alone] [--dir DIR] [--list] [CASE...]: see
// docs/benchmarks.md. A CASE is a name or its beginning.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "bench/counters.h"
#include "bench/harness.h"

namespace cairn::bench {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void die(const std::string& what) {
  std::fprintf(stderr, "bench: %s\n", what.c_str());
  std::exit(1);
}

double rate_of(double seconds, uint64_t per_step, const std::function<void()>& step) {
  const double begin = now_seconds();
  uint64_t done = 0;
  double gone = 0;
  do {
    step();
    done += per_step;
    gone = now_seconds() - begin;
  } while (gone < seconds);
  return static_cast<double>(done) / gone;
}

namespace {

double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  return v.size() % 2 == 1 ? v[v.size() / 2] : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
}

void print_line(const Run& run, double ours, const std::string& peer, double theirs, double ratio,
                const std::string& extra) {
  std::printf(
      "{\"case\": \"%s\", \"ours\": %.4g, \"unit\": \"%s\", \"peer\": \"%s\", \"theirs\": %.4g, "
      "\"ratio\": %.3f%s%s}\n",
      run.name.c_str(), ours, run.unit.c_str(), peer.c_str(), theirs, ratio,
      extra.empty() ? "" : ", ", extra.c_str());
  std::fflush(stdout);
}

}  // namespace

namespace {

/// One side over all rounds.
struct Tally {
  std::vector<double> rates;
  double operations = 0;
  Counters used;

  void round(const Side& side, const std::function<void()>& settle = {}) {
    const Counters before = Counters::now();
    const double begin = now_seconds();
    rates.push_back(side());
    operations += rates.back() * (now_seconds() - begin);
    if (settle) settle();
    used += Counters::now() - before;
  }
  /// JSON members, each name with `prefix` before it.
  std::string members(const char* prefix) const {
    const double n = std::max(1.0, operations);
    char text[400];
    std::snprintf(text, sizeof text,
                  "\"%scpu_us_per_op\": %.2f, \"%sallocations_per_op\": %.1f, "
                  "\"%ssleeps_per_op\": %.2f, \"%sdisk_read_bytes_per_op\": %.0f, "
                  "\"%sdisk_write_bytes_per_op\": %.0f",
                  prefix, used.cpu_seconds * 1e6 / n, prefix,
                  static_cast<double>(used.allocations) / n, prefix,
                  static_cast<double>(used.switches) / n, prefix,
                  static_cast<double>(used.disk_read_bytes) / n, prefix,
                  static_cast<double>(used.disk_write_bytes) / n);
    return text;
  }
};

}  // namespace

namespace {

/// What rounds say about the ratio of two sides.
struct Verdict {
  std::vector<double> ratios;
  double middle = 0;  // of their rates
  int dropped = 0;

  Verdict(const Tally& our, const Tally& their) : middle(median(their.rates)) {
    for (size_t k = 0; k < our.rates.size(); ++k) {
      if (std::abs(their.rates[k] - middle) > 0.25 * middle) {
        ++dropped;
      } else {
        ratios.push_back(our.rates[k] / their.rates[k]);
      }
    }
    if (!ratios.empty()) return;
    // An even count of rounds, none near the middle.
    for (size_t k = 0; k < our.rates.size(); ++k) ratios.push_back(our.rates[k] / their.rates[k]);
  }
};

}  // namespace

void Run::compare(const Side& ours, const Peer& peer, const Extra& extra) {
  compare_all(ours, {peer}, extra);
}

void Run::compare_all(const Side& ours, const std::vector<Peer>& peers, const Extra& extra) {
  Tally our;
  std::vector<Tally> their(peers.size());
  const int n = smoke ? 1 : rounds;
  if (alone) {
    for (int i = 0; i < n; ++i) our.round(ours);
    const std::string beside = extra ? ", " + extra(our.operations) : "";
    report_count("", median(our.rates), unit, our.members("") + beside);
    return;
  }
  for (int i = 0; i < n; ++i) {
    our.round(ours);
    for (size_t p = 0; p < peers.size(); ++p) their[p].round(peers[p].run, peers[p].settle);
  }
  const std::string beside = extra ? ", " + extra(our.operations) : "";
  const std::string whole_name = name;
  for (size_t p = 0; p < peers.size(); ++p) {
    const Verdict verdict(our, their[p]);
    const auto [low, high] = std::minmax_element(verdict.ratios.begin(), verdict.ratios.end());
    char more[160];
    std::snprintf(more, sizeof more,
                  "\"ratio_min\": %.3f, \"ratio_max\": %.3f, \"rounds\": %d, "
                  "\"rounds_dropped\": %d, ",
                  *low, *high, n, verdict.dropped);
    const std::string members = more + our.members("") + ", " + their[p].members("peer_");
    if (p != 0) name = whole_name + ".vs-" + peers[p].name;
    print_line(*this, median(our.rates), peers[p].name, verdict.middle, median(verdict.ratios),
               p == 0 ? members + beside : members);
  }
  name = whole_name;
}

void Run::report(double ours, const std::string& peer, double theirs, const std::string& extra) {
  print_line(*this, ours, peer, theirs, ours / theirs, extra);
}

void Run::report_count(const std::string& part, double ours, const std::string& unit_of_it,
                       const std::string& extra) {
  std::printf("{\"case\": \"%s%s\", \"ours\": %.4g, \"unit\": \"%s\", \"ratio\": null%s%s}\n",
              name.c_str(), part.c_str(), ours, unit_of_it.c_str(), extra.empty() ? "" : ", ",
              extra.c_str());
  std::fflush(stdout);
}

namespace {

struct Arguments {
  Run defaults;
  std::string parent = std::filesystem::current_path() / "build";
  bool list = false;
  std::vector<std::string> wanted;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  const auto value = [&](int& i) -> const char* {
    if (i + 1 == argc) die(std::string(argv[i]) + " needs a value");
    return argv[++i];
  };
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--rounds")
      a.defaults.rounds = std::max(1, std::atoi(value(i)));
    else if (arg == "--seconds")
      a.defaults.seconds = std::atof(value(i));
    else if (arg == "--smoke")
      a.defaults.smoke = true;
    else if (arg == "--alone")
      a.defaults.alone = true;
    else if (arg == "--dir")
      a.parent = value(i);
    else if (arg == "--list")
      a.list = true;
    else if (arg.starts_with("-"))
      die("unknown option " + arg + "; see docs/benchmarks.md");
    else
      a.wanted.push_back(arg);
  }
  if (a.defaults.smoke) a.defaults.seconds = 0.05;
  return a;
}

int run_all(const Arguments& a) {
  std::vector<Case> cases;
  add_store_cases(cases);
  add_data_cases(cases);
  add_store_time_cases(cases);
  add_capacity_cases(cases);
  add_memory_case(cases);
  add_client_cases(cases);
  add_net_cases(cases);
  add_net_many_cases(cases);
  add_file_cases(cases);
  add_layout_cases(cases);
  add_worm_cases(cases);
  bool found = a.wanted.empty();
  for (const Case& c : cases) {
    const bool wanted =
        a.wanted.empty() || std::any_of(a.wanted.begin(), a.wanted.end(),
                                        [&](auto& w) { return c.name.starts_with(w); });
    if (!wanted) continue;
    found = true;
    if (a.list) {
      std::printf("%s\n", c.name.c_str());
      continue;
    }
    std::string directory = a.parent + "/cairn-bench-XXXXXX";
    std::filesystem::create_directories(a.parent);
    if (mkdtemp(directory.data()) == nullptr) die("cannot make " + directory);
    Run run = a.defaults;
    run.directory = directory;
    run.name = c.name;
    run.unit = c.unit;
    c.body(run);
    std::filesystem::remove_all(directory);
  }
  if (!found) die("no such case; --list prints them");
  return 0;
}

}  // namespace

}  // namespace cairn::bench

int main(int argc, char** argv) { return cairn::bench::run_all(cairn::bench::parse(argc, argv)); }
