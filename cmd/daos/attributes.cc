// User attributes of pools and containers: list-attr, get-attr, set-attr, del-attr.
#include <cstring>
#include <memory>

#include "cmd/daos/daos.h"
#include "cmd/tool/format.h"

namespace cairn::tool {

namespace {

/// A pool or a container, opened, and what is left of the command line.
struct Owner {
  std::optional<Session> session;
  std::optional<Pool> pool;
  std::optional<Cont> cont;
  std::string shown;   // "container tc1"
  std::string kind;    // "container"
  std::string name;    // "tc1"
  std::vector<std::string> rest;
};

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::expected<Owner, Failure> open_owner(const ContainerArguments& arguments, bool of_pools,
                                         bool read_only) {
  Owner owner;
  owner.kind = of_pools ? "pool" : "container";
  if (!of_pools) {
    auto name = container_name(arguments);
    if (!name) return std::unexpected(name.error());
    auto open = open_container(*name, read_only);
    if (!open) return std::unexpected(open.error());
    owner.session.emplace(std::move(open->session));
    owner.pool.emplace(std::move(*open->pool));
    owner.cont.emplace(std::move(*open->cont));
    owner.name = name->shown;
    owner.rest = name->rest;
  } else {
    if (arguments.words.empty()) return refuse("no pool label or UUID supplied");
    owner.name = arguments.words[0];
    owner.rest.assign(arguments.words.begin() + 1, arguments.words.end());
    auto session = Session::start();
    if (!session) return std::unexpected(session.error());
    owner.session.emplace(std::move(*session));
    const int rc = Pool::connect(owner.name, read_only ? DAOS_PC_RO : DAOS_PC_RW, owner.pool);
    if (rc != 0) {
      return failure("failed to connect to pool " + owner.name + ": failed to connect to pool",
                     rc);
    }
  }
  owner.shown = owner.kind + " " + owner.name;
  return owner;
}

int list_names(const Owner& owner, std::vector<std::string>& names) {
  std::vector<char> text(4096);
  for (;;) {
    size_t size = text.size();
    const int rc = owner.cont
                       ? daos_cont_list_attr(owner.cont->handle(), text.data(), &size, nullptr)
                       : daos_pool_list_attr(owner.pool->handle(), text.data(), &size, nullptr);
    if (rc != 0) return rc;
    if (size <= text.size()) {
      for (size_t at = 0; at < size; at += names.back().size() + 1) {
        names.emplace_back(text.data() + at);
      }
      return 0;
    }
    text.assign(size, 0);
  }
}

/// Reads the values of `names`; sizes first. @returns 0 or a negative DER code
int get_values(const Owner& owner, const std::vector<std::string>& names, Pairs& pairs) {
  std::vector<const char*> keys;
  for (const std::string& name : names) keys.push_back(name.c_str());
  std::vector<size_t> sizes(names.size(), 0);
  std::vector<void*> buffers(names.size(), nullptr);
  const auto get = [&] {
    const int n = static_cast<int>(keys.size());
    return owner.cont ? daos_cont_get_attr(owner.cont->handle(), n, keys.data(), buffers.data(),
                                           sizes.data(), nullptr)
                      : daos_pool_get_attr(owner.pool->handle(), n, keys.data(), buffers.data(),
                                           sizes.data(), nullptr);
  };
  int rc = get();
  if (rc != 0) return rc;
  std::vector<std::string> values;
  for (const size_t size : sizes) {
    if (size == 0) return -DER_NONEXIST;
    values.emplace_back(size, '\0');
  }
  for (size_t i = 0; i < values.size(); ++i) buffers[i] = values[i].data();
  rc = get();
  if (rc != 0) return rc;
  for (size_t i = 0; i < values.size(); ++i) {
    values[i].resize(std::min(values[i].size(), sizes[i]));
    pairs.emplace_back(names[i], values[i]);
  }
  return 0;
}

std::string base64(const std::string& bytes) {
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      out += i + j > bytes.size() ? '=' : kDigits[group >> (18 - 6 * j) & 63];
    }
  }
  return out;
}

std::string pairs_text(const Owner& owner, const Pairs& pairs, bool values) {
  std::string text = "Attributes for " + owner.shown + ":\n";
  if (pairs.empty()) return text + "  No attributes found.\n";
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, value] : pairs) {
    rows.push_back(values ? std::vector<std::string>{name, value}
                          : std::vector<std::string>{name});
  }
  return text + table(values ? std::vector<std::string>{"Name", "Value"}
                             : std::vector<std::string>{"Name"}, rows);
}

