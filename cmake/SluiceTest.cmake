# How a test is declared.
#
#   sluice_test(<name> SOURCES <file>... [INTERNAL | SIM] [TIMEOUT <seconds>] [KTLS <filter>] [IO_URING <filter>])
#
# makes one GoogleTest executable; the label of its CTest tests is its folder.
#   TIMEOUT   of a case that CTest runs by itself.
#   INTERNAL  looks behind the public API, which the shared library hides: left out of shared and header-only builds.
#   SIM       runs on the simulated system calls of tests/support/sys_sim*.cpp instead of the kernel's: one flavour of
#             code is enough for it, so it is left out of shared and header-only builds.
#   KTLS      the cases that GoogleTest's filter selects ("*": all) also run under a kernel with TLS, see
#             tests/ktls/run.sh. sluice_ktls_list(), once after all tests, makes the list and the target ktls_tests.
#   IO_URING  the cases that GoogleTest's filter selects also run with io_uring as the default backend, in a build that has
#             it: those that do not name a backend.
#
# SLUICE_TEST_OPTIONS is what the compiler is told for the tests alone, behind all else: the sanitizers' builds optimise
# the library and leave the tests, which is most of the code, as they are.
# SLUICE_TEST_PROGRAMS: a CTest test is a program, <name>, which leaves what became of its cases in cases/ of the build;
# tests/tools/merge_reports.py puts them into CTest's report. To start a process for each of thousands of cases costs
# several times what the cases do. Otherwise a CTest test is a case, <name>.<Suite>.<Case>.
# SLUICE_TEST_SHARED: each program's objects are linked with a shared library, too. The target shared_tests builds these,
# the label `shared` runs them.
include(GoogleTest)
find_package(GTest REQUIRED)
option(SLUICE_TEST_PROGRAMS "A CTest test for each test program instead of each case" OFF)
option(SLUICE_TEST_SHARED "Link the tests with the shared library, too" OFF)

# Windows in the place of what only POSIX has.
if(WIN32)
    include("${CMAKE_CURRENT_LIST_DIR}/../tests/windows/support.cmake")
endif()

