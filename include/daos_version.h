/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Version numbers of the API and of the package. The numbers are those of the DAOS release that
 * this library stands in for, because programs choose code by them with the preprocessor.
 */
#ifndef DAOS_VERSION_H
#define DAOS_VERSION_H

#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

#define DAOS_API_VERSION_MAJOR 2
#define DAOS_API_VERSION_MINOR 8
#define DAOS_API_VERSION_FIX 0

#define DAOS_VERSION_MAJOR 2
#define DAOS_VERSION_MINOR 9
#define DAOS_VERSION_FIX 100

/** The spelling is part of the interface. */
#define DAOS_VERSION_PROTOCAL 1

typedef union {
  uint32_t raw;
  __extension__ struct {
    uint8_t protocol;
    uint8_t patch;
    uint8_t minor;
    uint8_t major;
  };
} daos_version_t;

/** Fills \a version with the package version of the headers that the caller was compiled with. */
static inline void daos_version_pack(daos_version_t *version) {
  version->protocol = DAOS_VERSION_PROTOCAL;
  version->patch = DAOS_VERSION_FIX;
  version->minor = DAOS_VERSION_MINOR;
  version->major = DAOS_VERSION_MAJOR;
}

/** The wire protocol number in \a version. */
static inline uint8_t daos_version_get_protocol(const daos_version_t *version) {
  return version->protocol;
}

/**
 * API version of the loaded library, to compare with the DAOS_API_VERSION_ macros.
 * \return 0, or -DER_INVAL if a pointer is NULL.
 */
int daos_version_get(int *major, int *minor, int *fix);

#if defined(__cplusplus)
}
#endif
#endif
