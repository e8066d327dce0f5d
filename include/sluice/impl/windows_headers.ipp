// The headers of Windows, with as little of them as can be had: a user of the header-only flavour gets
// to see what is included here.
#pragma once

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif

// In this order: <windows.h> alone would bring the sockets of 1993.
// clang-format off
#include <winsock2.h>
#include <windows.h>
#include <ws2tcpip.h>
// clang-format on
