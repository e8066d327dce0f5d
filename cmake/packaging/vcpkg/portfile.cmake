# An overlay port: builds the checkout this file lies in.
#   vcpkg install sluice --overlay-ports=<checkout>/cmake/packaging
# Not run by this project's CI, whose machines have no vcpkg.
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

string(COMPARE EQUAL "${VCPKG_LIBRARY_LINKAGE}" "dynamic" SLUICE_SHARED)
vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        -DSLUICE_SHARED=${SLUICE_SHARED}
        -DSLUICE_BUILD_TESTS=OFF
        -DSLUICE_BUILD_EXAMPLES=OFF
        -DSLUICE_BUILD_BENCH=OFF
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/sluice)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
