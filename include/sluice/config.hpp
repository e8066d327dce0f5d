// Version, export macro and the header-only switch.
//
// The only header with macros: version, export, header-only, backends, assert. Everything public
// lives in the inline namespace sluice::v0_1, so that two incompatible versions in one process do
// not link to each other by accident.
#pragma once

#define SLUICE_VERSION_MAJOR 0
#define SLUICE_VERSION_MINOR 1
#define SLUICE_VERSION_PATCH 0
#define SLUICE_VERSION_STRING "0.1.0"

// SLUICE_HEADER_ONLY is set by the target sluice::header_only: definitions then come from the .ipp
// files, inline.
#ifdef SLUICE_HEADER_ONLY
#define SLUICE_INLINE inline
#define SLUICE_API
#else
#define SLUICE_INLINE
#if !defined(SLUICE_SHARED)
#define SLUICE_API
#elif defined(_WIN32) && defined(SLUICE_BUILDING)
#define SLUICE_API __declspec(dllexport)
#elif defined(_WIN32)
#define SLUICE_API __declspec(dllimport)
#else
#define SLUICE_API __attribute__((visibility("default")))
#endif
#endif

// Which backends the system has; CMakeLists.txt compiles them by the same rule. It sets
// SLUICE_KQUEUE_EMULATION to test the kqueue backend on Linux, which has no epoll then.
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__) || defined(SLUICE_KQUEUE_EMULATION)
#define SLUICE_HAS_KQUEUE 1
#define SLUICE_HAS_EPOLL 0
#define SLUICE_HAS_IOCP 0
#elif defined(_WIN32)
#define SLUICE_HAS_KQUEUE 0
#define SLUICE_HAS_EPOLL 0
#define SLUICE_HAS_IOCP 1
#elif defined(__linux__)
#define SLUICE_HAS_KQUEUE 0
#define SLUICE_HAS_EPOLL 1
#define SLUICE_HAS_IOCP 0
#endif

// Invariants of the library itself, never user errors (those throw std::logic_error).
#include <cassert>
#define SLUICE_ASSERT(condition) assert(condition)

namespace sluice::inline v0_1 {

/// Version of the compiled library, "major.minor.patch"; SLUICE_VERSION_STRING is the version of
/// the headers.
SLUICE_API const char* version() noexcept;

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/version.ipp>
#endif
