# The library over tests/kqueue/kqueue.cpp. Included where the library is made, since its close() goes through there too.
if(NOT LINUX OR SLUICE_SHARED OR SLUICE_USE_HEADER_ONLY OR SLUICE_INSTALL)
    message(FATAL_ERROR "SLUICE_KQUEUE_EMULATION is for the static library on Linux, which is not installed")
endif()

target_sources(sluice PRIVATE "${PROJECT_SOURCE_DIR}/tests/kqueue/kqueue.cpp")
target_compile_definitions(sluice PRIVATE SLUICE_KQUEUE_EMULATION=1)
target_include_directories(sluice SYSTEM PRIVATE "${PROJECT_SOURCE_DIR}/tests/kqueue")
target_link_options(sluice INTERFACE "LINKER:--wrap=close")
