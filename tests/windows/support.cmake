# What the tests need of Windows. Their own sockets are POSIX's over Winsock (posix/), so that a suite is the same file
# everywhere; some files of support/ have a counterpart here.

# The programs that tell something about the system. The others are the same code everywhere.
set(sluice_windows_programs
    conformance sendfile datagram streams loop processes socket_calls connect server task timeouts
    tls_conformance windows
)

# Files of these that are not built: "file <path> | <reason>" of the list of all that does not run.
set(sluice_not_applicable "${CMAKE_CURRENT_LIST_DIR}/not_applicable.txt")
file(STRINGS "${sluice_not_applicable}" sluice_inapplicable_sources REGEX "^file ")
list(TRANSFORM sluice_inapplicable_sources REPLACE "^file +([^ ]+) .*" "\\1")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${sluice_not_applicable}")

set(sluice_windows_tests "${CMAKE_CURRENT_LIST_DIR}")

# Takes from the list of support files what Windows cannot have.
function(sluice_windows_test_support list_name)
    set(chosen ${${list_name}})
    list(FILTER chosen EXCLUDE REGEX "/(open_descriptors|pipe_end|process_limits|syscall_counter|temp_file)[.]cpp$")
    list(APPEND chosen support/system_windows.cpp windows/refused.cpp)
    set(${list_name} ${chosen} PARENT_SCOPE)
endfunction()

# What it has instead goes into a library of its own: these see the headers of Windows, whose names posix/ has, too.
function(sluice_use_windows target)
    file(GLOB replacements CONFIGURE_DEPENDS "${sluice_windows_tests}/*.cpp")
    list(FILTER replacements EXCLUDE REGEX "(_test|/refused)[.]cpp$")
    add_library(sluice_test_windows STATIC ${replacements})
    target_include_directories(
        sluice_test_windows PRIVATE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/tests"
    )
    target_compile_features(sluice_test_windows PUBLIC cxx_std_20)
    target_link_libraries(sluice_test_windows PUBLIC GTest::gmock ws2_32 ntdll iphlpapi crypt32)
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
