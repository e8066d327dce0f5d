# The IOCP backend alone, and what else only Windows has.
sluice_test(windows SOURCES windows/poller_test.cpp windows/roots_test.cpp INTERNAL)

# An example with a client of Linux, which looks for no mistake of Wine's sockets on both ends.
find_program(SLUICE_PYTHON NAMES python3 REQUIRED NO_CMAKE_FIND_ROOT_PATH)
if(TARGET example_echo_server)
    add_test(
        NAME windows.echo_server_with_a_client_of_Linux
        COMMAND
            "${SLUICE_PYTHON}" -B "${CMAKE_CURRENT_SOURCE_DIR}/windows/echo_test.py" "${SLUICE_WINE}"
            $<TARGET_FILE:example_echo_server>
    )
    set_tests_properties(windows.echo_server_with_a_client_of_Linux PROPERTIES TIMEOUT 120 LABELS windows)
endif()
