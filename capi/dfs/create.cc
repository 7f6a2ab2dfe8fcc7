// Making POSIX containers.
#include <cstring>
#include <new>

#include "capi/dfs/internal.h"

using namespace cairn;
using namespace cairn::capi;

namespace {

FsResult<cairn::dfs::FormatOptions> options_of(const dfs_attr_t* attr) {
  cairn::dfs::FormatOptions options;
  options.owner = caller();
  if (attr == nullptr) return options;
  options.chunk_bytes = attr->da_chunk_size;
  options.class_id = attr->da_oclass_id;
  options.dir_class_id = attr->da_dir_oclass_id;
  options.file_class_id = attr->da_file_oclass_id;
  options.consistency = attr->da_mode;
  options.hints.assign(attr->da_hints, strnlen(attr->da_hints, sizeof(attr->da_hints)));
  TRY(checked, Mount::check_format(options));
  return options;
}

/// The caller's properties with layout and roots.
FsResult<std::vector<daos_prop_entry>> properties(const daos_prop_t* given,
                                                  daos_prop_co_roots* roots) {
  std::vector<daos_prop_entry> entries;
  for (uint32_t i = 0; given != nullptr && i < given->dpp_nr; ++i) {
    const daos_prop_entry& entry = given->dpp_entries[i];
    if (entry.dpe_type == DAOS_PROP_CO_LAYOUT_TYPE) {
      if (entry.dpe_val != DAOS_PROP_CO_LAYOUT_POSIX) {
        return cairn::dfs::fs_fail(EINVAL, "dfs: the layout property is not POSIX");
      }
      continue;
    }
    if (entry.dpe_type != DAOS_PROP_CO_ROOTS) entries.push_back(entry);
  }
  daos_prop_entry layout{};
  layout.dpe_type = DAOS_PROP_CO_LAYOUT_TYPE;
  layout.dpe_val = DAOS_PROP_CO_LAYOUT_POSIX;
  entries.push_back(layout);
  daos_prop_entry root{};
  root.dpe_type = DAOS_PROP_CO_ROOTS;
  root.dpe_val_ptr = roots;
  entries.push_back(root);
  return entries;
}

FsResult<cairn::dfs::Roots> plan(daos_handle_t poh, const cairn::dfs::FormatOptions& options,
                                 const daos_prop_t* given) {
  TRY(pool, pool_of(poh));
  TRY(info, run_blocking(pool->query()));
  client::Props demands;
  for (uint32_t i = 0; given != nullptr && i < given->dpp_nr; ++i) {
    if (given->dpp_entries[i].dpe_type != DAOS_PROP_CO_REDUN_FAC) continue;
    demands[DAOS_PROP_CO_REDUN_FAC] = given->dpp_entries[i].dpe_val;
  }
  // A container that is made now is on all of its pool.
  const model::PoolShape whole{.domains = info.engine_count, .targets = info.target_count};
  return Mount::plan_roots(options, Mount::shape_of(info, whole, demands));
}

/// Creates, opens read-write and fills. What was begun is taken back if a step fails.
int create(daos_handle_t poh, const char* label, dfs_attr_t* attr, uuid_t* uuid,
           daos_handle_t* coh) {
  const auto options = options_of(attr);
  if (!options) return options.error().number();
  const auto roots = plan(poh, *options, attr == nullptr ? nullptr : attr->da_props);
  if (!roots) return roots.error().number();
  const Bytes packed = Mount::encode_roots(*roots);
  daos_prop_co_roots oids;
  static_assert(sizeof(oids) == sizeof(cairn::dfs::RootsRecord));
  std::memcpy(&oids, packed.data(), sizeof(oids));
  auto entries = properties(attr == nullptr ? nullptr : attr->da_props, &oids);
  if (!entries) return entries.error().number();
  daos_prop_t prop{};
  prop.dpp_nr = static_cast<uint32_t>(entries->size());
  prop.dpp_entries = entries->data();

  uuid_t made;
  const int rc = label != nullptr ? daos_cont_create_with_label(poh, label, &prop, &made, nullptr)
                                  : daos_cont_create2(poh, &made, &prop, nullptr);
  if (rc != 0) return errno_of_der(rc);
  char text[DAOS_UUID_STR_SIZE];
  uuid_unparse_lower(made, text);
  daos_handle_t opened{};
  int result = errno_of_der(daos_cont_open2(poh, text, DAOS_COO_RW, &opened, nullptr, nullptr));
  if (result == 0) {
    const auto container = container_of(opened);
    result = !container ? EIO
                        : capi::errno_of(run_fs(Mount::format(**container, *roots, *options)));
    if (result != 0) (void)daos_cont_close(opened, nullptr);
  }
  if (result != 0) {
    (void)daos_cont_destroy2(poh, text, 1, nullptr);
    return result;
  }
  if (uuid != nullptr) uuid_copy(*uuid, made);
  *coh = opened;
  return 0;
}

int create_and_mount(daos_handle_t poh, const char* label, dfs_attr_t* attr, uuid_t* uuid,
                     daos_handle_t* coh, dfs_t** dfs) {
  if (dfs != nullptr && coh == nullptr) return EINVAL;
  if (dfs != nullptr && attr != nullptr && attr->da_mode == DFS_BALANCED) return EPERM;
  daos_handle_t opened{};
  int rc = create(poh, label, attr, uuid, &opened);
  if (rc != 0) return rc;
  if (dfs != nullptr) rc = mount_container(poh, opened, O_RDWR, dfs);
  if (coh != nullptr && rc == 0) {
    *coh = opened;
    return 0;
  }
  (void)daos_cont_close(opened, nullptr);
  return rc;
}

}  // namespace

int dfs_cont_create(daos_handle_t poh, uuid_t* uuid, dfs_attr_t* attr, daos_handle_t* coh,
                    dfs_t** dfs) try {
  if (uuid == nullptr) return EINVAL;
  return create_and_mount(poh, nullptr, attr, uuid, coh, dfs);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

int dfs_cont_create_with_label(daos_handle_t poh, const char* label, dfs_attr_t* attr, uuid_t* uuid,
                               daos_handle_t* coh, dfs_t** dfs) try {
  if (label == nullptr) return EINVAL;
  return create_and_mount(poh, label, attr, uuid, coh, dfs);
} catch (const std::bad_alloc&) {
  return ENOMEM;
}
