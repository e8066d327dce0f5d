// What systems do not have in common, in one file for each of them.
//
// Such a file has the namespace os: calls in the shape of a system call, -1 and errno, and constants, under the names that
// sys_linux.ipp gives them. The other sys_*.ipp make of them what detail/sys*.hpp promises, and see no difference.
#pragma once

#include <sluice/config.hpp>

#if defined(__linux__)
#include <sluice/impl/sys_linux.ipp>
#elif defined(__APPLE__)
#include <sluice/impl/sys_darwin.ipp>
#elif defined(__FreeBSD__)
#include <sluice/impl/sys_freebsd.ipp>
#else
#error "this system has no file of its own beside sluice/impl/sys_linux.ipp yet"
#endif
