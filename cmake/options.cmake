# What a build contains. As a sub-project Beckon builds the library alone and changes nothing outside itself.
option(BECKON_BUILD_CLI "Build the beckon program" ${PROJECT_IS_TOP_LEVEL})
option(BECKON_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(BECKON_BUILD_BENCH "Build the benchmarks" OFF)
option(BECKON_BUILD_FUZZERS "Build the fuzz targets (clang, libFuzzer)" OFF)
option(BECKON_INSTALL "Create install rules" ${PROJECT_IS_TOP_LEVEL})
option(BECKON_WERROR "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
set(BECKON_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=, e.g. address,undefined or thread")

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(BECKON_CCACHE ccache)
    mark_as_advanced(BECKON_CCACHE)
    if(BECKON_CCACHE)
      set(CMAKE_CXX_COMPILER_LAUNCHER ${BECKON_CCACHE})
    endif()
  endif()
endif()

# Flags shared by every target of ours; never exported to users.
add_library(beckon_flags INTERFACE)
target_compile_features(beckon_flags INTERFACE cxx_std_20)
target_include_directories(beckon_flags INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_compile_options(beckon_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers)
# g++ 12 sees an overlap in every `"text" + string` at -O2 (its bug 105651), and
# uninitialised members in every std::variant that a growing std::vector moves.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(beckon_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()
# A float expression means the same sum on every machine: no contraction unless a kernel says fma.
target_compile_options(beckon_flags INTERFACE -ffp-contract=off)
# The checks that sanitizers add confuse g++'s flow analysis: its warnings are then guesses, as its manual says.
if(BECKON_WERROR AND NOT BECKON_SANITIZE)
  target_compile_options(beckon_flags INTERFACE -Werror)
endif()
if(BECKON_SANITIZE)
  target_compile_options(beckon_flags INTERFACE -fsanitize=${BECKON_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(beckon_flags INTERFACE -fsanitize=${BECKON_SANITIZE})
endif()
