// The wrappers behind SyscallCounter: `ld --wrap=send` sends every call of send to __wrap_send and
// calls it __real_send (ld(1)). This object is pulled out of the support library only by programs
// that use the counter. See syscall_counter.hpp.
#include "support/syscall_counter.hpp"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <vector>

#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

extern "C" {
// Names that end where the linker's convention wants them, not where our style does.
// NOLINTBEGIN(bugprone-reserved-identifier)
ssize_t __real_send(int fd, const void* bytes, size_t size, int flags);
ssize_t __real_sendmsg(int fd, const msghdr* message, int flags);
ssize_t __real_recv(int fd, void* into, size_t size, int flags);
int __real_epoll_wait(int epoll_fd, epoll_event* events, int room, int timeout_ms);
int __real_epoll_pwait2(int epoll_fd, epoll_event* events, int room, const timespec* timeout,
                        const sigset_t* mask);
int __real_epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event);
int __real_shutdown(int fd, int how);
ssize_t __real_sendfile(int fd, int file, off_t* offset, size_t count);
ssize_t __real_preadv2(int fd, const iovec* pieces, int count, off_t offset, int flags);
ssize_t __real_pread(int fd, void* into, size_t size, off_t offset);

ssize_t __wrap_send(int fd, const void* bytes, size_t size, int flags);
ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags);
ssize_t __wrap_recv(int fd, void* into, size_t size, int flags);
int __wrap_epoll_wait(int epoll_fd, epoll_event* events, int room, int timeout_ms);
int __wrap_epoll_pwait2(int epoll_fd, epoll_event* events, int room, const timespec* timeout,
                        const sigset_t* mask);
int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event);
int __wrap_shutdown(int fd, int how);
ssize_t __wrap_sendfile(int fd, int file, off_t* offset, size_t count);
ssize_t __wrap_preadv2(int fd, const iovec* pieces, int count, off_t offset, int flags);
ssize_t __wrap_pread(int fd, void* into, size_t size, off_t offset);
// NOLINTEND(bugprone-reserved-identifier)
}

namespace sluice::test {

namespace {

thread_local SyscallCounter* current_counter = nullptr;

// Makes the call, or the failure asked for in its place, and writes it down.
template <class Call>
auto counted(SystemCall entry, Call call) {
    SyscallCounter* counter = SyscallCounter::current();
    if (counter == nullptr) {
        return call();
    }
    decltype(call()) result = -1;
    int error = counter->take_failure(entry.name, entry.fd);
    if (error == 0) {
        result = call();
        error = result < 0 ? errno : 0;
    }
    entry.result = error != 0 ? -error : result;
    counter->record(entry);
    errno = error;
    return result;
}

std::size_t bytes_of(const msghdr& message) {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
        sum += message.msg_iov[i].iov_len;
    }
    return sum;
}

// The first `allowed` bytes of what the message points to.
std::vector<iovec> shortened(const msghdr& message, std::size_t allowed) {
    std::vector<iovec> pieces(message.msg_iov, message.msg_iov + message.msg_iovlen);
    for (iovec& piece : pieces) {
        piece.iov_len = std::min(piece.iov_len, allowed);
        allowed -= piece.iov_len;
    }
    return pieces;
}

}  // namespace

SyscallCounter::SyscallCounter() {
    current_counter = this;
}
SyscallCounter::~SyscallCounter() {
    current_counter = nullptr;
}
SyscallCounter* SyscallCounter::current() noexcept {
    return current_counter;
}

std::size_t SyscallCounter::count(std::string_view name, int fd) const {
    return static_cast<std::size_t>(std::count_if(
        calls_.begin(), calls_.end(),
        [name, fd](const SystemCall& call) { return call.name == name && call.fd == fd; }));
}

std::size_t SyscallCounter::count(std::string_view name) const {
    return static_cast<std::size_t>(
        std::count_if(calls_.begin(), calls_.end(),
                      [name](const SystemCall& call) { return call.name == name; }));
}

std::size_t SyscallCounter::sends(int fd) const {
    return sent(fd).size();
}

std::vector<SystemCall> SyscallCounter::sent(int fd) const {
    std::vector<SystemCall> found;
    std::copy_if(calls_.begin(), calls_.end(), std::back_inserter(found),
                 [fd](const SystemCall& call) {
                     return call.fd == fd && (call.name == "send" || call.name == "sendmsg");
                 });
    return found;
}

void SyscallCounter::fail_next(std::string_view name, int fd, int error) {
    failures_.push_back({name, fd, error, false});
}

void SyscallCounter::fail_all(std::string_view name, int error) {
    std::erase_if(failures_, [name](const Failure& each) { return each.name == name; });
    if (error != 0) {
        failures_.push_back({name, any_descriptor, error, true});
    }
}

