# Libraries from the distribution; `./dev` installs them by package name.
find_package(Threads REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(UUID REQUIRED IMPORTED_TARGET uuid)
find_path(XXHASH_INCLUDE NAMES xxhash.h REQUIRED)
