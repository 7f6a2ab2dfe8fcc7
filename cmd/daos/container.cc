// daos cont create|list|query|destroy|link.
#include <daos_uns.h>
#include <uuid/uuid.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "cmd/daos/container.h"
#include "cmd/daos/daos.h"
#include "cmd/tool/format.h"
#include "daos_obj_class.h"

namespace cairn::tool {

std::unexpected<Failure> bad_flag(const char* flag, const char* kind, const std::string& why) {
  return refuse("invalid argument for flag `" + std::string(flag) + "' (expected main." + kind +
                "): " + why);
}

std::expected<void, Failure> parse_class(const char* flag, const std::string& text,
                                         daos_oclass_id_t& out) {
  if (text.empty()) return {};
  const int id = daos_oclass_name2id(text.c_str());
  if (id == 0) return bad_flag(flag, "ObjClassFlag", "unknown object class \"" + text + "\"");
  out = static_cast<daos_oclass_id_t>(id);
  return {};
}

std::unexpected<Failure> bad_chunk_size(const std::string& text) {
  return bad_flag("-z, --chunk-size", "ChunkSizeFlag", "invalid chunk-size \"" + text + "\"");
}

namespace {

struct CreateArguments {
  std::vector<std::string> words;
  std::string type, path, chunk, oclass, dir_oclass, file_oclass, hints, properties, mode, acl,
      group, attrs;
};

/// What of the arguments stands once they are parsed.
struct CreatePlan {
  uint16_t layout = DAOS_PROP_CO_LAYOUT_UNKNOWN;
  dfs_attr_t dfs{};
  PropertyList properties;
  std::vector<std::pair<std::string, std::string>> attributes;
  std::string label;
};

std::expected<void, Failure> parse_posix(const CreateArguments& a, CreatePlan& plan) {
  if (!a.chunk.empty()) {
    const auto bytes = parse_size(a.chunk);
    if (!bytes) return bad_chunk_size(a.chunk);
    plan.dfs.da_chunk_size = *bytes;
  }
  if (auto ok = parse_class("-o, --oclass", a.oclass, plan.dfs.da_oclass_id); !ok) return ok;
  if (auto ok = parse_class("-d, --dir-oclass", a.dir_oclass, plan.dfs.da_dir_oclass_id); !ok) {
    return ok;
  }
  if (auto ok = parse_class("-f, --file-oclass", a.file_oclass, plan.dfs.da_file_oclass_id); !ok) {
    return ok;
  }
  if (a.mode == "balanced") {
    plan.dfs.da_mode = DFS_BALANCED;
  } else if (!a.mode.empty() && a.mode != "relaxed") {
    return bad_flag("-M, --mode", "ConsModeFlag",
                    "unknown consistency mode \"" + a.mode + "\" (valid: relaxed, balanced)");
  }
  if (a.hints.size() >= sizeof plan.dfs.da_hints) return refuse("hints are too long");
  std::memcpy(plan.dfs.da_hints, a.hints.c_str(), a.hints.size() + 1);
  return {};
}

std::expected<CreatePlan, Failure> parse_create(const CreateArguments& a) {
  CreatePlan plan;
  if (!a.type.empty()) {
    const auto layout = layout_of(a.type);
    if (!layout) {
      return bad_flag("-t, --type", "ContTypeFlag",
                      "unknown container layout \"" + a.type + "\"");
    }
    plan.layout = *layout;
  }
  if (auto ok = parse_posix(a, plan); !ok) return std::unexpected(ok.error());
  auto properties = parse_properties(a.properties, &plan.label);
  if (!properties) return std::unexpected(properties.error());
  plan.properties = std::move(*properties);
  if (a.words.size() > 1) {
    if (!plan.label.empty()) return refuse("can't supply label arg and --properties label:");
    plan.label = a.words[1];
  }
  if (a.words.size() > 2) return refuse("too many arguments: " + a.words[2]);
  if (!plan.label.empty() && !daos_label_is_valid(plan.label.c_str())) {
    return refuse("invalid label \"" + plan.label + "\"");
  }
  if (!a.attrs.empty()) {
    std::string problem;
    auto pairs = parse_pairs(a.attrs, &problem);
    if (!pairs) return refuse("invalid attribute " + problem);
    plan.attributes = std::move(*pairs);
  }
  return plan;
}

/// Makes the container. @returns 0 or a negative DER code; an errno of libdfs becomes one.
int make(const Pool& pool, CreatePlan& plan, const std::string& path, uuid_t* uuid) {
  const char* label = plan.label.empty() ? nullptr : plan.label.c_str();
  daos_prop_t* properties = plan.properties.get();
  if (!path.empty()) {
    duns_attr_t attr{};
    attr.da_type = plan.layout;
    attr.da_oclass_id = plan.dfs.da_oclass_id;
    attr.da_dir_oclass_id = plan.dfs.da_dir_oclass_id;
    attr.da_file_oclass_id = plan.dfs.da_file_oclass_id;
    attr.da_chunk_size = plan.dfs.da_chunk_size;
    if (label != nullptr) plan.properties.add_text(DAOS_PROP_CO_LABEL, plan.label);
    attr.da_props = plan.properties.get();
    std::memcpy(attr.da_hints, plan.dfs.da_hints, sizeof attr.da_hints);
    const int rc = duns_create_path(pool.handle(), path.c_str(), &attr);
    if (rc == 0) uuid_copy(*uuid, attr.da_cuuid);
    return rc == 0 ? 0 : der_of_errno(rc);
  }
  if (plan.layout == DAOS_PROP_CO_LAYOUT_POSIX) {
    plan.dfs.da_props = properties;
    const int rc =
        label != nullptr
            ? dfs_cont_create_with_label(pool.handle(), label, &plan.dfs, uuid, nullptr, nullptr)
            : dfs_cont_create(pool.handle(), uuid, &plan.dfs, nullptr, nullptr);
    return der_of_errno(rc);
  }
  if (plan.layout != DAOS_PROP_CO_LAYOUT_UNKNOWN) {
    plan.properties.add(DAOS_PROP_CO_LAYOUT_TYPE, plan.layout);
    properties = plan.properties.get();
  }
  return label != nullptr
             ? daos_cont_create_with_label(pool.handle(), label, properties, uuid, nullptr)
             : daos_cont_create2(pool.handle(), uuid, properties, nullptr);
}

/// Sets the attributes; the new container goes again if that fails.
std::expected<std::string, Failure> set_first_attributes(const Pool& pool, const CreatePlan& plan,
                                                         const std::string& name) {
  if (plan.attributes.empty()) return "";
  std::optional<Cont> cont;
  int rc = Cont::open(pool, name, DAOS_COO_RW, cont);
  if (rc == 0) {
    std::vector<const char*> names;
    std::vector<const void*> values;
    std::vector<size_t> sizes;
    for (const auto& [key, value] : plan.attributes) {
      names.push_back(key.c_str());
      values.push_back(value.data());
      sizes.push_back(value.size());
    }
    rc = daos_cont_set_attr(cont->handle(), static_cast<int>(names.size()), names.data(),
                            values.data(), sizes.data(), nullptr);
  }
  if (rc != 0) {
    cont.reset();
    (void)daos_cont_destroy2(pool.handle(), name.c_str(), 1, nullptr);
    return failure("failed to set attributes of the new container", rc);
  }
  return "Attributes successfully set on container \"" +
         (plan.label.empty() ? name : plan.label) + "\"\n";
}

/// The pool that the parent of --path stands for.
std::expected<std::string, Failure> pool_of_path(const std::string& path) {
  if (path.empty()) return refuse("no pool ID or dfs path supplied");
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  auto at = locate(parent);
  if (!at) return std::unexpected(at.error());
  if (at->native) {
    return refuse("no pool ID supplied, and " + parent + " does not lie in a container");
  }
  return at->pool;
}

Outcome create(const CreateArguments& a) {
  auto plan = parse_create(a);
  if (!plan) return std::unexpected(plan.error());
  if (!a.acl.empty() || !a.group.empty()) {
    return refuse("--acl-file and --group cannot be set yet: a container gets the default ACL and "
                  "the caller's group");
  }
  auto pool_name = a.words.empty() ? pool_of_path(a.path) : a.words[0];
  if (!pool_name) return std::unexpected(pool_name.error());
  auto session = Session::start();
  if (!session) return std::unexpected(session.error());
  std::optional<Pool> pool;
  int rc = Pool::connect(*pool_name, DAOS_PC_RW, pool);
  if (rc != 0) return failure("failed to connect to pool", rc);
  uuid_t uuid;
  rc = make(*pool, *plan, a.path, &uuid);
  if (rc != 0) return failure("failed to create container", rc);
  char name[DAOS_UUID_STR_SIZE];
  uuid_unparse_lower(uuid, name);
  auto attributes_text = set_first_attributes(*pool, *plan, name);
  if (!attributes_text) return std::unexpected(attributes_text.error());
  std::optional<Cont> cont;
  rc = Cont::open(*pool, name, DAOS_COO_RO, cont);
  if (rc != 0) {
    return failure("created container " + std::string(name) + ", but cannot open it", rc);
  }
  auto facts = container_facts(*pool, *cont);
  if (!facts) return std::unexpected(facts.error());
  std::vector<std::pair<std::string, std::string>> rows{{"Container UUID ", facts->uuid}};
  if (!facts->label.empty()) rows.emplace_back("Container Label", facts->label);
  rows.emplace_back("Container Type ", facts->type);
  return Reply{*attributes_text + "Successfully created container " + facts->uuid + " type " +
                   facts->type + "\n" + attributes("", rows) + "\n",
               facts_json(*facts)};
}

Outcome query(const ContainerArguments& arguments) {
  auto name = container_name(arguments);
  if (!name) return std::unexpected(name.error());
  auto open = open_container(*name, true);
  if (!open) return std::unexpected(open.error());
  auto facts = container_facts(*open->pool, *open->cont);
  if (!facts) return std::unexpected(facts.error());
  return Reply{attributes("", facts_rows(*facts)) + "\n", facts_json(*facts)};
}

Outcome destroy(const ContainerArguments& arguments, bool force) {
  auto name = container_name(arguments);
  if (!name) return std::unexpected(name.error());
  const std::string doing = "failed to destroy container " + name->shown;
  auto session = Session::start();
  if (!session) return std::unexpected(session.error());
  std::optional<Pool> pool;
  int rc = Pool::connect(name->pool, DAOS_PC_RW, pool);
  if (rc != 0) return failure(doing + ": failed to connect to pool", rc);
  if (!arguments.path.empty()) {
    rc = duns_destroy_path(pool->handle(), arguments.path.c_str());
    if (rc != 0) return failure_errno(doing, rc);
  } else {
    rc = daos_cont_destroy2(pool->handle(), name->cont.c_str(), force ? 1 : 0, nullptr);
    if (rc != 0) return failure(doing + ": failed to destroy container \"" + name->cont + "\"", rc);
  }
  return Reply{"Successfully destroyed container " + name->shown + "\n", nullptr};
}

Outcome link(const ContainerArguments& arguments) {
  if (arguments.path.empty()) return refuse("the required flag `-p, --path' was not specified");
  if (arguments.words.size() != 2) return refuse("no container label or UUID supplied");
  auto session = Session::start();
  if (!session) return std::unexpected(session.error());
  std::optional<Pool> pool;
  int rc = Pool::connect(arguments.words[0], DAOS_PC_RO, pool);
  if (rc != 0) return failure("failed to connect to pool", rc);
  rc = duns_link_cont(pool->handle(), arguments.words[1].c_str(), arguments.path.c_str());
  if (rc != 0) {
    return failure_errno("failed to link container " + arguments.words[1] + " to " +
                             arguments.path, rc);
  }
  return Reply{"", nullptr};
}

void add_create(Tool& tool) {
  Command& command = tool.command("container", "create", {}, "Create a container");
  auto a = std::make_shared<CreateArguments>();
  CLI::App& app = *command.app;
  app.add_option("arguments", a->words, "Pool (label or UUID), then the new container's label");
  app.add_option("-t,--type", a->type,
                 "POSIX, HDF5, PYTHON, SPARK, DATABASE, ROOT, SEISMIC or METEO");
  app.add_option("-p,--path", a->path, "Make a path that stands for the container");
  app.add_option("-z,--chunk-size", a->chunk, "Bytes per piece of a file (default 1MiB)");
  app.add_option("-o,--oclass", a->oclass, "Object class of files and directories");
  app.add_option("-d,--dir-oclass", a->dir_oclass, "Object class of directories");
  app.add_option("-f,--file-oclass", a->file_oclass, "Object class of files");
  app.add_option("-H,--hints", a->hints, "For example file:single,dir:max");
  app.add_option("--properties", a->properties, "key:val[,key:val...]");
  app.add_option("-M,--mode", a->mode, "relaxed or balanced");
  app.add_option("-A,--acl-file", a->acl, "Not supported yet");
  app.add_option("-g,--group", a->group, "Not supported yet");
  app.add_option("-a,--attrs", a->attrs, "User attributes, key:val[,key:val...]");
  command.run = [a] { return create(*a); };
}

}  // namespace

Outcome list_containers(const std::string& pool_name, bool verbose) {
  auto session = Session::start();
  if (!session) return std::unexpected(session.error());
  std::optional<Pool> pool;
  int rc = Pool::connect(pool_name, DAOS_PC_RO, pool);
  if (rc != 0) {
    return failure("failed to connect to pool " + pool_name + ": failed to connect to pool", rc);
  }
  const std::string doing = "failed to list containers of pool " + pool_name;
  std::vector<daos_pool_cont_info> found(64);
  for (;;) {
    daos_size_t count = found.size();
    rc = daos_pool_list_cont(pool->handle(), &count, found.data(), nullptr);
    if (rc != -DER_TRUNC) {
      found.resize(rc == 0 ? count : 0);
      break;
    }
    found.resize(std::max<size_t>(count, found.size() * 2));
  }
  if (rc != 0) return failure(doing, rc);
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::strcmp(a.pci_label, b.pci_label) < 0;
  });
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows;
  for (const daos_pool_cont_info& info : found) {
    char uuid[DAOS_UUID_STR_SIZE];
    uuid_unparse_lower(info.pci_uuid, uuid);
    list.push_back({{"uuid", uuid}, {"label", info.pci_label}});
    rows.push_back({info.pci_label, uuid});
    if (!verbose) continue;
    std::optional<Cont> cont;
    rc = Cont::open(*pool, uuid, DAOS_COO_RO | DAOS_COO_RO_MDSTATS, cont);
    auto facts = rc == 0 ? container_facts(*pool, *cont)
                         : std::expected<ContainerFacts, Failure>(failure(doing, rc));
    rows.back().push_back(facts ? facts->type : "?");
  }
  std::vector<std::string> header{"Label", "UUID"};
  if (verbose) header.push_back("Layout");
  if (rows.empty()) return Reply{"No containers.\n", list};
  std::string text = "Containers in pool " + pool_name + ":\n";
  const std::string lines = table(header, rows);
  for (size_t at = 0; at < lines.size();) {
    const size_t end = lines.find('\n', at) + 1;
    text += "  " + lines.substr(at, end - at);
    at = end;
  }
  return Reply{text, list};
}