std::size_t SyscallCounter::bytes(std::string_view name) const {
    std::size_t sum = 0;
    for (const SystemCall& call : calls_) {
        sum += call.name == name && call.result > 0 ? static_cast<std::size_t>(call.result) : 0;
    }
    return sum;
}

void SyscallCounter::shorten_next_send(int fd, std::size_t bytes) {
    allowances_.push_back({fd, bytes});
}

int SyscallCounter::take_failure(std::string_view name, int fd) {
    const auto found =
        std::find_if(failures_.begin(), failures_.end(), [name, fd](const Failure& failure) {
            return failure.name == name && (failure.fd == fd || failure.fd == any_descriptor);
        });
    if (found == failures_.end()) {
        return 0;
    }
    const int error = found->error;
    if (!found->for_ever) {
        failures_.erase(found);
    }
    return error;
}

std::size_t SyscallCounter::take_allowance(int fd, std::size_t wanted) {
    const auto found =
        std::find_if(allowances_.begin(), allowances_.end(),
                     [fd](const Allowance& allowance) { return allowance.fd == fd; });
    if (found == allowances_.end()) {
        return wanted;
    }
    const std::size_t bytes = std::min(found->bytes, wanted);
    allowances_.erase(found);
    return bytes;
}

}  // namespace sluice::test

using sluice::test::counted;
using sluice::test::SyscallCounter;

ssize_t __wrap_send(int fd, const void* bytes, size_t size, int flags) {
    return counted({"send", fd, size, 1, 0, flags}, [&] {
        SyscallCounter* counter = SyscallCounter::current();
        const size_t allowed = counter != nullptr ? counter->take_allowance(fd, size) : size;
        return __real_send(fd, bytes, allowed, flags);
    });
}

ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags) {
    const std::size_t wanted = sluice::test::bytes_of(*message);
    return counted({"sendmsg", fd, wanted, message->msg_iovlen, 0, flags}, [&] {
        SyscallCounter* counter = SyscallCounter::current();
        const size_t allowed = counter != nullptr ? counter->take_allowance(fd, wanted) : wanted;
        std::vector<iovec> pieces = sluice::test::shortened(*message, allowed);
        msghdr passed_on = *message;
        passed_on.msg_iov = pieces.data();
        return __real_sendmsg(fd, &passed_on, flags);
    });
}

ssize_t __wrap_recv(int fd, void* into, size_t size, int flags) {
    return counted({"recv", fd, size, 1, 0}, [&] { return __real_recv(fd, into, size, flags); });
}

int __wrap_epoll_wait(int epoll_fd, epoll_event* events, int room, int timeout_ms) {
    return counted({"epoll_wait", epoll_fd, 0, 0, 0},
                   [&] { return __real_epoll_wait(epoll_fd, events, room, timeout_ms); });
}

// Of the emulation of kqueue(2): one for each kevent() that waits.
int __wrap_epoll_pwait2(int epoll_fd, epoll_event* events, int room, const timespec* timeout,
                        const sigset_t* mask) {
    return counted({"epoll_wait", epoll_fd, 0, 0, 0},
                   [&] { return __real_epoll_pwait2(epoll_fd, events, room, timeout, mask); });
}

int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event) {
    return counted({"epoll_ctl", fd, 0, 0, 0},
                   [&] { return __real_epoll_ctl(epoll_fd, operation, fd, event); });
}

int __wrap_shutdown(int fd, int how) {
    return counted({"shutdown", fd, 0, 0, 0}, [&] { return __real_shutdown(fd, how); });
}

ssize_t __wrap_sendfile(int fd, int file, off_t* offset, size_t count) {
    return counted({"sendfile", fd, count, 1, 0}, [&] {
        SyscallCounter* counter = SyscallCounter::current();
        const size_t allowed = counter != nullptr ? counter->take_allowance(fd, count) : count;
        return __real_sendfile(fd, file, offset, allowed);
    });
}

// What the library reads of files has one piece.
ssize_t __wrap_preadv2(int fd, const iovec* pieces, int count, off_t offset, int flags) {
    return counted({"preadv2", fd, pieces->iov_len, 1, 0}, [&] {
        SyscallCounter* counter = SyscallCounter::current();
        iovec piece = *pieces;
        if (counter != nullptr) {
            piece.iov_len =
                counter->take_allowance(SyscallCounter::any_descriptor, pieces->iov_len);
        }
        return __real_preadv2(fd, &piece, count, offset, flags);
    });
}

ssize_t __wrap_pread(int fd, void* into, size_t size, off_t offset) {
    return counted({"pread", fd, size, 1, 0}, [&] { return __real_pread(fd, into, size, offset); });
}
