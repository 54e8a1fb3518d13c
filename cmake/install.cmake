# `cmake --install`: the library with its headers, its package for find_package(beckon) and pkg-config, and the program.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/beckon)

install(TARGETS beckon_library EXPORT beckon_targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development)
install(DIRECTORY include/beckon DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
        FILES_MATCHING PATTERN "*.h")
install(EXPORT beckon_targets NAMESPACE beckon:: FILE beckon-targets.cmake
        DESTINATION ${package_folder} COMPONENT development)
configure_package_config_file(cmake/beckon-config.cmake.in beckon-config.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(beckon-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/beckon-config.cmake ${PROJECT_BINARY_DIR}/beckon-config-version.cmake
        DESTINATION ${package_folder} COMPONENT development)

# From the .pc file up to the prefix: an installed tree can be moved, and lib/<architecture> works too.
file(RELATIVE_PATH BECKON_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/beckon.pc.in beckon.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/beckon.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)

if(TARGET beckon_cli)
  install(TARGETS beckon_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
  install(FILES ${PROJECT_BINARY_DIR}/beckon.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT runtime)
  install(FILES ${PROJECT_BINARY_DIR}/completion/beckon.bash RENAME beckon
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT runtime)
  install(FILES ${PROJECT_BINARY_DIR}/completion/beckon.zsh RENAME _beckon
          DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT runtime)
  install(FILES ${PROJECT_BINARY_DIR}/completion/beckon.fish
          DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT runtime)
endif()
