// What a process inherits. One function, one system call, but for the kind of a descriptor.
#pragma once

#include <sluice/impl/sys_posix.ipp>

#include <sluice/detail/sys_inherited.hpp>
#include <sluice/listen_fds.hpp>

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE int process_id() noexcept {
    return ::getpid();
}

SLUICE_INLINE std::optional<std::string> environment_variable(const char* name) {
    const char* const value = std::getenv(name);
    return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

SLUICE_INLINE void remove_environment_variable(const char* name) noexcept {
    ::unsetenv(name);
}

SLUICE_INLINE std::error_code set_close_on_exec(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFD);
    return outcome(flags < 0 ? flags : ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC));
}

SLUICE_INLINE DescriptorKind descriptor_kind(int fd) noexcept {
    struct stat status{};
    if (::fstat(fd, &status) != 0) {
        return DescriptorKind::other;
    }
    if (S_ISFIFO(status.st_mode)) {
        return DescriptorKind::pipe;
    }
    const int family = os::socket_family(fd);
    int type = 0;
    socklen_t size = sizeof type;
    // Both fail with ENOTSOCK for what is no socket. Netlink has datagrams, too, that no endpoint of
    // ours understands.
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
        (family != AF_INET && family != AF_INET6 && family != AF_UNIX)) {
        return DescriptorKind::other;
    }
    if (type == SOCK_DGRAM) {
        return DescriptorKind::datagram;
    }
    if (type != SOCK_STREAM) {
        return DescriptorKind::other;
    }
    const Result<bool> listening = is_listening(fd);
    return listening.ok() && listening.value() ? DescriptorKind::stream_listener
                                               : DescriptorKind::stream;
}

}  // namespace sluice::inline v0_1::detail::sys
