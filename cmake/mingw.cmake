# Toolchain for Windows on x86_64: clang 19 with the headers and libraries of mingw-w64, tests run by Wine. All of it
# comes from cmake/setup.sh windows.
#
# clang compiles, since GCC 12 miscompiles coroutines. lld links, since GNU ld wants archives in an order that clang does
# not know. Everything is linked statically, so that a program runs wherever it is copied.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER clang-19)
set(CMAKE_CXX_COMPILER clang++-19)
set(CMAKE_C_COMPILER_TARGET x86_64-w64-mingw32)
set(CMAKE_CXX_COMPILER_TARGET x86_64-w64-mingw32)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)
# thread_local is what mingw's libstdc++ has been built with.
set(CMAKE_C_FLAGS_INIT -femulated-tls)
set(CMAKE_CXX_FLAGS_INIT -femulated-tls)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static -fuse-ld=lld")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-static -fuse-ld=lld")
set(CMAKE_C_STANDARD_LIBRARIES_INIT -lpthread)
set(CMAKE_CXX_STANDARD_LIBRARIES_INIT -lpthread)

# Where cmake/windows_dependencies.sh puts OpenSSL and GoogleTest.
if(DEFINED ENV{SLUICE_WINDOWS_ROOT})
    set(sluice_windows_root "$ENV{SLUICE_WINDOWS_ROOT}")
else()
    set(sluice_windows_root "$ENV{HOME}/.cache/sluice/windows")
endif()
set(OPENSSL_USE_STATIC_LIBS ON)
set(CMAKE_FIND_ROOT_PATH "${sluice_windows_root}" /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# Debian's `wine` is a wrapper that complains about a missing wine32.
find_program(SLUICE_WINE NAMES wine64 PATHS /usr/lib/wine)
set(CMAKE_CROSSCOMPILING_EMULATOR "${SLUICE_WINE}")
