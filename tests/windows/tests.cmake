# The IOCP backend alone, and what else only Windows has.
sluice_test(
    windows
    SOURCES windows/accept_test.cpp windows/poller_test.cpp windows/roots_test.cpp windows/sendfile_test.cpp
            windows/signals_test.cpp
    INTERNAL
)
if(TARGET windows_test)
    # sys::post_wake(int), which a case lets fail, and sys::is_client_edition(), which one lies with.
    target_link_options(
        windows_test PRIVATE "LINKER:--wrap=_ZN6sluice4v0_16detail3sys9post_wakeEi"
                             "LINKER:--wrap=_ZN6sluice4v0_16detail3sys17is_client_editionEv"
    )
endif()

# All that run.sh wants.
list(TRANSFORM sluice_windows_programs APPEND _test OUTPUT_VARIABLE programs)
add_custom_target(windows_tests)
add_dependencies(windows_tests ${programs} example_echo_server)
