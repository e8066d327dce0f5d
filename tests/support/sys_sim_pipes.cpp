// The functions of detail/sys_pipes.hpp and detail/sys_socket_calls.hpp, simulated.
//
// There are no pipes in the simulated system: a stream socket, which may be read and written like one,
// stands for them, with all its faults.
#include <sluice/detail/sys_pipes.hpp>
#include <sluice/detail/sys_socket_calls.hpp>

#include "support/sys_sim_call.hpp"

#include <sys/epoll.h>

namespace sluice::inline v0_1::detail::sys {

using test::InSimKernel;
using test::SimMachine;
using test::SimSocket;

Result<PipeStatus> pipe_status(int fd) noexcept {
    const InSimKernel inside;
    const SimSocket* const socket = SimMachine::current().peek(fd);
    if (socket == nullptr) {
        return Result<PipeStatus>::failure(EBADF);
    }
    PipeStatus status;
    status.kind = socket->kind == SimSocket::Kind::stream ? PipeKind::socket
                  : socket->file != nullptr               ? PipeKind::file
                                                          : PipeKind::other;
    status.readable = true;
    status.writable = true;
    return status;
}

void set_blocking(int) noexcept {}

bool unshare_terminal(int) noexcept {
    return false;
}

IoResult read(int fd, MutableBytes into) noexcept {
    return recv(fd, into);
}

IoResult write_gathered(int fd, std::span<const Bytes> pieces) noexcept {
    return send_gathered(fd, pieces, false);
}

bool reader_is_gone(int fd) noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    SimSocket* const socket = machine.find(fd, "reader_is_gone");
    return socket != nullptr && (machine.poll(*socket) & (EPOLLERR | EPOLLHUP)) != 0;
}

Result<bool> is_nonblocking(int fd) noexcept {
    const InSimKernel inside;
    return SimMachine::current().peek(fd) != nullptr ? Result<bool>(true)
                                                     : Result<bool>::failure(EBADF);
}

IoResult sock_receive_from(int fd, MutableBytes into, SocketAddress& sender) noexcept {
    sender = peer_address(fd);
    return recv(fd, into);
}

IoResult sock_send_to(int fd, Bytes from, const SocketAddress&) noexcept {
    return send(fd, from);
}

}  // namespace sluice::inline v0_1::detail::sys
