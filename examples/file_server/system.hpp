// What the file server asks the system beyond POSIX: one file for each system, system_linux.cpp and so on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>

#include <sys/stat.h>

namespace file_server {

/// openat(2) that follows no path out of the folder, with no gap between looking and opening. ENOSYS: the system, or what
/// confines this process, has no such call.
int open_inside(int folder, const char* path, int flags);

/// Where what is open lies in the file system; empty if the system cannot tell.
std::string place_of(int fd);

/// pread(2) of bytes that are in memory already; fewer or an error if some are not.
std::ptrdiff_t read_cached(int file, void* into, std::size_t size, std::uint64_t offset);

/// When the file was last written to.
timespec modified(const struct stat& status);

}  // namespace file_server
