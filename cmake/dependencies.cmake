# Libraries from the distribution; `./dev` installs them by package name.
find_package(Threads REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(UUID REQUIRED IMPORTED_TARGET uuid)
# Headers only: the library is opened when it is used.
find_path(LIBFABRIC_INCLUDE NAMES rdma/fabric.h REQUIRED)
# Static: the tools of an installed tree then run where the package is not.
find_path(YAML_CPP_INCLUDE NAMES yaml-cpp/yaml.h REQUIRED)
find_library(YAML_CPP_LIBRARY NAMES libyaml-cpp.a REQUIRED)
# Static as well: libdaos.so needs nothing but libc and libstdc++ when it is loaded.
find_path(ZSTD_INCLUDE NAMES zstd.h REQUIRED)
find_library(ZSTD_LIBRARY NAMES libzstd.a REQUIRED)
find_path(XXHASH_INCLUDE NAMES xxhash.h REQUIRED)
