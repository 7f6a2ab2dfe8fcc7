# `./dev install --prefix DIR` (or cmake --install): tools below bin/, libraries below lib64/ (where
# programs written for DAOS look for them), public C headers below include/, pkg-config files below
# lib64/pkgconfig/. The tree can be moved afterwards: nothing in it holds the prefix.
set(CAIRN_INSTALL_LIBDIR lib64)

# cairn_install_library(TARGET DESCRIPTION [REQUIRES pkg-config modules...])
# The shared library, its links, and TARGET.pc.
function(cairn_install_library NAME DESCRIPTION)
  cmake_parse_arguments(L "" "" "REQUIRES" ${ARGN})
  if(NOT TARGET ${NAME})
    return()
  endif()
  set_target_properties(${NAME} PROPERTIES INSTALL_RPATH "$ORIGIN")
  install(TARGETS ${NAME} LIBRARY DESTINATION ${CAIRN_INSTALL_LIBDIR})
  set(PC_NAME ${NAME})
  set(PC_DESCRIPTION "${DESCRIPTION}")
  string(REPLACE ";" ", " PC_REQUIRES "${L_REQUIRES}")
  configure_file(${CMAKE_SOURCE_DIR}/cmake/library.pc.in ${CMAKE_BINARY_DIR}/pkgconfig/${NAME}.pc
                 @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/pkgconfig/${NAME}.pc
          DESTINATION ${CAIRN_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# The headers need uuid_t; every program that includes daos.h needs uuid-dev.
cairn_install_library(gurt "DAOS client utilities: error texts, hash table, lists" REQUIRES uuid)
cairn_install_library(daos_common "DAOS client library, common part" REQUIRES uuid)
cairn_install_library(daos "DAOS client library: pools, containers, objects, arrays, events"
                      REQUIRES uuid)
cairn_install_library(dfs "DAOS file system library: POSIX files in containers" REQUIRES daos)
cairn_install_library(duns "DAOS unified name space library" REQUIRES daos)

foreach(tool cairn_cmd daos_agent daos_cmd daos_engine daos_server ddb_cmd dmg_cmd)
  if(TARGET ${tool})
    set_target_properties(${tool} PROPERTIES INSTALL_RPATH "$ORIGIN/../${CAIRN_INSTALL_LIBDIR}")
    install(TARGETS ${tool} RUNTIME DESTINATION bin)
  endif()
endforeach()

install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/ DESTINATION include FILES_MATCHING PATTERN "*.h")
