// Functions under the names that programs linked with before the headers renamed them, and those
// that other libraries of the reference held.
#include <daos.h>

#include <cctype>
#include <cstdlib>
#include <cstring>

#undef daos_pool_connect
#undef daos_cont_create
#undef daos_cont_open
#undef daos_cont_destroy
#undef daos_obj_generate_oid

extern "C" {

int daos_pool_connect(const char* pool, const char* sys, unsigned int flags, daos_handle_t* poh,
                      daos_pool_info_t* info, daos_event_t* ev);
int daos_pool_connect(const char* pool, const char* sys, unsigned int flags, daos_handle_t* poh,
                      daos_pool_info_t* info, daos_event_t* ev) {
  return daos_pool_connect2(pool, sys, flags, poh, info, ev);
}

int daos_cont_create(daos_handle_t poh, uuid_t* uuid, daos_prop_t* cont_prop, daos_event_t* ev);
int daos_cont_create(daos_handle_t poh, uuid_t* uuid, daos_prop_t* cont_prop, daos_event_t* ev) {
  return daos_cont_create2(poh, uuid, cont_prop, ev);
}

int daos_cont_open(daos_handle_t poh, const char* cont, unsigned int flags, daos_handle_t* coh,
                   daos_cont_info_t* info, daos_event_t* ev);
int daos_cont_open(daos_handle_t poh, const char* cont, unsigned int flags, daos_handle_t* coh,
                   daos_cont_info_t* info, daos_event_t* ev) {
  return daos_cont_open2(poh, cont, flags, coh, info, ev);
}

int daos_cont_destroy(daos_handle_t poh, const char* cont, int force, daos_event_t* ev);
int daos_cont_destroy(daos_handle_t poh, const char* cont, int force, daos_event_t* ev) {
  return daos_cont_destroy2(poh, cont, force, ev);
}

int daos_obj_generate_oid(daos_handle_t coh, daos_obj_id_t* oid, enum daos_otype_t type,
                          daos_oclass_id_t cid, daos_oclass_hints_t hints, uint32_t args);
int daos_obj_generate_oid(daos_handle_t coh, daos_obj_id_t* oid, enum daos_otype_t type,
                          daos_oclass_id_t cid, daos_oclass_hints_t hints, uint32_t args) {
  return daos_obj_generate_oid2(coh, oid, type, cid, hints, args);
}

d_rank_list_t* daos_rank_list_parse(const char* str, const char* sep) {
  if (str == nullptr || sep == nullptr || *sep == '\0') return nullptr;
  auto* const list = static_cast<d_rank_list_t*>(std::calloc(1, sizeof(d_rank_list_t)));
  // A rank and its separator take two characters at least.
  auto* const ranks =
      static_cast<d_rank_t*>(std::calloc(std::strlen(str) / 2 + 1, sizeof(d_rank_t)));
  uint32_t count = 0;
  bool good = list != nullptr && ranks != nullptr && *str != '\0';
  for (const char* at = str; good && *at != '\0';) {
    char* end = nullptr;
    const unsigned long rank = std::strtoul(at, &end, 10);
    good = std::isdigit(static_cast<unsigned char>(*at)) && rank < UINT32_MAX &&
           (*end == '\0' || (std::strchr(sep, *end) != nullptr && end[1] != '\0'));
    if (!good) break;
    ranks[count++] = static_cast<d_rank_t>(rank);
    at = *end == '\0' ? end : end + 1;
  }
  if (!good) {
    std::free(list);
    std::free(ranks);
    return nullptr;
  }
  *list = {ranks, count};
  return list;
}

}  // extern "C"
