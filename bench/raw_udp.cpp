// The references of the UDP benchmark: level-triggered epoll, and after each wake-up recvfrom and sendto until nothing is
// left (--batch 1), or the same with recvmmsg and sendmmsg.
#include "aligned_buffer.hpp"
#include "udp_support.hpp"

#include <array>
#include <vector>

#include <sys/epoll.h>

namespace {

constexpr std::size_t datagram_bytes = 64UL * 1024;
constexpr std::size_t most = 32;

void wait_for(int epoll) {
    epoll_event event{};
    while (epoll_wait(epoll, &event, 1, -1) < 1) {
    }
}

void echo_single(int fd, int epoll) {
    const bench::AlignedBuffer buffer(datagram_bytes);
    for (;;) {
        wait_for(epoll);
        for (;;) {
            sockaddr_in from{};
            socklen_t length = sizeof from;
            auto* const address = reinterpret_cast<sockaddr*>(&from);
            const ssize_t size = recvfrom(fd, buffer.data(), datagram_bytes, 0, address, &length);
            if (size < 0) {
                break;
            }
            static_cast<void>(
                sendto(fd, buffer.data(), static_cast<std::size_t>(size), 0, address, length));
        }
    }
}

void echo_batches(int fd, int epoll, unsigned batch) {
    // Two KiB each, as such programs do: more than any packet of theirs.
    constexpr std::size_t slot_bytes = 2048;
    const bench::AlignedBuffer buffer(most * slot_bytes);
    std::array<mmsghdr, most> messages{};
    std::array<iovec, most> pieces{};
    std::array<sockaddr_in, most> addresses{};
    for (;;) {
        wait_for(epoll);
        for (;;) {
            for (std::size_t i = 0; i < batch; ++i) {
                pieces[i] = {buffer.data() + i * slot_bytes, slot_bytes};
                messages[i].msg_hdr.msg_iov = &pieces[i];
                messages[i].msg_hdr.msg_iovlen = 1;
                messages[i].msg_hdr.msg_name = &addresses[i];
                messages[i].msg_hdr.msg_namelen = sizeof addresses[i];
            }
            const int count = recvmmsg(fd, messages.data(), batch, 0, nullptr);
            if (count <= 0) {
                break;
            }
            for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
                pieces[i].iov_len = messages[i].msg_len;
            }
            int sent = 0;
            while (sent < count) {
                const int some =
                    sendmmsg(fd, messages.data() + sent, static_cast<unsigned>(count - sent), 0);
                sent += some > 0 ? some : 1;
            }
            if (static_cast<unsigned>(count) < batch) {
                break;
            }
        }
    }
}

void serve(int fd, const bench::UdpOptions& options) {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    if (options.batch == 1) {
        echo_single(fd, epoll);
    } else {
        echo_batches(fd, epoll, static_cast<unsigned>(options.batch));
    }
}

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_datagrams(argc, argv, serve);
}
