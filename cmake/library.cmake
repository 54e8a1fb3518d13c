# The shared library: the objects of all layers in one file that exports what is marked BECKON_API and nothing else.
# Our own programs link the static layers instead, for a quick start and to reach internals in tests.
get_property(layers GLOBAL PROPERTY BECKON_LAYERS)
get_property(externals GLOBAL PROPERTY BECKON_EXTERNALS)
list(REMOVE_DUPLICATES externals)

add_library(beckon_library SHARED)
add_library(beckon::beckon ALIAS beckon_library)
foreach(layer ${layers})
  target_sources(beckon_library PRIVATE $<TARGET_OBJECTS:${layer}>)
endforeach()
target_link_libraries(beckon_library PRIVATE ${externals})
target_compile_features(beckon_library PUBLIC cxx_std_20)
target_include_directories(beckon_library PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                 $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
# Before 1.0 every minor version may break the binary interface.
set_target_properties(beckon_library PROPERTIES
  OUTPUT_NAME beckon EXPORT_NAME beckon LINKER_LANGUAGE CXX
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
  LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/exports.map)
# Hidden visibility leaves instantiations of std templates visible: the list of exports closes that gap.
target_link_options(beckon_library PRIVATE
  LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map LINKER:--exclude-libs,ALL)
if(BECKON_SANITIZE)
  target_link_options(beckon_library PRIVATE -fsanitize=${BECKON_SANITIZE})
else()
  target_link_options(beckon_library PRIVATE LINKER:--no-undefined LINKER:--as-needed)
endif()
