# Install rules: a relocatable prefix with a CMake package and a pkg-config file, in the components
# runtime (shared library), dev (headers, archive or link, package files), doc and examples.
include(CMakePackageConfigHelpers)

set(sluice_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/sluice")

install(
    TARGETS sluice sluice_header_only
    EXPORT sluice_targets
    RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT runtime
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT runtime NAMELINK_COMPONENT dev
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT dev
)
install(
    DIRECTORY "${PROJECT_SOURCE_DIR}/include/sluice"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
    COMPONENT dev
    FILES_MATCHING
    PATTERN "*.hpp"
    PATTERN "*.ipp"
)

install(
    EXPORT sluice_targets
    NAMESPACE sluice::
    FILE sluice-targets.cmake
    DESTINATION "${sluice_package_dir}"
    COMPONENT dev
)
# With SLUICE_IO_URING an archive's user links liburing, and so does who compiles the headers.
set(sluice_pc_liburing "")
set(sluice_config_liburing "")
if(SLUICE_IO_URING)
    set(sluice_pc_liburing " liburing >= 2.3")
    set(sluice_config_liburing [=[

find_dependency(PkgConfig)
pkg_check_modules(sluice_liburing QUIET IMPORTED_TARGET liburing>=2.3)
if(NOT sluice_liburing_FOUND)
    set(sluice_FOUND FALSE)
    set(sluice_NOT_FOUND_MESSAGE "this build of sluice needs liburing 2.3 or newer, found by pkg-config")
    return()
endif()]=])
endif()
configure_package_config_file(
    "${PROJECT_SOURCE_DIR}/cmake/sluice-config.cmake.in"
    "${PROJECT_BINARY_DIR}/sluice-config.cmake"
    INSTALL_DESTINATION "${sluice_package_dir}"
    NO_SET_AND_CHECK_MACRO
)
# Before 1.0 a minor version may break the API.
write_basic_package_version_file(
    "${PROJECT_BINARY_DIR}/sluice-config-version.cmake"
    COMPATIBILITY SameMinorVersion
)
install(
    FILES
        "${PROJECT_BINARY_DIR}/sluice-config.cmake"
        "${PROJECT_BINARY_DIR}/sluice-config-version.cmake"
    DESTINATION "${sluice_package_dir}"
    COMPONENT dev
)

# pkg-config finds the prefix from where its file lies, so that it survives a move, too.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(sluice_pc_prefix "${CMAKE_INSTALL_PREFIX}")
    set(sluice_pc_includedir "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
    set(sluice_pc_libdir "${CMAKE_INSTALL_FULL_LIBDIR}")
else()
    cmake_path(
        RELATIVE_PATH
        CMAKE_INSTALL_PREFIX
        BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig"
        OUTPUT_VARIABLE sluice_pc_up
    )
    set(sluice_pc_prefix "\${pcfiledir}/${sluice_pc_up}")
    set(sluice_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
    set(sluice_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
# A shared library brings OpenSSL along by itself. With an archive the user's link needs it, and `pkg-config --libs`
# leaves private requirements out unless it is told --static, which would also ask for OpenSSL's archives.
if(SLUICE_SHARED)
    set(sluice_pc_cflags " -DSLUICE_SHARED=1")
    set(sluice_pc_requires "Requires.private")
else()
    set(sluice_pc_cflags "")
    set(sluice_pc_requires "Requires")
endif()
configure_file(
    "${PROJECT_SOURCE_DIR}/cmake/sluice.pc.in" "${PROJECT_BINARY_DIR}/sluice.pc" @ONLY
)
install(
    FILES "${PROJECT_BINARY_DIR}/sluice.pc"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig"
    COMPONENT dev
)

install(
    FILES "${PROJECT_SOURCE_DIR}/LICENSE" "${PROJECT_SOURCE_DIR}/README.md"
    DESTINATION "${CMAKE_INSTALL_DOCDIR}"
    COMPONENT doc
)
install(
    DIRECTORY "${PROJECT_SOURCE_DIR}/docs/"
    DESTINATION "${CMAKE_INSTALL_DOCDIR}"
    COMPONENT doc
    FILES_MATCHING
    PATTERN "*.md"
    PATTERN "*.svg"
    PATTERN "*.png"
)
install(
    DIRECTORY "${PROJECT_SOURCE_DIR}/examples/"
    DESTINATION "${CMAKE_INSTALL_DOCDIR}/examples"
    COMPONENT examples
    FILES_MATCHING
    PATTERN "*.cpp"
    PATTERN "*.hpp"
)
