// TLS in the Linux kernel: the upper layer protocol "tls" of a TCP socket (Documentation/networking/
// tls.rst of the kernel).
#pragma once

#include <sluice/impl/sys_posix.ipp>

#include <sluice/detail/sys.hpp>

#include <array>
#include <cerrno>
#include <cstring>

#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace sluice::inline v0_1::detail::sys {

// Missing in the C library's headers of old.
inline constexpr int level_tls = 282;
inline constexpr int tcp_upper_layer = 31;

/// The one byte of a control message: a record's type.
struct RecordType {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(1)> storage{};

    [[nodiscard]] msghdr message(iovec& content) noexcept {
        msghdr message{};
        message.msg_iov = &content;
        message.msg_iovlen = 1;
        message.msg_control = storage.data();
        message.msg_controllen = storage.size();
        return message;
    }
};

SLUICE_INLINE std::error_code use_kernel_tls(int fd, bool sending, Bytes keys) noexcept {
    // EEXIST: the other direction has it already.
    if (::setsockopt(fd, IPPROTO_TCP, tcp_upper_layer, "tls", sizeof "tls") != 0 &&
        errno != EEXIST) {
        return {errno, std::system_category()};
    }
    const int direction = sending ? TLS_TX : TLS_RX;
    if (::setsockopt(fd, level_tls, direction, keys.data(), static_cast<socklen_t>(keys.size())) !=
        0) {
        return {errno, std::system_category()};
    }
    return {};
}

SLUICE_INLINE IoResult send_record(int fd, std::uint8_t type, Bytes content) noexcept {
    iovec bytes{const_cast<std::byte*>(content.data()), content.size()};
    RecordType control;
    msghdr message = control.message(bytes);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = level_tls;
    header->cmsg_type = TLS_SET_RECORD_TYPE;
    header->cmsg_len = CMSG_LEN(1);
    *CMSG_DATA(header) = type;
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return moved(sent);
}

SLUICE_INLINE void close_kernel_tls(int fd) noexcept {
    const NoBrokenPipe no_signal(fd);
    close(fd);
}

SLUICE_INLINE IoResult receive_record(int fd, MutableBytes into, std::uint8_t& type) noexcept {
    iovec bytes{into.data(), into.size()};
    RecordType control;
    msghdr message = control.message(bytes);
    ssize_t received = 0;
    do {
        received = ::recvmsg(fd, &message, MSG_DONTWAIT);
    } while (received < 0 && errno == EINTR);
    constexpr std::uint8_t application_data = 23;
    type = application_data;
    const cmsghdr* const header = received < 0 ? nullptr : CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_level == level_tls &&
        header->cmsg_type == TLS_GET_RECORD_TYPE) {
        type = *CMSG_DATA(header);
    }
    return moved(received);
}

}  // namespace sluice::inline v0_1::detail::sys
