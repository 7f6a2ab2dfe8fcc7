/* Names and texts of the error codes, from the lists in daos_errno.h. */
#include <daos_errno.h>
#include <stdio.h>

static const char* const kGurtNames[] = {D_FOREACH_GURT_ERR(D_DEFINE_ERRSTR)};
static const char* const kGurtTexts[] = {D_FOREACH_GURT_ERR(D_DEFINE_ERRDESC)};
static const char* const kDaosNames[] = {D_FOREACH_DAOS_ERR(D_DEFINE_ERRSTR)};
static const char* const kDaosTexts[] = {D_FOREACH_DAOS_ERR(D_DEFINE_ERRDESC)};

/* The entry of a code in one of the two tables, or NULL. */
static const char* find(int rc, const char* const* gurt, const char* const* daos) {
  const long code = -(long)rc;
  const long gurt_count = (long)(sizeof(kGurtNames) / sizeof(kGurtNames[0]));
  const long daos_count = (long)(sizeof(kDaosNames) / sizeof(kDaosNames[0]));

  if (code > DER_ERR_GURT_BASE && code <= DER_ERR_GURT_BASE + gurt_count) {
    return gurt[code - DER_ERR_GURT_BASE - 1];
  }
  if (code > DER_ERR_DAOS_BASE && code <= DER_ERR_DAOS_BASE + daos_count) {
    return daos[code - DER_ERR_DAOS_BASE - 1];
  }
  return NULL;
}

const char* d_errstr(int rc) {
  const char* name;

  if (rc == 0) return "DER_SUCCESS";
  name = find(rc, kGurtNames, kDaosNames);
  return name == NULL ? "DER_UNKNOWN" : name;
}

const char* d_errdesc(int rc) {
  static __thread char text[40];
  const char* known;

  if (rc == 0) return "Success";
  if (rc == -DER_UNKNOWN) return "Unknown error";
  known = find(rc, kGurtTexts, kDaosTexts);
  if (known != NULL) return known;
  snprintf(text, sizeof(text), "Unknown error code %d", rc);
  return text;
}
