# beckon_join_sources(TARGET COUNT): the target's sources are compiled COUNT at a time, since most of a compilation goes into
# headers and their templates. So names in anonymous namespaces are unique in a layer. -DBECKON_UNITY=OFF compiles
# every source by itself.
function(beckon_join_sources target count)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${BECKON_UNITY} UNITY_BUILD_BATCH_SIZE ${count})
endfunction()

# beckon_layer(NAME [DEPENDS lower layers...] [LINK libraries...])
# One folder of src/ is one static library; a layer may depend on those below it only, which the link order enforces.
set_property(GLOBAL PROPERTY BECKON_LAYERS "")
set_property(GLOBAL PROPERTY BECKON_EXTERNALS "")
function(beckon_layer name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(NOT sources)  # nothing there yet: the layer only passes on what it depends on
    add_library(beckon_${name} INTERFACE)
    target_link_libraries(beckon_${name} INTERFACE beckon_flags)
    foreach(lower ${ARG_DEPENDS})
      target_link_libraries(beckon_${name} INTERFACE beckon_${lower})
    endforeach()
    return()
  endif()
  add_library(beckon_${name} STATIC ${sources})
  beckon_join_sources(beckon_${name} 5)
  set_target_properties(beckon_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                        VISIBILITY_INLINES_HIDDEN ON)
  target_link_libraries(beckon_${name} PUBLIC beckon_flags ${ARG_LINK})
  foreach(lower ${ARG_DEPENDS})
    target_link_libraries(beckon_${name} PUBLIC beckon_${lower})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY BECKON_LAYERS beckon_${name})
  set_property(GLOBAL APPEND PROPERTY BECKON_EXTERNALS ${ARG_LINK})
endfunction()

# beckon_compile_quickly(TARGET): for code that computes little itself. -O1 takes a third off the build time of large
# header-only libraries.
function(beckon_compile_quickly target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()

# beckon_tests(NAME [LABEL label] [LINK libraries...]): the tests of one layer, one program, labelled "unit" unless said.
function(beckon_tests name)
  cmake_parse_arguments(ARG "" "LABEL" "LINK" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(beckon_${name}_tests EXCLUDE_FROM_ALL ${sources})
  add_dependencies(tests beckon_${name}_tests)
  beckon_join_sources(beckon_${name}_tests 8)
  target_link_libraries(beckon_${name}_tests PRIVATE beckon_test_support ${ARG_LINK} GTest::gtest_main)
  target_compile_definitions(beckon_${name}_tests PRIVATE BECKON_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             BECKON_PROGRAM="${PROJECT_BINARY_DIR}/beckon")
  beckon_compile_quickly(beckon_${name}_tests)
  add_test(NAME ${name} COMMAND beckon_${name}_tests)
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 1200)
endfunction()
