// The socket calls: each checks its arguments, and its coroutine tries, waits and tries again.
#pragma once

#include <sluice/impl/descriptor_use.ipp>

#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_socket_calls.hpp>
#include <sluice/event_loop.hpp>
#include <sluice/limits.hpp>
#include <sluice/sleep.hpp>
#include <sluice/socket_calls.hpp>

#include <stdexcept>
#include <string>

namespace sluice::inline v0_1 {

namespace detail {

// ---- receiving ----

SLUICE_INLINE Task<std::size_t> receive_into(Borrowed socket, MutableBytes into) {
    const DescriptorUse use = socket.use(Readiness::readable);
    for (;;) {
        const IoResult received = sys::recv(socket.fd, into);
        if (received.ok()) {
            co_return received.value();
        }
        if (!received.blocked()) {
            throw_socket_error(received.error(), socket.method, socket.fd);
        }
        co_await use.ready();
    }
}

SLUICE_INLINE Task<std::vector<std::byte>> receive_vector(Borrowed socket, std::size_t most) {
    std::vector<std::byte> data(most);
    Task<std::size_t> receiving = receive_into(socket, data);
    const std::size_t size = co_await receiving;
    data.resize(size);
    co_return data;
}

SLUICE_INLINE Task<FilledFrom> receive_from_into(Borrowed socket, MutableBytes into) {
    const DescriptorUse use = socket.use(Readiness::readable);
    for (;;) {
        FilledFrom filled;
        const IoResult received = sys::sock_receive_from(socket.fd, into, filled.sender);
        if (received.ok()) {
            filled.size = received.value();
            co_return filled;
        }
        if (!received.blocked()) {
            throw_socket_error(received.error(), socket.method, socket.fd);
        }
        co_await use.ready();
    }
}

SLUICE_INLINE Task<ReceivedFrom> receive_vector_from(Borrowed socket, std::size_t most) {
    ReceivedFrom received;
    received.data.resize(most);
    Task<FilledFrom> receiving = receive_from_into(socket, received.data);
    FilledFrom filled = co_await receiving;
    received.data.resize(filled.size);
    received.sender = std::move(filled.sender);
    co_return received;
}

SLUICE_INLINE Task<AcceptedSocket> accept_one(Borrowed socket) {
    const DescriptorUse use = socket.use(Readiness::readable);
    for (;;) {
        AcceptedSocket accepted;
        const Result<int> result = sys::accept(socket.fd, accepted.peer);
        if (result.ok()) {
            accepted.socket = Descriptor(result.value());
            co_return accepted;
        }
        if (!result.blocked()) {
            throw_socket_error(result.error(), socket.method, socket.fd);
        }
        co_await use.ready();
    }
}

// ---- sending ----

SLUICE_INLINE Task<void> send_all(Borrowed socket, Bytes data) {
    const DescriptorUse use = socket.use(Readiness::writable);
    while (!data.empty()) {
        const IoResult sent = sys::send(socket.fd, data);
        if (!sent.ok() && !sent.blocked()) {
            throw_socket_error(sent.error(), socket.method, socket.fd);
        }
        data = data.subspan(sent.ok() ? sent.value() : 0);
        if (!data.empty()) {
            // A short send means that the socket is full.
            co_await use.ready();
        }
    }
}

SLUICE_INLINE Task<std::size_t> send_datagram(Borrowed socket, Bytes data, SocketAddress to) {
    const DescriptorUse use = socket.use(Readiness::writable);
    for (bool was_ready = false;; was_ready = true) {
        const IoResult sent = sys::sock_send_to(socket.fd, data, to);
        if (sent.ok()) {
            co_return sent.value();
        }
        if (!sent.blocked()) {
            throw_socket_error(sent.error(), socket.method, socket.fd);
        }
        if (was_ready) {
            // Some sockets count as writable all the time, and nothing tells when they are: those of
            // Unix that are not connected, for one.
            co_await sleep(limits::datagram_retry_time);
        } else {
            co_await use.ready();
        }
    }
}

SLUICE_INLINE Task<void> connect_socket(Borrowed socket, SocketAddress address) {
    const DescriptorUse use = socket.use(Readiness::writable);
    const Result<int> connected = sys::connect(socket.fd, address);
    std::error_code error;
    if (connected.blocked()) {
        co_await use.ready();
        error = sys::take_error(socket.fd);
    } else {
        error = connected.error();
    }
    if (error) {
        const std::string shown = address.to_string();
        throw AddressError(error, "sock_connect() to " + shown, shown);
    }
}

}  // namespace detail

SLUICE_INLINE Task<std::vector<std::byte>> SocketCalls::sock_recv(int socket, std::size_t most) {
    auto& loop = static_cast<EventLoop&>(*this);
    detail::check_socket(loop, socket, "sock_recv");
    return detail::receive_vector({loop.core(), loop.state_->descriptors, socket, "sock_recv"},
                                  most);
}

SLUICE_INLINE Task<std::size_t> SocketCalls::sock_recv_into(int socket, MutableBytes into) {
    auto& loop = static_cast<EventLoop&>(*this);
    detail::check_socket(loop, socket, "sock_recv_into");
    return detail::receive_into({loop.core(), loop.state_->descriptors, socket, "sock_recv_into"},
                                into);
}

SLUICE_INLINE Task<ReceivedFrom> SocketCalls::sock_recvfrom(int socket, std::size_t most) {
    auto& loop = static_cast<EventLoop&>(*this);
    detail::check_socket(loop, socket, "sock_recvfrom");
    return detail::receive_vector_from(
        {loop.core(), loop.state_->descriptors, socket, "sock_recvfrom"}, most);
}

SLUICE_INLINE Task<FilledFrom> SocketCalls::sock_recvfrom_into(int socket, MutableBytes into) {
    auto& loop = static_cast<EventLoop&>(*this);
    detail::check_socket(loop, socket, "sock_recvfrom_into");
    return detail::receive_from_into(
        {loop.core(), loop.state_->descriptors, socket, "sock_recvfrom_into"}, into);
}

SLUICE_INLINE Task<void> SocketCalls::sock_sendall(int socket, Bytes data) {
    auto& loop = static_cast<EventLoop&>(*this);
    detail::check_socket(loop, socket, "sock_sendall");
    return detail::send_all({loop.core(), loop.state_->descriptors, socket, "sock_sendall"}, data);
}

SLUICE_INLINE Task<std::size_t> SocketCalls::sock_sendto(int socket, Bytes data, SocketAddress to) {
    auto& loop = static_cast<EventLoop&>(*this);
    detail::check_socket(loop, socket, "sock_sendto");
    return detail::send_datagram({loop.core(), loop.state_->descriptors, socket, "sock_sendto"},
                                 data, std::move(to));
}

SLUICE_INLINE Task<void> SocketCalls::sock_connect(int socket, SocketAddress address) {
    auto& loop = static_cast<EventLoop&>(*this);
    detail::check_socket(loop, socket, "sock_connect");
    if (address.family() == Family::unspecified) {
        throw std::invalid_argument("sock_connect(): no address");
    }
    return detail::connect_socket({loop.core(), loop.state_->descriptors, socket, "sock_connect"},
                                  std::move(address));
}

SLUICE_INLINE Task<AcceptedSocket> SocketCalls::sock_accept(int socket) {
    auto& loop = static_cast<EventLoop&>(*this);
    detail::check_socket(loop, socket, "sock_accept");
    return detail::accept_one({loop.core(), loop.state_->descriptors, socket, "sock_accept"});
}

}  // namespace sluice::inline v0_1
