/* SPDX-License-Identifier: Apache-2.0 */
/** Helpers that programs written for DAOS use: memory, flow, environment, rank lists, sgls. */
#ifndef GURT_COMMON_H
#define GURT_COMMON_H

#include <daos_errno.h>
#include <gurt/debug.h>
#include <gurt/list.h>
#include <gurt/types.h>

#if defined(__cplusplus)
extern "C" {
#endif

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))
#endif
#ifndef container_of
#define container_of(ptr, type, member) ((type*)((char*)(ptr) - offsetof(type, member)))
#endif
#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#endif
#ifndef unlikely
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif
#define D_ALIGNUP(x, a) (((x) + ((a) - 1)) & ~((__typeof__(x))(a) - 1))
#define NSEC_PER_SEC 1000000000L
#define NSEC_PER_MSEC 1000000L
#define NSEC_PER_USEC 1000L

/** Memory of the malloc() family, zeroed; \a ptr becomes NULL where there is none. */
#define D_ALLOC_CORE_(ptr, size, count) ((ptr) = (__typeof__(ptr))calloc((count), (size)))
#define D_ALLOC(ptr, size) D_ALLOC_CORE_(ptr, size, 1)
#define D_ALLOC_PTR(ptr) D_ALLOC(ptr, sizeof(*(ptr)))
#define D_ALLOC_ARRAY(ptr, count) D_ALLOC_CORE_(ptr, sizeof(*(ptr)), count)
#define D_ALLOC_NZ(ptr, size) ((ptr) = (__typeof__(ptr))malloc(size))
#define D_ALLOC_PTR_NZ(ptr) D_ALLOC_NZ(ptr, sizeof(*(ptr)))
#define D_ALLOC_ARRAY_NZ(ptr, count) D_ALLOC_NZ(ptr, sizeof(*(ptr)) * (count))
#define D_ALIGNED_ALLOC(ptr, alignment, size) \
  ((ptr) = (__typeof__(ptr))aligned_alloc((alignment), (size)))
#define D_REALLOC_NZ(newptr, oldptr, size) \
  ((newptr) = (__typeof__(newptr))realloc((oldptr), (size)))
#define D_STRNDUP(ptr, s, n) ((ptr) = strndup((s), (n)))
#define D_STRNDUP_S(ptr, s) D_STRNDUP(ptr, s, sizeof(s))
#define D_ASPRINTF(ptr, ...)                             \
  do {                                                   \
    if (asprintf(&(ptr), __VA_ARGS__) < 0) (ptr) = NULL; \
  } while (0)
#define D_REALPATH(ptr, path) ((ptr) = realpath((path), NULL))
#define D_FREE(ptr)     \
  do {                  \
    free((void*)(ptr)); \
    (ptr) = NULL;       \
  } while (0)

#define D_GOTO(label, rc) \
  do {                    \
    (void)(rc);           \
    goto label;           \
  } while (0)

void d_free(void* ptr);

/** Environment. \return 0, -DER_NONEXIST (not set), -DER_INVAL (not of that form). */
int d_getenv_bool(const char* name, bool* bool_val);
int d_getenv_uint(const char* name, unsigned int* uint_val);
int d_getenv_uint32_t(const char* name, uint32_t* val);
int d_getenv_uint64_t(const char* name, uint64_t* val);
/** A copy for d_freeenv_str(). */
int d_agetenv_str(char** str_val, const char* name);
void d_freeenv_str(char** str_val);
bool d_isenv_def(char* name);
int d_setenv(const char* name, const char* value, int overwrite);

/** Rank lists; NULL where there is no memory. */
d_rank_list_t* d_rank_list_alloc(uint32_t size);
void d_rank_list_free(d_rank_list_t* rank_list);
int d_rank_list_dup(d_rank_list_t** dst, const d_rank_list_t* src);
int d_rank_list_append(d_rank_list_t* rank_list, d_rank_t rank);
int d_rank_list_del(d_rank_list_t* rank_list, d_rank_t rank);
bool d_rank_list_find(d_rank_list_t* rank_list, d_rank_t rank, int* idx);
bool d_rank_in_rank_list(d_rank_list_t* rank_list, d_rank_t rank);
/** Whether both hold the same ranks in the same order. */
bool d_rank_list_identical(d_rank_list_t* rank_list1, d_rank_list_t* rank_list2);

/** Hybrid logical clock values (daos_epoch_t) and wall time. */
uint64_t d_hlc_get(void);
uint64_t d_hlc2unixnsec(uint64_t hlc);
uint64_t d_unixnsec2hlc(uint64_t unixnsec);
int d_hlc2timespec(uint64_t hlc, struct timespec* ts);

long int d_rand(void);
/** Accepted for programs that ask for a signal stack; there is nothing to do. */
void d_signal_stack_enable(bool enabled);

/** -DER_ code of an errno. */
static inline int d_errno2der(int err) {
  switch (err) {
    case 0:
      return 0;
    case EPERM:
    case EACCES:
      return -DER_NO_PERM;
    case ENOMEM:
      return -DER_NOMEM;
    case EDQUOT:
    case ENOSPC:
      return -DER_NOSPACE;
    case EEXIST:
      return -DER_EXIST;
    case ENOENT:
      return -DER_NONEXIST;
    case ECANCELED:
      return -DER_CANCELED;
    case EBUSY:
      return -DER_BUSY;
    default:
      return -DER_MISC;
  }
}

/** Makes an sgl of \a nr zeroed iovs. \return 0 or -DER_NOMEM. */
static inline int d_sgl_init(d_sg_list_t* sgl, unsigned int nr) {
  memset(sgl, 0, sizeof(*sgl));
  if (nr == 0) return 0;
  D_ALLOC_ARRAY(sgl->sg_iovs, nr);
  if (sgl->sg_iovs == NULL) return -DER_NOMEM;
  sgl->sg_nr = nr;
  return 0;
}

/** Frees the iovs of an sgl, and with \a free_iovs the memory that they point to. */
static inline void d_sgl_fini(d_sg_list_t* sgl, bool free_iovs) {
  unsigned int i;

  if (sgl == NULL || sgl->sg_iovs == NULL) return;
  for (i = 0; free_iovs && i < sgl->sg_nr; i++) free(sgl->sg_iovs[i].iov_buf);
  free(sgl->sg_iovs);
  memset(sgl, 0, sizeof(*sgl));
}

#if defined(__cplusplus)
}
#endif
#endif
