# How our targets are compiled: the two library targets, and the flags for our own code that no consumer ever sees.

# Warnings for a target of ours. Only when Sluice is what is being built: a consumer's compiler is its own business.
function(sluice_warnings target)
    if(NOT PROJECT_IS_TOP_LEVEL OR NOT CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
        return()
    endif()
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
        # All three warn falsely about inlined std::string code in GCC 12 (its bugs 105329 and 105651).
        target_compile_options(${target} PRIVATE -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
    endif()
    if(SLUICE_WARNINGS_AS_ERRORS)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
endfunction()

# What every flavour of the library needs of its users: the headers, C++20, threads, OpenSSL. Our public headers see
# nothing of OpenSSL, but a static library and the header-only one need it at the link.
function(sluice_usage target scope)
    target_compile_features(${target} ${scope} cxx_std_20)
    target_include_directories(
        ${target}
        ${scope}
        "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
        "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>"
    )
    target_link_libraries(${target} ${scope} OpenSSL::SSL Threads::Threads)
    if(WIN32)
        target_link_libraries(${target} ${scope} ws2_32 ntdll bcrypt advapi32 crypt32)
    endif()
endfunction()

# liburing, if the build has it. No header of ours that a user includes sees it, but for the header-only flavour, which
# learns from the definition that it is there.
function(sluice_use_liburing target scope)
    if(SLUICE_IO_URING)
        target_link_libraries(${target} ${scope} PkgConfig::sluice_liburing)
        if(scope STREQUAL "INTERFACE")
            target_compile_definitions(${target} INTERFACE SLUICE_IO_URING=1)
        endif()
    endif()
endfunction()

# The compiled library, STATIC or SHARED, from the given files of src/.
function(sluice_add_library target kind)
    add_library(${target} ${kind})
    if(kind STREQUAL "SHARED")
        target_compile_definitions(${target} PUBLIC SLUICE_SHARED=1 PRIVATE SLUICE_BUILDING=1)
        if(CMAKE_EXECUTABLE_FORMAT STREQUAL "ELF")
            set(exports "${PROJECT_SOURCE_DIR}/cmake/sluice.map")
            target_link_options(${target} PRIVATE "LINKER:--version-script=${exports}")
            set_target_properties(${target} PROPERTIES LINK_DEPENDS "${exports}")
        endif()
    endif()
    add_library(sluice::${target} ALIAS ${target})
    list(TRANSFORM ARGN PREPEND "${PROJECT_SOURCE_DIR}/src/")
    target_sources(${target} PRIVATE ${ARGN})
    sluice_usage(${target} PUBLIC)
    sluice_use_liburing(${target} PRIVATE)
    sluice_warnings(${target})
    set_target_properties(
        ${target}
        PROPERTIES
            CXX_EXTENSIONS OFF
            CXX_VISIBILITY_PRESET hidden
            VISIBILITY_INLINES_HIDDEN ON
            # A static library ends up in other people's shared ones.
            POSITION_INDEPENDENT_CODE ON
            VERSION "${PROJECT_VERSION}"
            # Before 1.0 a minor version may break the ABI, so it is part of the SONAME.
            SOVERSION "${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}"
    )
endfunction()

function(sluice_add_header_only target)
    add_library(${target} INTERFACE)
    # Exported under the name that the alias gives it here.
    set_target_properties(${target} PROPERTIES EXPORT_NAME header_only)
    add_library(sluice::header_only ALIAS ${target})
    target_compile_definitions(${target} INTERFACE SLUICE_HEADER_ONLY=1)
    sluice_usage(${target} INTERFACE)
    sluice_use_liburing(${target} INTERFACE)
endfunction()

# An executable of ours (example, test, benchmark) with our warnings.
function(sluice_add_executable target)
    add_executable(${target} ${ARGN})
    set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
    sluice_warnings(${target})
endfunction()
