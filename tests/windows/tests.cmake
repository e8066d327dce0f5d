# The IOCP backend alone, and what else only Windows has.
sluice_test(windows SOURCES windows/poller_test.cpp windows/roots_test.cpp windows/signals_test.cpp INTERNAL)

# All that run.sh wants.
list(TRANSFORM sluice_windows_programs APPEND _test OUTPUT_VARIABLE programs)
add_custom_target(windows_tests)
add_dependencies(windows_tests ${programs} example_echo_server)
