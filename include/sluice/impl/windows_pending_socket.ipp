// A socket that an operation of the system is to connect, and how it becomes a connection.
#pragma once

#include <sluice/impl/windows_handles.ipp>

#include <sluice/descriptor.hpp>
#include <sluice/detail/sys.hpp>

#include <utility>

#include <mswsock.h>

namespace sluice::inline v0_1::detail {

/// A socket for a connection that AcceptEx is to accept. For Windows it is not connected (getpeername()
/// and shutdown() fail) before it has been given the context of its listener, while Wine forgives that.
/// So nobody gets its descriptor but from accepted(), which does so.
class PendingSocket {
public:
    PendingSocket() noexcept = default;
    explicit PendingSocket(Descriptor socket) noexcept : socket_(std::move(socket)) {}

    /// For the operation that is to connect it.
    [[nodiscard]] SOCKET handle() const noexcept { return sys::native_socket(socket_.get()); }
    /// Whether it has been connected or not.
    void close() noexcept { socket_.reset(); }
    /// Once it has been connected: a descriptor as sys::accept() gives it.
    [[nodiscard]] Result<int> accepted(int listener) noexcept;

private:
    Descriptor socket_;
};

inline Result<int> PendingSocket::accepted(int listener) noexcept {
    const SOCKET context = sys::native_socket(listener);
    if (::setsockopt(handle(), SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT,
                     reinterpret_cast<const char*>(&context), sizeof context) != 0) {
        return Result<int>::failure(::WSAGetLastError());
    }
    // It is like its listener now, which may be somebody else's and block.
    if (const std::error_code error = sys::set_nonblocking(socket_.get())) {
        return Result<int>::failure(error.value());
    }
    return socket_.release();
}

}  // namespace sluice::inline v0_1::detail
