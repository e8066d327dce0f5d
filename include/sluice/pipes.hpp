// Pipes: transports over pipes, FIFOs, terminals and other character devices, one direction each.
//
// What a Transport does is in transport.hpp; here is how one comes to life over such a descriptor.
// PipeEndpoints is a part of EventLoop and nothing by itself.
#pragma once

#include <sluice/connection.hpp>
#include <sluice/descriptor.hpp>
#include <sluice/protocol.hpp>
#include <sluice/task.hpp>
#include <sluice/transport.hpp>

#include <concepts>
#include <memory>
#include <utility>

namespace sluice::inline v0_1 {

/// A descriptor that a pipe transport owns, seen from outside: to identify it, not to close it or to
/// steal its data.
class PipeView {
public:
    PipeView() noexcept = default;
    /// Views `fd`.
    explicit PipeView(int fd) noexcept : fd_(fd) {}

    /// The descriptor, for fstat(2), ioctl(2) and diagnostics; -1 once closed.
    [[nodiscard]] int fd() const noexcept { return fd_; }

private:
    int fd_ = -1;
};

namespace extra {
/// What a pipe transport works on. Such transports have no addresses and no socket.
inline constexpr ExtraKey<PipeView> pipe{20};
}  // namespace extra

/// Base of protocols for write pipes, which never receive anything.
class WritePipeProtocol : public Protocol {
public:
    /// Never called.
    void data_received(Bytes data) final { static_cast<void>(data); }
};

/// The part of EventLoop that makes transports of pipes.
///
/// Pipes, FIFOs, terminals, other character devices and sockets are fit for it; anything else, above
/// all a regular file, which a system cannot wait for, is a std::invalid_argument, and so is one that
/// is not open in the right direction. One that a transport owns is a std::logic_error. The
/// descriptor is the library's in any case, also if the call fails.
///
/// O_NONBLOCK belongs to the open file description, which a parent process or a duplicate may share:
/// they see it set as long as the transport lives, and it is cleared before closing if it was clear.
/// A terminal gets an open file description of its own where the system allows that (it is opened
/// anew, under the same number), so that nobody sees anything. To keep descriptor 0, 1 or 2 open,
/// pass a duplicate.
/// https://docs.python.org/3/library/asyncio-eventloop.html#working-with-pipes
class SLUICE_API PipeEndpoints {
public:
    /// Reads from `pipe`: gives transport and protocol once connection_made has returned and before
    /// the first data arrives. The protocol is built from `arguments`. At the end of the pipe,
    /// eof_received, whose result does not count, and connection_lost with an empty reason follow; a
    /// terminal's other end going away is such an end, too. can_write_eof() is false; writing is a
    /// std::logic_error.
    ///
    /// Throws at once what the class says. When awaited: what the protocol's constructor throws,
    /// Cancelled if the task is cancelled; then the descriptor is closed again.
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Connection<P>> connect_read_pipe(Descriptor pipe, Arguments... arguments) {
        return detail::as_connection<P>(
            connect_pipe(detail::factory_of<P>(std::move(arguments)...), std::move(pipe), false));
    }
    /// The same with a factory, asyncio's form; see EventLoop::create_connection about GCC 12.
    template <detail::FactoryOf F>
    Task<Connection<detail::ProtocolOf<F>>> connect_read_pipe(F factory, Descriptor pipe) {
        return detail::as_connection<detail::ProtocolOf<F>>(
            connect_pipe(std::move(factory), std::move(pipe), false));
    }
    /// Writes to `pipe`, with everything a Transport promises about writing. write_eof() is close().
    /// sendfile() throws std::errc::operation_not_supported. When the last reader of a pipe or FIFO,
    /// or the peer of a socket, goes away, connection_lost follows: with an empty reason if nothing
    /// was unsent, else with std::errc::broken_pipe. The protocol may derive from WritePipeProtocol.
    /// Throws like connect_read_pipe().
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Connection<P>> connect_write_pipe(Descriptor pipe, Arguments... arguments) {
        return detail::as_connection<P>(
            connect_pipe(detail::factory_of<P>(std::move(arguments)...), std::move(pipe), true));
    }
    /// The same with a factory.
    template <detail::FactoryOf F>
    Task<Connection<detail::ProtocolOf<F>>> connect_write_pipe(F factory, Descriptor pipe) {
        return detail::as_connection<detail::ProtocolOf<F>>(
            connect_pipe(std::move(factory), std::move(pipe), true));
    }

protected:
    PipeEndpoints() = default;
    ~PipeEndpoints() = default;

private:
    Task<detail::MadeConnection> connect_pipe(detail::ConnectionFactory factory, Descriptor pipe,
                                              bool writing);
};

}  // namespace sluice::inline v0_1
