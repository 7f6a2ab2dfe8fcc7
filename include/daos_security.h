/* SPDX-License-Identifier: Apache-2.0 */
/** Access control lists: entries (ACE) that give rights to principals. */
#ifndef DAOS_SECURITY_H
#define DAOS_SECURITY_H

#include <daos_prop.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#if defined(__cplusplus)
extern "C" {
#endif

#define DAOS_ACL_VERSION 1
/** Longest name of a principal, without and with the terminating NUL. */
#define DAOS_ACL_MAX_PRINCIPAL_LEN 255
#define DAOS_ACL_MAX_PRINCIPAL_BUF_LEN (DAOS_ACL_MAX_PRINCIPAL_LEN + 1)
/** Most bytes of entries in a list. */
#define DAOS_ACL_MAX_ACE_LEN 65536
/** Longest text of an entry. */
#define DAOS_ACL_MAX_ACE_STR_LEN 319

#define DAOS_ACL_PRINCIPAL_OWNER "OWNER@"
#define DAOS_ACL_PRINCIPAL_OWNER_GRP "GROUP@"
#define DAOS_ACL_PRINCIPAL_EVERYONE "EVERYONE@"

/** Kinds of principals, in the order of enforcement. */
enum daos_acl_principal_type {
  DAOS_ACL_OWNER = 0,
  DAOS_ACL_USER = 1,
  DAOS_ACL_OWNER_GROUP = 2,
  DAOS_ACL_GROUP = 3,
  DAOS_ACL_EVERYONE = 4,
  NUM_DAOS_ACL_TYPES = 5
};

enum daos_acl_access_type {
  DAOS_ACL_ACCESS_ALLOW = 1 << 0,
  DAOS_ACL_ACCESS_AUDIT = 1 << 1,
  DAOS_ACL_ACCESS_ALARM = 1 << 2
};
#define DAOS_ACL_ACCESS_ALL (DAOS_ACL_ACCESS_ALLOW | DAOS_ACL_ACCESS_AUDIT | DAOS_ACL_ACCESS_ALARM)

enum daos_acl_flags {
  DAOS_ACL_FLAG_GROUP = 1 << 0,
  DAOS_ACL_FLAG_POOL_INHERIT = 1 << 1,
  DAOS_ACL_FLAG_ACCESS_FAIL = 1 << 2,
  DAOS_ACL_FLAG_ACCESS_SUCCESS = 1 << 3
};
#define DAOS_ACL_FLAG_ALL 0xf

enum daos_acl_perm {
  DAOS_ACL_PERM_READ = 1 << 0,
  DAOS_ACL_PERM_WRITE = 1 << 1,
  DAOS_ACL_PERM_CREATE_CONT = 1 << 2,
  DAOS_ACL_PERM_DEL_CONT = 1 << 3,
  DAOS_ACL_PERM_GET_PROP = 1 << 4,
  DAOS_ACL_PERM_SET_PROP = 1 << 5,
  DAOS_ACL_PERM_GET_ACL = 1 << 6,
  DAOS_ACL_PERM_SET_ACL = 1 << 7,
  DAOS_ACL_PERM_SET_OWNER = 1 << 8
};
#define DAOS_ACL_PERM_POOL_ALL 0x1f
#define DAOS_ACL_PERM_CONT_ALL 0x1fb
#define DAOS_ACL_PERM_ALL 0x1ff

/* Flexible array members are part of the interface; C++ compilers know them, too. */
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wc99-extensions"
#endif

/** A list: \a dal_len bytes of entries, sorted by kind of principal. */
struct daos_acl {
  uint16_t dal_ver;
  uint16_t dal_reserv;
  uint32_t dal_len;
  __extension__ uint8_t dal_ace[];
};

/** An entry. The name is there for users and groups only, padded with zeros to 8 bytes. */
struct daos_ace {
  uint8_t dae_access_types;
  uint8_t dae_principal_type;
  uint16_t dae_principal_len;
  uint16_t dae_access_flags;
  uint16_t dae_reserv;
  uint64_t dae_allow_perms;
  uint64_t dae_audit_perms;
  uint64_t dae_alarm_perms;
  __extension__ char dae_principal[];
};

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

/** A list of copies of \a num_aces entries, sorted; NULL if one is invalid. Free: daos_acl_free().
 */
struct daos_acl* daos_acl_create(struct daos_ace** aces, uint16_t num_aces);

struct daos_acl* daos_acl_dup(struct daos_acl* acl);

void daos_acl_free(struct daos_acl* acl);

/** Bytes of a list. \return -DER_INVAL for NULL. */
ssize_t daos_acl_get_size(struct daos_acl* acl);

/** Entry after \a current_ace, the first one for NULL; NULL at the end. */
struct daos_ace* daos_acl_get_next_ace(struct daos_acl* acl, struct daos_ace* current_ace);

/** Finds the entry of a principal, inside the list. \return 0, -DER_NONEXIST, -DER_INVAL. */
int daos_acl_get_ace_for_principal(struct daos_acl* acl, enum daos_acl_principal_type type,
                                   const char* principal, struct daos_ace** ace);

/** Adds or replaces an entry; the list may move. \return 0, -DER_INVAL, -DER_NOMEM. */
int daos_acl_add_ace(struct daos_acl** acl, struct daos_ace* new_ace);

/** Removes an entry; the list may move. \return 0, -DER_NONEXIST, -DER_INVAL, -DER_NOMEM. */
int daos_acl_remove_ace(struct daos_acl** acl, enum daos_acl_principal_type type,
                        const char* principal_name);

/** Prints a list to the standard output. */
void daos_acl_dump(struct daos_acl* acl);

/** \return 0, or -DER_INVAL (version, length, order, a duplicate, an invalid entry). */
int daos_acl_validate(struct daos_acl* acl);

/** A new entry without rights. \a principal_name ("name@") is for users and groups. */
struct daos_ace* daos_ace_create(enum daos_acl_principal_type type, const char* principal_name);

void daos_ace_free(struct daos_ace* ace);

/** Bytes of an entry. \return -DER_INVAL for NULL. */
ssize_t daos_ace_get_size(struct daos_ace* ace);

void daos_ace_dump(struct daos_ace* ace, uint32_t tabs);

bool daos_ace_is_valid(struct daos_ace* ace);

/** Whether \a name is "name@" or "name@domain" of at most 255 characters. */
bool daos_acl_principal_is_valid(const char* name);

/** Principal of an account, allocated. \return 0, -DER_NONEXIST, -DER_INVAL, -DER_NOMEM. */
int daos_acl_uid_to_principal(uid_t uid, char** name);

int daos_acl_gid_to_principal(gid_t gid, char** name);

/** Account of a principal. \return 0, -DER_NONEXIST, -DER_INVAL. */
int daos_acl_principal_to_uid(const char* principal, uid_t* uid);

int daos_acl_principal_to_gid(const char* principal, gid_t* gid);

/** Name of an entry's principal: "OWNER@", or the name in the entry. */
const char* daos_ace_get_principal_str(struct daos_ace* ace);

/** Entry of a text "access:flags:principal:rights". \return 0, -DER_INVAL, -DER_NOMEM. */
int daos_ace_from_str(const char* str, struct daos_ace** ace);

/** Text of an entry. \return 0, -DER_INVAL, -DER_TRUNC (buffer short). */
int daos_ace_to_str(struct daos_ace* ace, char* buf, size_t buf_len);

/** The text of an entry in words. \return 0, -DER_INVAL, -DER_TRUNC. */
int daos_ace_str_get_verbose(const char* ace_str, char* buf, size_t buf_len);

/** List of texts. \return 0, -DER_INVAL, -DER_NOMEM. */
int daos_acl_from_strs(const char** ace_strs, size_t ace_nr, struct daos_acl** acl);

/** Texts of a list; the array and each text are allocated for the caller. */
int daos_acl_to_strs(struct daos_acl* acl, char*** ace_strs, size_t* ace_nr);

/** Kind and name of "OWNER@", "GROUP@", "EVERYONE@", "u:name@" or "g:name@"; \a name is allocated.
 */
int daos_acl_principal_from_str(const char* principal_str, enum daos_acl_principal_type* type,
                                char** name);

/** Writes one entry per line; \a verbose adds them in words. \return 0, -DER_INVAL, -DER_IO. */
int daos_acl_to_stream(FILE* stream, struct daos_acl* acl, bool verbose);

#if defined(__cplusplus)
}
#endif
#endif
