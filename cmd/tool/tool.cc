#include "cmd/tool/tool.h"

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "daos_errno.h"

namespace cairn::tool {

namespace {

struct StatusText {
  int number;
  const char* name;
  const char* text;
};
#define CAIRN_STATUS(name, desc) {name, #name, #desc},
constexpr StatusText kStatusTexts[] = {D_FOREACH_GURT_ERR(CAIRN_STATUS)
                                           D_FOREACH_DAOS_ERR(CAIRN_STATUS)};
#undef CAIRN_STATUS

}  // namespace

std::string status_text(int status) {
  for (const StatusText& t : kStatusTexts) {
    if (t.number == -status) {
      return std::string(t.name) + "(" + std::to_string(status) + "): " + t.text;
    }
  }
  return "DER_UNKNOWN(" + std::to_string(status) + "): Unknown error code " +
         std::to_string(status);
}

std::unexpected<Failure> failure(const std::string& doing, int status) {
  return std::unexpected(Failure{doing + ": " + status_text(status), status, {}, {}});
}

std::unexpected<Failure> failure(const std::string& doing, const Error& error) {
  return failure(doing, status_of(error));
}

std::unexpected<Failure> failure(const std::string& doing, const Fault& fault, int status) {
  const std::string prefix = std::string(fault.domain) + ": code = " + std::to_string(fault.code);
  return std::unexpected(
      Failure{doing + ": " + prefix + " description = \"" + fault.description + "\"",
              status,
              prefix + " resolution = \"" + fault.resolution + "\"",
              {}});
}

std::unexpected<Failure> refuse(std::string message, int status) {
  return std::unexpected(Failure{std::move(message), status, {}, {}});
}

Tool::Tool(std::string name, std::string description)
    : name_(std::move(name)), app_(std::make_unique<CLI::App>(std::move(description), name_)) {
  app_->add_flag("-j,--json", json_, "print one JSON object on stdout");
  app_->fallthrough();
  app_->require_subcommand(0, 1);
}

Tool::~Tool() = default;

CLI::App& Tool::resource(const std::string& name, const std::vector<std::string>& aliases,
                         const std::string& description) {
  CLI::App* app = app_->add_subcommand(name, description);
  for (const std::string& alias : aliases) app->alias(alias);
  app->fallthrough();
  app->require_subcommand(0, 1);
  resources_[name] = app;
  return *app;
}

Command& Tool::command(const std::string& resource, const std::string& name,
                       const std::vector<std::string>& aliases, const std::string& description) {
  CLI::App* parent = resource.empty() ? app_.get() : resources_.at(resource);
  CLI::App* app = parent->add_subcommand(name, description);
  for (const std::string& alias : aliases) app->alias(alias);
  app->fallthrough();
  auto command = std::make_unique<Command>();
  command->app = app;
  return *(commands_[app] = std::move(command));
}

Command& Tool::adopt(CLI::App* app) {
  commands_.erase(app->get_parent());
  auto command = std::make_unique<Command>();
  command->app = app;
  return *(commands_[app] = std::move(command));
}

const CLI::App* Tool::deepest() const {
  const CLI::App* app = app_.get();
  for (;;) {
    const auto parsed = app->get_subcommands();
    if (parsed.empty()) return app;
    app = parsed.front();
  }
}

namespace {

std::string list_of(const CLI::App* app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(sub->get_name());
  }
  std::sort(names.begin(), names.end());
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? " or " : ", ";
    out += names[i];
  }
  return out;
}

}  // namespace

std::string Tool::parse_message(const CLI::ParseError& error,
                                const std::vector<std::string>& words) const {
  const CLI::App* app = deepest();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    for (const std::string& word : words) {
      if (word.starts_with("-")) {
        std::string flag = word.substr(word.find_first_not_of('-'));
        return "unknown flag `" + flag.substr(0, flag.find('=')) + "'";
      }
    }
    if (!words.empty() && !commands_.contains(app)) {
      return "Unknown command `" + words.front() +
             "'. Please specify one command of: " + list_of(app);
    }
    return "too many arguments: " + (words.empty() ? std::string() : words.front());
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    std::string what = error.what();
    const size_t end = what.find(" is required");
    if (end != std::string::npos) what.resize(end);
    std::replace(what.begin(), what.end(), '_', ' ');
    return "the required argument `<" + what + ">` was not provided";
  }
  return error.what();
}

int Tool::fail(const Failure& failure) {
  if (json_) {
    const Json envelope{
        {"response", failure.response}, {"error", failure.message}, {"status", failure.status}};
    std::printf("%s\n", envelope.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  }
  std::fflush(stdout);
  std::fprintf(stderr, "ERROR: %s: %s\n", name_.c_str(), failure.message.c_str());
  if (!failure.resolution.empty()) {
    std::fprintf(stderr, "ERROR: %s: %s\n", name_.c_str(), failure.resolution.c_str());
  }
  return 1;
}

int Tool::print(const Command& command, const Outcome& outcome) {
  if (!outcome) return fail(outcome.error());
  if (json_) {
    const Json envelope{{"response", outcome->response}, {"error", nullptr}, {"status", 0}};
    std::printf("%s\n", envelope.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else if (!command.prints_itself) {
    std::fwrite(outcome->text.data(), 1, outcome->text.size(), stdout);
  }
  if (std::fflush(stdout) != 0) {
    std::fprintf(stderr, "ERROR: %s: cannot write to stdout\n", name_.c_str());
    return 1;
  }
  return 0;
}

int Tool::main(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::printf("%s", deepest()->help().c_str());
    return 0;
  } catch (const CLI::ParseError& error) {
    // --json counts although parsing ended early.
    json_ = json_ || std::any_of(argv + 1, argv + argc, [](const char* a) {
              return std::string_view(a) == "--json" || std::string_view(a) == "-j";
            });
    return fail({parse_message(error, app_->remaining(true)), kStatusMisc, {}, {}});
  }
  const CLI::App* app = deepest();
  const auto found = commands_.find(app);
  if (found == commands_.end() && app == app_.get() && without_command_) return without_command_();
  if (found == commands_.end()) {
    return fail({"Please specify one command of: " + list_of(app), kStatusMisc, {}, {}});
  }
  return print(*found->second, found->second->run());
}

}  // namespace cairn::tool
