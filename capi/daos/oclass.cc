// Object classes by name and id.
#include <daos_obj.h>
#include <daos_obj_class.h>

#include <cstring>
#include <new>

#include "capi/daos/library.h"
#include "model/oclass.h"

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_oclass_name2id(const char* name) {
  return name == nullptr ? 0 : static_cast<int>(model::class_by_name(name));
}

int daos_oclass_id2name(daos_oclass_id_t oc_id, char* name) try {
  if (name == nullptr) return -1;
  const auto found = model::class_name(oc_id);
  std::strcpy(name, found ? found->c_str() : "UNKNOWN");
  return found ? 0 : -1;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

ssize_t daos_oclass_names_list(size_t size, char* str) {
  if (str == nullptr || size == 0) return -DER_INVAL;
  const std::string& all = model::class_names();
  if (all.size() + 1 > size) return -DER_OVERFLOW;
  std::memcpy(str, all.c_str(), all.size() + 1);
  return static_cast<ssize_t>(all.size());
}

int daos_oclass_nr(int opts) {
  (void)opts;
  return static_cast<int>(model::class_count());
}

int daos_obj_register_class(daos_handle_t coh, daos_oclass_id_t cid, struct daos_oclass_attr* cattr,
                            daos_event_t* ev) try {
  (void)coh;
  (void)cid;
  (void)cattr;
  return call(-DER_NOSYS, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_query_class(daos_handle_t coh, daos_oclass_id_t cid, struct daos_oclass_attr* cattr,
                         daos_event_t* ev) try {
  (void)coh;
  (void)cid;
  (void)cattr;
  return call(-DER_NOSYS, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_list_class(daos_handle_t coh, struct daos_oclass_list* clist, daos_anchor_t* anchor,
                        daos_event_t* ev) try {
  (void)coh;
  (void)clist;
  (void)anchor;
  return call(-DER_NOSYS, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

}  // extern "C"
