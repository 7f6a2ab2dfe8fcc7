/* libdaos_common is there because programs name it when they link; libdaos itself holds what it
 * had. */
typedef int daos_common_is_empty;
