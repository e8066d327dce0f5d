// What zero-copy sending is worth on this machine's loopback: CPU time of the sending thread, and of the whole process, for
// each send of a size, by send(2), by the ring's send and by its send_zc, in interleaved rounds. It uses no part of
// Sluice: the figures say whether the library should have an option for it.
//
//   zero_copy [rounds] [sends per round and size]
#include "aligned_buffer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <system_error>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <liburing.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr std::array<std::size_t, 5> sizes{4096, 16384, 65536, 262144, 1048576};
constexpr unsigned queue_entries = 64;

int check(int result, const char* call) {
    if (result < 0) {
        throw std::system_error(errno, std::generic_category(), call);
    }
    return result;
}

double cpu_us(clockid_t clock) {
    timespec time{};
    check(clock_gettime(clock, &time), "clock_gettime");
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

struct Ends {
    int sending;
    int receiving;
};

Ends connect_over_loopback() {
    const int listener = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    check(bind(listener, raw, size), "bind");
    check(listen(listener, 1), "listen");
    check(getsockname(listener, raw, &size), "getsockname");
    const int sending = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    check(connect(sending, raw, size), "connect");
    const int receiving = check(accept(listener, nullptr, nullptr), "accept");
    close(listener);
    return {sending, receiving};
}

// Answers every `size` bytes with one, until the end. The sender waits for that, whichever way it sends: else one that does
// not wait for its memory fills the socket's buffer, which is another load and not another way.
void receive_all(int fd, std::size_t size) {
    const bench::AlignedBuffer into(1 << 18);
    for (std::size_t left = size;;) {
        const ssize_t count = recv(fd, into.data(), std::min(into.size(), left), 0);
        if (count <= 0) {
            return;
        }
        left -= static_cast<std::size_t>(count);
        if (left == 0) {
            left = size;
            check(static_cast<int>(send(fd, into.data(), 1, 0)), "send");
        }
    }
}

enum class Way : std::uint8_t { send, ring_send, ring_send_zc };
constexpr std::array<Way, 3> ways{Way::send, Way::ring_send, Way::ring_send_zc};

class Sender {
public:
    Sender() : memory_(sizes.back()) {
        io_uring_params parameters{};
        parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
        errno = -io_uring_queue_init_params(queue_entries, &ring_, &parameters);
        check(-errno, "io_uring_setup");
    }
    Sender(const Sender&) = delete;
    Sender& operator=(const Sender&) = delete;
    ~Sender() { io_uring_queue_exit(&ring_); }

    void send_all(Way way, int fd, std::size_t size) {
        for (std::size_t sent = 0; sent < size;) {
            const int count = way == Way::send
                                  ? static_cast<int>(send(fd, memory_.data(), size - sent, 0))
                                  : by_ring(way, fd, size - sent);
            sent += static_cast<std::size_t>(check(count, "send"));
        }
        char answer = 0;
        check(static_cast<int>(recv(fd, &answer, 1, 0)), "recv");
    }

private:
    // Until the memory is free again, as whoever fills it anew must wait.
    int by_ring(Way way, int fd, std::size_t size) {
        io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
        if (way == Way::ring_send) {
            io_uring_prep_send(entry, fd, memory_.data(), size, MSG_WAITALL);
        } else {
            io_uring_prep_send_zc(entry, fd, memory_.data(), size, MSG_WAITALL, 0);
        }
        int result = 0;
        for (bool more = true; more;) {
            io_uring_submit_and_wait(&ring_, 1);
            io_uring_cqe* completion = nullptr;
            check(io_uring_peek_cqe(&ring_, &completion), "io_uring_peek_cqe");
            if ((completion->flags & IORING_CQE_F_NOTIF) == 0) {
                result = completion->res;
            }
            more = (completion->flags & IORING_CQE_F_MORE) != 0;
            io_uring_cqe_seen(&ring_, completion);
        }
        errno = -std::min(result, 0);
        return result;
    }

    io_uring ring_{};
    bench::AlignedBuffer memory_;
};

struct Cost {
    std::vector<double> sender;
    std::vector<double> process;
};

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

void measure(std::size_t size, unsigned rounds, unsigned sends) {
    std::array<Cost, ways.size()> costs;
    const Ends ends = connect_over_loopback();
    std::thread receiver(receive_all, ends.receiving, size);
    Sender sender;
    for (unsigned round = 0; round < rounds; ++round) {
        for (std::size_t way = 0; way < ways.size(); ++way) {
            const double thread_before = cpu_us(CLOCK_THREAD_CPUTIME_ID);
            const double process_before = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
            for (unsigned i = 0; i < sends; ++i) {
                sender.send_all(ways[way], ends.sending, size);
            }
            costs[way].sender.push_back((cpu_us(CLOCK_THREAD_CPUTIME_ID) - thread_before) / sends);
            costs[way].process.push_back((cpu_us(CLOCK_PROCESS_CPUTIME_ID) - process_before) /
                                         sends);
        }
    }
    close(ends.sending);
    receiver.join();
    close(ends.receiving);
    std::printf("%8zu", size);
    for (const Cost& cost : costs) {
        std::printf("  %8.2f  %8.2f", median(cost.sender), median(cost.process));
    }
    std::printf("  %.3f\n", median(costs[2].process) / median(costs[0].process));
}

}  // namespace

int main(int argc, char** argv) try {
    const unsigned rounds = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 9;
    const unsigned sends = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 500;
    std::printf(
        "CPU us/send: sender, both ends\n   bytes         send(2)            ring send"
        "             send_zc        zc/send\n");
    for (const std::size_t size : sizes) {
        measure(size, rounds, sends);
    }
} catch (const std::exception& error) {
    std::fprintf(stderr, "zero_copy: %s\n", error.what());
    return 1;
}
