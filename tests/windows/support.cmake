# What the tests need of Windows. Their own sockets are POSIX's over Winsock (posix/), so that a suite is the same file
# everywhere; some files of support/ have a counterpart here.

# Programs that are not built, each with the reason.
set(sluice_inapplicable_tests
    gathering sendfile_faults # count and break calls of Linux by the linker
    pipes subprocess          # pipes of POSIX
    listen_fds                # sockets inherited from systemd
    unix                      # Unix sockets
    ktls                      # TLS in the kernel
    sys_file                  # SIGPIPE, descriptors of POSIX
    soak                      # the size of a process as Linux tells it
)

# Files of programs that are built.
set(sluice_inapplicable_sources
    conformance/reliability_test.cpp # memory at the end of a page (mmap), descriptors of POSIX
    conformance/signals_test.cpp     # signals sent by kill(2) to processes and threads
    conformance/shortage_test.cpp    # RLIMIT_NOFILE
    conformance/run_test.cpp         # signals sent to itself, which end it
    conformance/sendfile_ending_test.cpp # SIGPIPE
    unit/record_sealer_test.cpp      # keys in the form of Linux's kernel
    unit/tls_context_test.cpp        # links, FIFOs and owners of files
)

# Single cases, as not_applicable.txt names them: "<filter of GoogleTest> | <reason>".
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/not_applicable.txt" sluice_lines REGEX "^[^#]")
list(TRANSFORM sluice_lines REPLACE " *\\|.*" "")
list(JOIN sluice_lines ":" sluice_test_filter)
if(sluice_test_filter)
    string(PREPEND sluice_test_filter "-")
endif()
set_property(
    DIRECTORY
    APPEND
    PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/not_applicable.txt"
)

set(sluice_windows_tests "${CMAKE_CURRENT_LIST_DIR}")

# Takes from the list of support files what Windows cannot have.
function(sluice_windows_test_support list_name)
    set(chosen ${${list_name}})
    list(FILTER chosen EXCLUDE REGEX "/(open_descriptors|pipe_end|process_limits|syscall_counter|temp_file)[.]cpp$")
    set(${list_name} ${chosen} PARENT_SCOPE)
endfunction()

# What it has instead goes into a library of its own: these see the headers of Windows, whose names posix/ has, too.
function(sluice_use_windows target)
    file(GLOB replacements CONFIGURE_DEPENDS "${sluice_windows_tests}/*.cpp")
    list(FILTER replacements EXCLUDE REGEX "_test[.]cpp$")
    add_library(sluice_test_windows STATIC ${replacements})
    target_include_directories(
        sluice_test_windows PRIVATE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/tests"
    )
    target_compile_features(sluice_test_windows PUBLIC cxx_std_20)
    target_link_libraries(sluice_test_windows PUBLIC GTest::gmock ws2_32 ntdll iphlpapi)
    set_target_properties(sluice_test_windows PROPERTIES CXX_EXTENSIONS OFF)
    sluice_warnings(sluice_test_windows)

    target_include_directories(${target} SYSTEM PUBLIC "${sluice_windows_tests}/posix")
    # What POSIX adds to <stdlib.h> is asked for by <cstdlib>, too, which passes our file by.
    target_compile_options(${target} PUBLIC "SHELL:-include stdlib.h")
    target_link_libraries(${target} PUBLIC sluice_test_windows)
    # A stack as large as Linux gives: nested coroutines are destroyed on it.
    target_link_options(
        ${target} INTERFACE "LINKER:--wrap=close" "LINKER:--wrap=read" "LINKER:--wrap=write" "LINKER:--stack=8388608"
    )
endfunction()
