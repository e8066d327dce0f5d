// What the system calls that tests make by themselves have in common.
#pragma once

#include <cerrno>
#include <system_error>

#include <sys/socket.h>

namespace sluice::test {

/// Throws std::system_error, naming `call`, for a negative result.
inline int checked(int result, const char* call) {
    if (result < 0) {
        throw std::system_error(errno, std::system_category(), call);
    }
    return result;
}

/// An address as the system takes it.
struct RawAddress {
    sockaddr_storage storage{};
    socklen_t length = 0;

    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

}  // namespace sluice::test