# The support library is compiled for one flavour of the headers but linked with none: a test chooses.
# GoogleTest's headers and ours cost more than most tests, hence the precompiled header, which the tests reuse. Clang
# writes its folder into it, so that ccache knows nothing of what was compiled in another clone. The preset `clang` has
# none: there a source has to include what it uses.
function(sluice_test_support)
    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/support/*.cpp")
    list(FILTER sources EXCLUDE REGEX "/(sys_sim|ring_sim|system_)[^/]*$")
    if(APPLE)
        list(APPEND sources support/system_macos.cpp)
        # It has the linker of Linux wrap calls.
        list(FILTER sources EXCLUDE REGEX "/syscall_counter[^/]*$")
    elseif(WIN32)
        sluice_windows_test_support(sources)
    else()
        list(APPEND sources support/system_linux.cpp)
    endif()
    add_library(sluice_test_support STATIC tools/test_main.cpp ${sources})
    target_include_directories(
        sluice_test_support PUBLIC "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/tests"
    )
    target_compile_features(sluice_test_support PUBLIC cxx_std_20)
    if(SLUICE_USE_HEADER_ONLY)
        target_compile_definitions(sluice_test_support PUBLIC SLUICE_HEADER_ONLY=1)
    endif()
    if(SLUICE_KQUEUE_EMULATION)
        target_compile_definitions(sluice_test_support PUBLIC SLUICE_KQUEUE_EMULATION=1)
    endif()
    target_compile_definitions(sluice_test_support PUBLIC SLUICE_TEST_IO_URING=$<BOOL:${SLUICE_IO_URING}>)
    target_link_libraries(sluice_test_support PUBLIC GTest::gmock OpenSSL::SSL Threads::Threads)
    if(SLUICE_USE_HEADER_ONLY)
        sluice_use_liburing(sluice_test_support PRIVATE)
    endif()
    target_precompile_headers(sluice_test_support PRIVATE <gmock/gmock.h> <gtest/gtest.h> <sluice/sluice.hpp>)
    # A precompiled header only serves sources that are optimised as it was.
    target_compile_options(sluice_test_support PRIVATE ${SLUICE_TEST_OPTIONS})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
        # Without the time in it ccache knows it again.
        target_compile_options(sluice_test_support PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
    endif()
    set_target_properties(sluice_test_support PROPERTIES CXX_EXTENSIONS OFF)
    sluice_warnings(sluice_test_support)
    if(WIN32)
        sluice_use_windows(sluice_test_support)
    endif()
endfunction()

# The library with its system calls replaced.
function(sluice_sim_library)
    if(NOT LINUX)
        return() # It is Linux that is simulated.
    endif()
    file(GLOB simulation CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/support/sys_sim*.cpp")
    if(NOT simulation)
        return()
    endif()
    set(sources ${sluice_sources})
    list(REMOVE_ITEM sources sys.cpp sys_kqueue.cpp ring.cpp)
    if(SLUICE_IO_URING)
        list(APPEND simulation support/ring_sim.cpp support/ring_sim_calls.cpp support/ring_sim_work.cpp)
    endif()
    list(TRANSFORM sources PREPEND "${PROJECT_SOURCE_DIR}/src/")
    add_library(sluice_sim STATIC EXCLUDE_FROM_ALL ${sources} ${simulation})
    target_include_directories(sluice_sim PRIVATE "${PROJECT_SOURCE_DIR}/tests")
    set_target_properties(sluice_sim PROPERTIES CXX_EXTENSIONS OFF)
    if(SLUICE_KQUEUE_EMULATION)
        target_sources(sluice_sim PRIVATE kqueue/sys_sim_kqueue.cpp)
        target_compile_definitions(sluice_sim PRIVATE SLUICE_KQUEUE_EMULATION=1)
        target_include_directories(sluice_sim SYSTEM PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/kqueue")
    endif()
    sluice_usage(sluice_sim PUBLIC)
    sluice_use_liburing(sluice_sim PRIVATE)
    sluice_warnings(sluice_sim)
endfunction()

# The shared library, beside whichever flavour the build has.
function(sluice_shared_tests)
    add_custom_target(shared_tests)
    if(SLUICE_TEST_SHARED)
        sluice_add_library(sluice_for_shared_tests SHARED ${sluice_sources})
        set_target_properties(sluice_for_shared_tests PROPERTIES EXCLUDE_FROM_ALL ON)
    endif()
endfunction()

# Tells CTest of a test program, and what else to set in its environment.
function(sluice_test_entries name target label timeout filter)
    if(NOT SLUICE_TEST_PROGRAMS)
        set(properties TIMEOUT ${timeout} LABELS "${label}")
        if(ARGN)
            list(APPEND properties ENVIRONMENT "${ARGN}")
        endif()
        # At test time rather than after each link: a build does not wait for a slow sanitizer start, and a test program
        # that cannot start fails a test, not the build.
        gtest_discover_tests(
            ${target}
            TEST_PREFIX "${name}."
            TEST_LIST "${name}_TESTS"
            TEST_FILTER "${filter}"
            DISCOVERY_MODE PRE_TEST
            DISCOVERY_TIMEOUT 60
            PROPERTIES ${properties}
        )
        return()
    endif()
    add_test(NAME ${name} COMMAND ${target})
    set(environment "GTEST_OUTPUT=xml:${PROJECT_BINARY_DIR}/cases/${name}.xml" ${ARGN})
    if(filter)
        list(APPEND environment "GTEST_FILTER=${filter}")
    endif()
    set_tests_properties(${name} PROPERTIES LABELS "${label}" TIMEOUT 600 ENVIRONMENT "${environment}")
endfunction()

function(sluice_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "INTERNAL;SIM" "TIMEOUT;KTLS;IO_URING" "SOURCES")
    if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
        message(FATAL_ERROR "sluice_test(${name}): expected SOURCES, got '${arg_UNPARSED_ARGUMENTS}'")
    endif()
    # Header-only the internals are the same code again, and slow to compile: the public API shows that it works.
    if((arg_INTERNAL OR arg_SIM) AND (SLUICE_SHARED OR SLUICE_USE_HEADER_ONLY))
        return()
    endif()
    if(arg_SIM AND NOT TARGET sluice_sim)
        return()
    endif()
    if(WIN32)
        if(NOT name IN_LIST sluice_windows_programs)
            return()
        endif()
        list(REMOVE_ITEM arg_SOURCES ${sluice_inapplicable_sources})
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 60)
    endif()

    set(target "${name}_test")
    sluice_add_executable(${target} ${arg_SOURCES})
    target_precompile_headers(${target} REUSE_FROM sluice_test_support)
    target_compile_options(${target} PRIVATE ${SLUICE_TEST_OPTIONS})
    if(arg_SIM)
        target_link_libraries(${target} PRIVATE sluice_test_support sluice_sim)
    else()
        target_link_libraries(${target} PRIVATE sluice_test_support ${sluice_flavour})
    endif()

    if(arg_KTLS)
        set_property(GLOBAL APPEND PROPERTY sluice_ktls_targets ${target})
        set_property(GLOBAL APPEND_STRING PROPERTY sluice_ktls_lines "${target}|${arg_KTLS}|$<TARGET_FILE:${target}>\n")
    endif()

    list(GET arg_SOURCES 0 first_source)
    cmake_path(GET first_source PARENT_PATH label)
    # The functions of an example have a library of their own, and are no part of ours.
    if(SLUICE_TEST_SHARED AND NOT arg_INTERNAL AND NOT arg_SIM AND NOT label STREQUAL "examples")
        sluice_add_executable(${target}_shared $<TARGET_OBJECTS:${target}>)
        set_target_properties(${target}_shared PROPERTIES EXCLUDE_FROM_ALL ON LINKER_LANGUAGE CXX)
        target_link_libraries(${target}_shared PRIVATE sluice_test_support sluice_for_shared_tests)
        add_dependencies(shared_tests ${target}_shared)
        sluice_test_entries(shared.${name} ${target}_shared shared ${arg_TIMEOUT} "")
    endif()
    sluice_test_entries(${name} ${target} ${label} ${arg_TIMEOUT} "")
    if(arg_IO_URING AND SLUICE_IO_URING)
        sluice_test_entries(
            ${name}_on_io_uring ${target} ${label} ${arg_TIMEOUT} "${arg_IO_URING}" "SLUICE_BACKEND=io_uring"
        )
    endif()
endfunction()

# What the guest runs, a line "<program>|<filter>|<path>" each, and a target that builds just these.
function(sluice_ktls_list)
    get_property(targets GLOBAL PROPERTY sluice_ktls_targets)
    get_property(lines GLOBAL PROPERTY sluice_ktls_lines)
    file(GENERATE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/ktls_tests.txt" CONTENT "${lines}")
    add_custom_target(ktls_tests)
    if(targets)
        add_dependencies(ktls_tests ${targets})
    endif()
endfunction()
