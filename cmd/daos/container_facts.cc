// What `daos cont create` and `daos cont query` tell of a container.
#include <uuid/uuid.h>

#include <cerrno>
#include <ctime>

#include "cmd/daos/container.h"
#include "cmd/tool/format.h"

namespace cairn::tool {

std::string epoch_time(uint64_t epoch) {
  timespec at{};
  if (epoch == 0 || daos_hlc2timespec(epoch, &at) != 0) return time_text(0);
  return time_text(static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 +
                   static_cast<uint64_t>(at.tv_nsec));
}

std::string epoch_hex(uint64_t epoch) {
  char hex[32];
  std::snprintf(hex, sizeof hex, "0x%llx", static_cast<unsigned long long>(epoch));
  return hex;
}

namespace {

std::string epoch_row(uint64_t epoch) { return epoch_time(epoch) + " (" + epoch_hex(epoch) + ")"; }

std::string class_name(daos_oclass_id_t id) {
  if (id == 0) return "";
  char name[MAX_OBJ_CLASS_NAME_LEN + 1];
  return daos_oclass_id2name(id, name) == 0 ? name : "";
}

/// Chunk size, classes and hints, which the mount knows.
void add_posix(const Pool& pool, const Cont& cont, ContainerFacts& facts) {
  std::optional<FileSystem> fs;
  dfs_attr_t attr{};
  if (FileSystem::mount(pool, cont, O_RDONLY, fs) != 0) return;
  if (dfs_query(fs->get(), &attr) != 0) return;
  facts.posix = true;
  facts.chunk_bytes = attr.da_chunk_size;
  facts.mode = attr.da_mode;
  facts.oclass = class_name(attr.da_oclass_id);
  facts.dir_oclass = class_name(attr.da_dir_oclass_id);
  facts.file_oclass = class_name(attr.da_file_oclass_id);
  facts.hints = attr.da_hints;
}

}  // namespace

int der_of_errno(int number) {
  switch (number) {
    case 0: return 0;
    case EEXIST: return -DER_EXIST;
    case ENOENT: return -DER_NONEXIST;
    case EINVAL: return -DER_INVAL;
    case EPERM: case EACCES: return -DER_NO_PERM;
    case ENOSPC: return -DER_NOSPACE;
    case ENOMEM: return -DER_NOMEM;
    case EBUSY: return -DER_BUSY;
    case EIO: return -DER_IO;
    case ENOTSUP: return -DER_NOTSUPPORTED;
    case ENOSYS: return -DER_NOSYS;
    default: return -DER_MISC;
  }
}

std::expected<ContainerFacts, Failure> container_facts(const Pool& pool, const Cont& cont) {
  ContainerFacts facts;
  daos_cont_info_t info{};
  daos_prop_t* props = daos_prop_alloc(4);
  if (props == nullptr) return failure("failed to query container", -DER_NOMEM);
  constexpr uint32_t kTypes[] = {DAOS_PROP_CO_LABEL, DAOS_PROP_CO_LAYOUT_TYPE,
                                 DAOS_PROP_CO_REDUN_FAC, DAOS_PROP_CO_STATUS};
  for (int i = 0; i < 4; ++i) props->dpp_entries[i].dpe_type = kTypes[i];
  int rc = daos_cont_query(cont.handle(), &info, props, nullptr);
  daos_pool_info_t pool_info{};
  if (rc == 0) rc = daos_pool_query(pool.handle(), nullptr, &pool_info, nullptr, nullptr);
  if (rc == 0) rc = cairn_cont_worm_query(cont.handle(), &facts.worm);
  if (rc == 0) {
    const daos_prop_entry* const entries = props->dpp_entries;
    const bool labelled = daos_prop_is_set(&props->dpp_entries[0]) &&
                          entries[0].dpe_str != nullptr &&
                          std::string(entries[0].dpe_str) != DAOS_PROP_CO_LABEL_DEFAULT;
    if (labelled) facts.label = entries[0].dpe_str;
    facts.type = layout_text(entries[1].dpe_val);
    facts.redundancy = entries[2].dpe_val;
    daos_co_status status{};
    daos_prop_val_2_co_status(entries[3].dpe_val, &status);
    facts.healthy = status.dcs_status == DAOS_PROP_CO_HEALTHY;
    if (entries[1].dpe_val == DAOS_PROP_CO_LAYOUT_POSIX) add_posix(pool, cont, facts);
  }
  daos_prop_free(props);
  if (rc != 0) return failure("failed to query container", rc);
  char uuid[DAOS_UUID_STR_SIZE];
  uuid_unparse_lower(info.ci_uuid, uuid);
  facts.uuid = uuid;
  uuid_unparse_lower(pool_info.pi_uuid, uuid);
  facts.pool_uuid = uuid;
  facts.handles = info.ci_nhandles;
  facts.snapshots = info.ci_nsnapshots;
  facts.opened = info.ci_md_otime;
  facts.modified = info.ci_md_mtime;
  facts.snapshot = info.ci_lsnapshot;
  return facts;
}

Json facts_json(const ContainerFacts& facts) {
  Json out{{"pool_uuid", facts.pool_uuid}, {"container_uuid", facts.uuid}};
  if (!facts.label.empty()) out["container_label"] = facts.label;
  if (facts.snapshot != 0) out["latest_snapshot"] = facts.snapshot;
  out["redundancy_factor"] = facts.redundancy;
  out["num_handles"] = facts.handles;
  out["num_snapshots"] = facts.snapshots;
  out["container_type"] = facts.type;
  out["health"] = facts.healthy ? "HEALTHY" : "UNCLEAN";
  if (facts.posix) {
    out["chunk_size"] = facts.chunk_bytes;
    if (!facts.oclass.empty()) out["object_class"] = facts.oclass;
    if (!facts.dir_oclass.empty()) out["dir_object_class"] = facts.dir_oclass;
    if (!facts.file_oclass.empty()) out["file_object_class"] = facts.file_oclass;
    if (facts.mode != 0) out["cons_mode"] = facts.mode;
    if (!facts.hints.empty()) out["hints"] = facts.hints;
  }
  if (facts.opened != 0) out["open_time"] = epoch_time(facts.opened);
  if (facts.modified != 0) out["close_modify_time"] = epoch_time(facts.modified);
  if (facts.worm.cw_seal != CAIRN_SEAL_NONE) out["seal"] = seal_json(facts.worm);
  return out;
}

std::vector<std::pair<std::string, std::string>> facts_rows(const ContainerFacts& facts) {
  static constexpr size_t kWidth = sizeof "Container redundancy factor " - 1;
  std::vector<std::pair<std::string, std::string>> rows;
  const auto add = [&rows](const char* name, const std::string& value) {
    std::string padded = name;
    padded.resize(std::max(kWidth, padded.size()), ' ');
    rows.emplace_back(padded, value);
  };
  add("Container UUID", facts.uuid);
  if (!facts.label.empty()) add("Container Label", facts.label);
  add("Container Type", facts.type);
  add("Pool UUID", facts.pool_uuid);
  add("Container redundancy factor", std::to_string(facts.redundancy));
  add("Number of open handles", std::to_string(facts.handles));
  add("Latest open time", epoch_row(facts.opened));
  add("Latest close/modify time", epoch_row(facts.modified));
  add("Number of snapshots", std::to_string(facts.snapshots));
  if (facts.snapshot != 0) {
    add("Latest Persistent Snapshot",
        epoch_hex(facts.snapshot) + " (" + epoch_time(facts.snapshot) + ")");
  }
  for (const auto& [name, value] : seal_rows(facts.worm)) add(name.c_str(), value);
  if (!facts.posix) return rows;
  if (!facts.oclass.empty()) add("Object Class", facts.oclass);
  if (!facts.dir_oclass.empty()) add("Dir Object Class", facts.dir_oclass);
  if (!facts.file_oclass.empty()) add("File Object Class", facts.file_oclass);
  if (!facts.hints.empty()) add("Hints", facts.hints);
  add("Chunk Size", iec_bytes(facts.chunk_bytes));
  return rows;
}

}  // namespace cairn::tool
