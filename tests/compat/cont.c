/* Containers: by label and UUID, properties, attributes, ids, portable handles, bad input. */
#include "check.h"

static void by_uuid(daos_handle_t poh) {
  uuid_t uuid;
  char text[DAOS_UUID_STR_SIZE];
  daos_handle_t coh = DAOS_HDL_INVAL;
  daos_cont_info_t info;

  MUST(daos_cont_create(poh, &uuid, NULL, NULL));
  snprintf(text, sizeof(text),
           "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", uuid[0], uuid[1],
           uuid[2], uuid[3], uuid[4], uuid[5], uuid[6], uuid[7], uuid[8], uuid[9], uuid[10],
           uuid[11], uuid[12], uuid[13], uuid[14], uuid[15]);
  MUST(daos_cont_open(poh, text, DAOS_COO_RW, &coh, &info, NULL));
  IS(info.ci_nhandles, 1);
  OK(memcmp(info.ci_uuid, uuid, sizeof(uuid)));
  IS(daos_cont_destroy(poh, text, 0, NULL), -DER_BUSY);
  OK(daos_cont_close(coh, NULL));
  IS(daos_cont_close(coh, NULL), -DER_NO_HDL);
  OK(daos_cont_destroy(poh, text, 0, NULL));
  IS(daos_cont_destroy(poh, text, 0, NULL), -DER_NONEXIST);
}

static void properties(daos_handle_t poh) {
  daos_prop_t *prop = daos_prop_alloc(2), *all = daos_prop_alloc(0);
  daos_handle_t coh = DAOS_HDL_INVAL;

  prop->dpp_entries[0].dpe_type = DAOS_PROP_CO_LAYOUT_TYPE;
  prop->dpp_entries[0].dpe_val = DAOS_PROP_CO_LAYOUT_PYTHON;
  prop->dpp_entries[1].dpe_type = DAOS_PROP_CO_LABEL;
  prop->dpp_entries[1].dpe_str = strdup("with-props");
  MUST(daos_cont_create(poh, NULL, prop, NULL));
  IS(daos_cont_create(poh, NULL, prop, NULL), -DER_EXIST);
  MUST(daos_cont_open(poh, "with-props", DAOS_COO_RW, &coh, NULL, NULL));
  OK(daos_cont_query(coh, NULL, all, NULL));
  IS(all->dpp_nr, DAOS_PROP_CO_NUM);
  IS(daos_prop_entry_get(all, DAOS_PROP_CO_LAYOUT_TYPE)->dpe_val, DAOS_PROP_CO_LAYOUT_PYTHON);
  IS(daos_acl_validate(daos_prop_entry_get(all, DAOS_PROP_CO_ACL)->dpe_val_ptr), 0);
  prop->dpp_entries[0].dpe_val = 99;
  IS(daos_cont_set_prop(coh, prop, NULL), -DER_INVAL);
  prop->dpp_entries[0].dpe_type = DAOS_PROP_CO_REDUN_FAC;
  prop->dpp_entries[0].dpe_val = 2;
  free(prop->dpp_entries[1].dpe_str);
  prop->dpp_entries[1].dpe_str = strdup("needs-redundancy");
  IS(daos_cont_create(poh, NULL, prop, NULL), -DER_INVAL);
  daos_prop_free(prop);
  daos_prop_free(all);
  OK(daos_cont_close(coh, NULL));
  OK(daos_cont_destroy(poh, "with-props", 0, NULL));
}

static void attributes_and_ids(daos_handle_t coh) {
  const char* const names[] = {"owner"};
  const void* const values[] = {"somebody"};
  const size_t sizes[] = {8};
  size_t length = 0;
  uint64_t first = 7, second = 7;

  OK(daos_cont_set_attr(coh, 1, names, values, sizes, NULL));
  OK(daos_cont_list_attr(coh, NULL, &length, NULL));
  IS(length, 6);
  OK(daos_cont_del_attr(coh, 1, names, NULL));
  OK(daos_cont_alloc_oids(coh, 10, &first, NULL));
  OK(daos_cont_alloc_oids(coh, 1, &second, NULL));
  IS(second >= first + 10, 1);
  IS(daos_cont_alloc_oids(coh, 0, &first, NULL), -DER_INVAL);
  IS(daos_cont_get_attr(coh, 1, names, NULL, NULL, NULL), -DER_INVAL);
}

static void bad_input(daos_handle_t poh) {
  daos_handle_t coh = DAOS_HDL_INVAL;
  char label[200];

  memset(label, 'x', sizeof(label));
  label[128] = '\0';
  IS(daos_cont_create_with_label(poh, label, NULL, NULL, NULL), -DER_INVAL);
  IS(daos_cont_create_with_label(poh, "", NULL, NULL, NULL), -DER_INVAL);
  IS(daos_cont_create_with_label(poh, "a b", NULL, NULL, NULL), -DER_INVAL);
  IS(daos_cont_create_with_label(poh, "a/b", NULL, NULL, NULL), -DER_INVAL);
  IS(daos_cont_create_with_label(poh, NULL, NULL, NULL, NULL), -DER_INVAL);
  IS(daos_cont_create_with_label(kNoHandle, "fine", NULL, NULL, NULL), -DER_NO_HDL);
  IS(daos_cont_open(poh, NULL, DAOS_COO_RW, &coh, NULL, NULL), -DER_INVAL);
  IS(daos_cont_open(poh, "absent", DAOS_COO_RW, &coh, NULL, NULL), -DER_NONEXIST);
  IS(daos_cont_open(poh, "absent", 0, &coh, NULL, NULL), -DER_INVAL);
  IS(daos_cont_open(poh, "absent", DAOS_COO_RW, NULL, NULL, NULL), -DER_INVAL);
  IS(daos_cont_query(DAOS_HDL_INVAL, NULL, NULL, NULL), -DER_NO_HDL);
  IS(daos_cont_close(poh, NULL), -DER_NO_HDL);
  IS(daos_cont_set_prop(kNoHandle, NULL, NULL), -DER_NO_HDL);
}

int main(void) {
  const daos_handle_t poh = connect_pool();
  const daos_handle_t coh = open_cont(poh, "cont-test");
  daos_size_t count = 0;
  struct daos_pool_cont_info* list;

  by_uuid(poh);
  properties(poh);
  attributes_and_ids(coh);
  bad_input(poh);
  OK(daos_pool_list_cont(poh, &count, NULL, NULL));
  list = calloc(count, sizeof(*list));
  OK(daos_pool_list_cont(poh, &count, list, NULL));
  free(list);
  IS(daos_pool_disconnect(poh, NULL), -DER_BUSY);
  leave(poh, coh);
  return report("cont");
}
