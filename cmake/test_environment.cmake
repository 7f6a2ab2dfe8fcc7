# Read by ctest before the tests: a test that does not choose opens homes in its own process, so
# that nothing is left running behind it. Tests of the served home set CAIRN_MODE themselves.
if(NOT DEFINED ENV{CAIRN_MODE})
  set(ENV{CAIRN_MODE} embed)
endif()
