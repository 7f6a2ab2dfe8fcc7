/* Environment, rank lists, clock values: helpers that programs take from libgurt. */
#include <ctype.h>
#include <gurt/common.h>
#include <strings.h>

void d_free(void* ptr) { free(ptr); }

int d_getenv_bool(const char* name, bool* bool_val) {
  const char* const text = name == NULL ? NULL : getenv(name);

  if (name == NULL || bool_val == NULL) return -DER_INVAL;
  if (text == NULL) return -DER_NONEXIST;
  *bool_val = !(!strcmp(text, "0") || !strcasecmp(text, "no") || !strcasecmp(text, "n") ||
                !strcasecmp(text, "false") || !strcasecmp(text, "off"));
  return 0;
}

int d_getenv_uint64_t(const char* name, uint64_t* val) {
  const char* const text = name == NULL ? NULL : getenv(name);
  unsigned long long value;
  char* end;

  if (name == NULL || val == NULL) return -DER_INVAL;
  if (text == NULL) return -DER_NONEXIST;
  if (!isdigit((unsigned char)text[0])) return -DER_INVAL;
  errno = 0;
  value = strtoull(text, &end, 0);
  if (errno != 0 || *end != '\0') return -DER_INVAL;
  *val = value;
  return 0;
}

int d_getenv_uint32_t(const char* name, uint32_t* val) {
  uint64_t value;
  int rc;

  if (val == NULL) return -DER_INVAL;
  rc = d_getenv_uint64_t(name, &value);
  if (rc != 0) return rc;
  if (value > UINT32_MAX) return -DER_INVAL;
  *val = (uint32_t)value;
  return 0;
}

int d_getenv_uint(const char* name, unsigned int* uint_val) {
  return d_getenv_uint32_t(name, uint_val);
}

int d_agetenv_str(char** str_val, const char* name) {
  const char* const text = name == NULL ? NULL : getenv(name);

  if (name == NULL || str_val == NULL) return -DER_INVAL;
  *str_val = NULL;
  if (text == NULL) return -DER_NONEXIST;
  *str_val = strdup(text);
  return *str_val == NULL ? -DER_NOMEM : 0;
}

void d_freeenv_str(char** str_val) {
  free(*str_val);
  *str_val = NULL;
}

bool d_isenv_def(char* name) { return getenv(name) != NULL; }

int d_setenv(const char* name, const char* value, int overwrite) {
  return setenv(name, value, overwrite) == 0 ? 0 : d_errno2der(errno);
}

d_rank_list_t* d_rank_list_alloc(uint32_t size) {
  d_rank_list_t* const list = calloc(1, sizeof(*list));
  uint32_t i;

  if (list == NULL || size == 0) return list;
  list->rl_ranks = calloc(size, sizeof(d_rank_t));
  if (list->rl_ranks == NULL) {
    free(list);
    return NULL;
  }
  list->rl_nr = size;
  for (i = 0; i < size; i++) list->rl_ranks[i] = i;
  return list;
}

void d_rank_list_free(d_rank_list_t* rank_list) {
  if (rank_list == NULL) return;
  free(rank_list->rl_ranks);
  free(rank_list);
}

int d_rank_list_dup(d_rank_list_t** dst, const d_rank_list_t* src) {
  d_rank_list_t* copy;

  if (dst == NULL) return -DER_INVAL;
  *dst = NULL;
  if (src == NULL) return 0;
  copy = d_rank_list_alloc(src->rl_nr);
  if (copy == NULL) return -DER_NOMEM;
  if (src->rl_nr != 0) memcpy(copy->rl_ranks, src->rl_ranks, src->rl_nr * sizeof(d_rank_t));
  *dst = copy;
  return 0;
}

int d_rank_list_append(d_rank_list_t* rank_list, d_rank_t rank) {
  d_rank_t* grown;

  if (rank_list == NULL) return -DER_INVAL;
  grown = realloc(rank_list->rl_ranks, (rank_list->rl_nr + (size_t)1) * sizeof(d_rank_t));
  if (grown == NULL) return -DER_NOMEM;
  rank_list->rl_ranks = grown;
  grown[rank_list->rl_nr++] = rank;
  return 0;
}

int d_rank_list_del(d_rank_list_t* rank_list, d_rank_t rank) {
  int index;

  if (!d_rank_list_find(rank_list, rank, &index)) return 0;
  rank_list->rl_nr--;
  memmove(&rank_list->rl_ranks[index], &rank_list->rl_ranks[index + 1],
          (rank_list->rl_nr - (uint32_t)index) * sizeof(d_rank_t));
  return 0;
}

bool d_rank_list_find(d_rank_list_t* rank_list, d_rank_t rank, int* idx) {
  uint32_t i;

  for (i = 0; rank_list != NULL && i < rank_list->rl_nr; i++) {
    if (rank_list->rl_ranks[i] != rank) continue;
    if (idx != NULL) *idx = (int)i;
    return true;
  }
  return false;
}

bool d_rank_in_rank_list(d_rank_list_t* rank_list, d_rank_t rank) {
  return d_rank_list_find(rank_list, rank, NULL);
}

bool d_rank_list_identical(d_rank_list_t* rank_list1, d_rank_list_t* rank_list2) {
  if (rank_list1 == rank_list2) return true;
  if (rank_list1 == NULL || rank_list2 == NULL || rank_list1->rl_nr != rank_list2->rl_nr) {
    return false;
  }
  return rank_list1->rl_nr == 0 || memcmp(rank_list1->rl_ranks, rank_list2->rl_ranks,
                                          rank_list1->rl_nr * sizeof(d_rank_t)) == 0;
}

/* 2021-01-01T00:00:00Z; the low 18 bits of a clock value are a counter. */
static const uint64_t kStart = 1609459200ULL * NSEC_PER_SEC;
static const uint64_t kCounterMask = (1ULL << 18) - 1;

uint64_t d_unixnsec2hlc(uint64_t unixnsec) {
  return unixnsec <= kStart ? 0 : ((unixnsec - kStart) << 4) & ~kCounterMask;
}

uint64_t d_hlc2unixnsec(uint64_t hlc) { return (hlc >> 4) + kStart; }

int d_hlc2timespec(uint64_t hlc, struct timespec* ts) {
  const uint64_t ns = d_hlc2unixnsec(hlc);

  if (ts == NULL) return -DER_INVAL;
  ts->tv_sec = (time_t)(ns / NSEC_PER_SEC);
  ts->tv_nsec = (long)(ns % NSEC_PER_SEC);
  return 0;
}

uint64_t d_hlc_get(void) {
  struct timespec now;

  timespec_get(&now, TIME_UTC);
  return d_unixnsec2hlc((uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec);
}

long int d_rand(void) { return random(); }

void d_signal_stack_enable(bool enabled) { (void)enabled; }