void add_container_commands(Tool& tool) {
  tool.resource("container", {"cont"}, "Containers");
  add_create(tool);

  Command& list_command = tool.command("container", "list", {"ls"}, "List containers of a pool");
  auto pool = std::make_shared<std::string>();
  auto flag = std::make_shared<bool>(false);
  list_command.app->add_option("pool", *pool, "The pool");
  list_command.app->add_flag("-v,--verbose", *flag, "With layouts");
  list_command.run = [pool, flag]() -> Outcome {
    if (pool->empty()) return refuse("no pool label or UUID supplied");
    return list_containers(*pool, *flag);
  };

  auto arguments = std::make_shared<ContainerArguments>();
  Command& query_command = tool.command("container", "query", {}, "Describe a container");
  add_container_arguments(*query_command.app, *arguments);
  query_command.run = [arguments] { return query(*arguments); };

  Command& destroy_command =
      tool.command("container", "destroy", {}, "Destroy a container and everything in it");
  add_container_arguments(*destroy_command.app, *arguments);
  destroy_command.app->add_flag("-f,--force", *flag, "Although it is open");
  destroy_command.run = [arguments, flag] { return destroy(*arguments, *flag); };

  Command& link_command =
      tool.command("container", "link", {}, "Make a path that stands for a container");
  add_container_arguments(*link_command.app, *arguments);
  link_command.run = [arguments] { return link(*arguments); };

  add_property_commands(tool);
  add_attribute_commands(tool, false);
  add_snapshot_commands(tool);
}

}  // namespace cairn::tool
