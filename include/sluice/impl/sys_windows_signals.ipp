// Wake-ups that are descriptors, and signals, for Windows.
#pragma once

#include <sluice/impl/sys_windows.ipp>

#include <sluice/detail/sys.hpp>

#include <array>
#include <csignal>
#include <mutex>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE Result<int> open_wake() noexcept {
    // A datagram socket that is its own and only peer: what is sent makes it readable.
    const Result<int> opened = open_socket(Family::ipv4, SocketType::datagram);
    if (!opened.ok()) {
        return opened;
    }
    const int fd = opened.value();
    std::error_code error = bind(fd, SocketAddress::ipv4({127, 0, 0, 1}, 0));
    if (!error) {
        const Result<int> connected = connect(fd, local_address(fd));
        if (connected.ok()) {
            return fd;
        }
        // One of datagrams does not wait.
        error = connected.blocked() ? system_error(WSAEWOULDBLOCK) : connected.error();
    }
    close(fd);
    return Result<int>::failure(error.value());
}

SLUICE_INLINE void signal_wake(int fd) noexcept {
    constexpr std::byte one{1};
    // One that finds the queue full is readable all the same.
    static_cast<void>(send(fd, Bytes(&one, 1)));
}

SLUICE_INLINE void drain_wake(int fd) noexcept {
    std::byte byte{};
    for (bool more = true; more;) {
        more = recv(fd, MutableBytes(&byte, 1)).ok();
    }
}

/// What the signals of this process call. The C library calls on_signal() on a thread of its own for
/// Ctrl+C and Ctrl+Break, and on the one that raises, so it may wait for the lock: it interrupts nothing.
struct SignalTable {
    std::mutex changing;
    std::array<void (*)(int), NSIG> handlers{};
};

inline SignalTable signal_table;

inline void on_signal(int signal_number) {
    void (*handler)(int) = nullptr;
    {
        const std::lock_guard lock(signal_table.changing);
        handler = signal_table.handlers[static_cast<std::size_t>(signal_number)];
        if (handler != nullptr) {
            // The C library has restored the default action before it called this. It stays restored
            // for a signal that came while its handler was being removed.
            std::signal(signal_number, on_signal);
        }
    }
    if (handler != nullptr) {
        handler(signal_number);
    }
}

SLUICE_INLINE std::error_code set_signal_handler(int signal_number, void (*handler)(int)) noexcept {
    if (signal_number < 0 || signal_number >= NSIG) {
        return std::make_error_code(std::errc::invalid_argument);
    }
    const std::lock_guard lock(signal_table.changing);
    if (std::signal(signal_number, handler != nullptr ? on_signal : SIG_DFL) == SIG_ERR) {
        return std::make_error_code(std::errc::invalid_argument);
    }
    signal_table.handlers[static_cast<std::size_t>(signal_number)] = handler;
    return {};
}

/// The thread that runs the initialisers of the program, or that loaded the library.
inline const DWORD main_thread = ::GetCurrentThreadId();

SLUICE_INLINE bool is_main_thread() noexcept {
    return ::GetCurrentThreadId() == main_thread;
}

}  // namespace sluice::inline v0_1::detail::sys
