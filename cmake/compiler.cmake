# The compiler floor and the flags that every target shares.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  message(FATAL_ERROR
    "GCC ${CMAKE_CXX_COMPILER_VERSION} frees some coroutine arguments twice; "
    "use Clang 18 or newer (Debian 12: apt-get install clang-19) or GCC 14 or newer, for example "
    "by `./dev build`, which chooses the compiler itself.")
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 18)
  message(FATAL_ERROR
    "Clang ${CMAKE_CXX_COMPILER_VERSION} is too old; use Clang 18 or newer (Debian 12: clang-19), "
    "for example by `./dev build`, which chooses the compiler itself.")
endif()

# Clang 18 has every language part that libstdc++'s <expected> needs, but reports the older number
# for concepts, at which libstdc++ hides the header's contents.
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Wno-builtin-macro-redefined \
-Wno-macro-redefined -D__cpp_concepts=202002L>")
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Werror -Wno-missing-field-initializers
  -fno-omit-frame-pointer)
add_compile_definitions(_GNU_SOURCE)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  add_compile_options(-msse4.2)
endif()
# __STDC_VERSION__-independent file names in CHECK messages: no path of the building machine.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)

set(CAIRN_SANITIZE "" CACHE STRING "comma separated sanitizers, for example address,undefined")
if(CAIRN_SANITIZE)
  add_compile_options(-fsanitize=${CAIRN_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CAIRN_SANITIZE})
endif()
option(CAIRN_DEBUG_CHECKS "DCHECK and VERIFY are on" OFF)
if(CAIRN_DEBUG_CHECKS)
  add_compile_definitions(CAIRN_DEBUG_CHECKS=1)
endif()
find_program(LLD_PROGRAM NAMES ld.lld-19 ld.lld-18 ld.lld)
if(LLD_PROGRAM AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  add_link_options(--ld-path=${LLD_PROGRAM})
endif()
