// Pipes and terminals by the system's own calls.
#include "support/pipe_end.hpp"

#include "support/checked.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

namespace sluice::test {

PipeEnd::PipeEnd(int fd) : fd_(fd) {
    const int flags = checked(::fcntl(fd, F_GETFL), "fcntl");
    checked(::fcntl(fd, F_SETFL, flags | O_NONBLOCK), "fcntl");
}

PipeEnd::PipeEnd(PipeEnd&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      received_(std::move(other.received_)),
      saw_end_(other.saw_end_) {}

PipeEnd& PipeEnd::operator=(PipeEnd&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = std::exchange(other.fd_, -1);
        received_ = std::move(other.received_);
        saw_end_ = other.saw_end_;
    }
    return *this;
}

std::size_t PipeEnd::write_some(std::string_view bytes) {
    std::size_t written = 0;
    while (written < bytes.size()) {
        const ssize_t count = ::write(fd_, bytes.data() + written, bytes.size() - written);
        if (count < 0 && errno == EAGAIN) {
            break;
        }
        checked(static_cast<int>(count), "write");
        written += static_cast<std::size_t>(count);
    }
    return written;
}

void PipeEnd::write(std::string_view bytes) {
    if (write_some(bytes) != bytes.size()) {
        throw std::logic_error("the pipe is full");
    }
}

void PipeEnd::read_available() {
    read_at_most(~std::size_t{0});
}

void PipeEnd::read_at_most(std::size_t byte_count) {
    std::array<char, 65536> chunk{};
    while (!saw_end_ && byte_count > 0) {
        const ssize_t count = ::read(fd_, chunk.data(), std::min(chunk.size(), byte_count));
        if (count < 0 && errno == EAGAIN) {
            return;
        }
        if (count == 0 || (count < 0 && errno == EIO)) {
            saw_end_ = true;
            return;
        }
        checked(static_cast<int>(count), "read");
        received_.append(chunk.data(), static_cast<std::size_t>(count));
        byte_count -= static_cast<std::size_t>(count);
    }
}

void PipeEnd::close() noexcept {
    if (fd_ >= 0) {
        ::close(std::exchange(fd_, -1));
    }
}

std::pair<int, int> make_terminal() {
    const int master = checked(::posix_openpt(O_RDWR | O_NOCTTY), "posix_openpt");
    checked(::fcntl(master, F_SETFD, FD_CLOEXEC), "fcntl");
    checked(::grantpt(master), "grantpt");
    checked(::unlockpt(master), "unlockpt");
    const int slave = checked(::open(::ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC), "open");
    // Raw: bytes go through unchanged, and nothing is echoed.
    termios settings{};
    checked(::tcgetattr(slave, &settings), "tcgetattr");
    ::cfmakeraw(&settings);
    checked(::tcsetattr(slave, TCSANOW, &settings), "tcsetattr");
    return {master, slave};
}

bool is_nonblocking(int fd) {
    return (checked(::fcntl(fd, F_GETFL), "fcntl") & O_NONBLOCK) != 0;
}

}  // namespace sluice::test