Outcome list(const ContainerArguments& arguments, bool of_pools, bool verbose) {
  auto owner = open_owner(arguments, of_pools, true);
  if (!owner) return std::unexpected(owner.error());
  const std::string doing = "failed to list attributes for " + owner->shown;
  std::vector<std::string> names;
  int rc = list_names(*owner, names);
  if (rc != 0) return failure(doing, rc);
  Pairs pairs;
  if (verbose && !names.empty()) {
    rc = get_values(*owner, names, pairs);
    if (rc != 0) return failure(doing, rc);
    Json response = Json::object();
    for (const auto& [name, value] : pairs) response[name] = base64(value);
    return Reply{pairs_text(*owner, pairs, true), response};
  }
  for (const std::string& name : names) pairs.emplace_back(name, "");
  return Reply{pairs_text(*owner, pairs, false), Json(names)};
}

Outcome get(const ContainerArguments& arguments, bool of_pools) {
  auto owner = open_owner(arguments, of_pools, true);
  if (!owner) return std::unexpected(owner.error());
  const std::string doing = "failed to get attributes for " + owner->shown;
  std::vector<std::string> names;
  const bool all = owner->rest.empty();
  int rc = 0;
  if (all) {
    rc = list_names(*owner, names);
    if (rc != 0) return failure(doing, rc);
  } else {
    names = parse_keys(owner->rest[0]);
  }
  Pairs pairs;
  rc = names.empty() ? 0 : get_values(*owner, names, pairs);
  if (rc != 0) {
    return failure(doing + ": failed to get " + owner->kind + " attribute sizes", rc);
  }
  Json response = Json::array();
  for (const auto& [name, value] : pairs) {
    response.push_back({{"name", name}, {"value", base64(value)}});
  }
  if (!all && pairs.size() == 1) response = Json(response[0]);
  return Reply{pairs_text(*owner, pairs, true), response};
}

Outcome set(const ContainerArguments& arguments, bool of_pools) {
  auto owner = open_owner(arguments, of_pools, false);
  if (!owner) return std::unexpected(owner.error());
  if (owner->rest.empty()) return refuse("attribute name and value are required");
  std::string problem;
  const auto pairs = parse_pairs(owner->rest[0], &problem);
  if (!pairs) return refuse("invalid property " + problem);
  std::vector<const char*> names;
  std::vector<const void*> values;
  std::vector<size_t> sizes;
  for (const auto& [name, value] : *pairs) {
    names.push_back(name.c_str());
    values.push_back(value.data());
    sizes.push_back(value.size());
  }
  const int n = static_cast<int>(names.size());
  const int rc = owner->cont
                     ? daos_cont_set_attr(owner->cont->handle(), n, names.data(), values.data(),
                                          sizes.data(), nullptr)
                     : daos_pool_set_attr(owner->pool->handle(), n, names.data(), values.data(),
                                          sizes.data(), nullptr);
  if (rc != 0) return failure("failed to set attributes for " + owner->shown, rc);
  return Reply{"Attributes successfully set on " + owner->kind + " \"" + owner->name + "\"\n",
               nullptr};
}

Outcome del(const ContainerArguments& arguments, bool of_pools) {
  auto owner = open_owner(arguments, of_pools, false);
  if (!owner) return std::unexpected(owner.error());
  if (owner->rest.empty()) return refuse("attribute name is required");
  const auto keys = parse_keys(owner->rest[0]);
  std::vector<const char*> names;
  for (const std::string& key : keys) names.push_back(key.c_str());
  const int n = static_cast<int>(names.size());
  const int rc = owner->cont
                     ? daos_cont_del_attr(owner->cont->handle(), n, names.data(), nullptr)
                     : daos_pool_del_attr(owner->pool->handle(), n, names.data(), nullptr);
  if (rc != 0) return failure("failed to delete attributes for " + owner->shown, rc);
  return Reply{"Attribute(s) " + owner->rest[0] + " successfully deleted on " + owner->kind +
                   " \"" + owner->name + "\"\n", nullptr};
}

}  // namespace

void add_attribute_commands(Tool& tool, bool of_pools) {
  const std::string resource = of_pools ? "pool" : "container";
  auto arguments = std::make_shared<ContainerArguments>();
  const auto add = [&](const char* name, const std::vector<std::string>& aliases,
                       const char* description) -> Command& {
    Command& command = tool.command(resource, name, aliases, description);
    if (of_pools) {
      command.app->add_option("arguments", arguments->words,
                              "The pool, then the command's own arguments");
    } else {
      add_container_arguments(*command.app, *arguments);
    }
    return command;
  };
  auto verbose = std::make_shared<bool>(false);
  Command& list_command =
      add("list-attr", {"list-attrs", "lsattr"}, "List user attributes");
  list_command.app->add_flag("-V,--verbose", *verbose, "With values");
  list_command.run = [=] { return list(*arguments, of_pools, *verbose); };
  add("get-attr", {"getattr"}, "Show user attributes: key[,key...] or all").run = [=] {
    return get(*arguments, of_pools);
  };
  add("set-attr", {"setattr"}, "Set user attributes: key:val[,key:val...]").run = [=] {
    return set(*arguments, of_pools);
  };
  add("del-attr", {"delattr"}, "Delete user attributes: key[,key...]").run = [=] {
    return del(*arguments, of_pools);
  };
}

}  // namespace cairn::tool
