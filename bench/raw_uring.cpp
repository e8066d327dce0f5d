// A hand-written io_uring echo server: multishot accept and receive into a ring of provided buffers, and a send for each
// message that leaves straight from the buffer it came in. One io_uring_enter(2) per turn. It shows what the interface
// itself is worth on a machine; it uses no part of Sluice.
#include "aligned_buffer.hpp"
#include "server_support.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include <liburing.h>

namespace {

constexpr unsigned queue_entries = 1024;
constexpr unsigned completion_entries = 4096;
constexpr unsigned buffer_count = 512;
constexpr std::size_t buffer_bytes = 16 * 1024;

void check(int result, const char* call) {
    if (result < 0) {
        throw std::system_error(-result, std::generic_category(), call);
    }
}

// What a completion belongs to: the operation, and the descriptor or the buffer whose bytes are being sent.
enum class Operation : std::uint8_t { accept, receive, send };

struct Token {
    Operation operation;
    std::uint16_t buffer;
    std::uint32_t fd;

    [[nodiscard]] std::uint64_t packed() const {
        return static_cast<std::uint64_t>(operation) << 48 |
               static_cast<std::uint64_t>(buffer) << 32 | fd;
    }
    static Token unpack(std::uint64_t packed) {
        return {.operation = static_cast<Operation>(packed >> 48),
                .buffer = static_cast<std::uint16_t>(packed >> 32),
                .fd = static_cast<std::uint32_t>(packed)};
    }
};

class Loop {
public:
    Loop(int listener, const bench::ServerOptions& options)
        : listener_(listener), sink_(options.sink), buffers_(buffer_count * buffer_bytes) {
        io_uring_params parameters{};
        parameters.flags =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
        parameters.cq_entries = completion_entries;
        check(io_uring_queue_init_params(queue_entries, &ring_, &parameters), "io_uring_setup");
        provide_buffers();
        accept();
    }

    [[noreturn]] void run() {
        for (;;) {
            const int result = io_uring_submit_and_wait(&ring_, 1);
            if (result < 0 && result != -EINTR) {
                check(result, "io_uring_enter");
            }
            unsigned head = 0;
            unsigned count = 0;
            io_uring_cqe* entry = nullptr;
            io_uring_for_each_cqe(&ring_, head, entry) {
                ++count;
                complete(*entry);
            }
            io_uring_cq_advance(&ring_, count);
        }
    }

private:
    io_uring_sqe& next_entry() {
        io_uring_sqe* entry = io_uring_get_sqe(&ring_);
        while (entry == nullptr) {
            check(io_uring_submit(&ring_), "io_uring_enter");
            entry = io_uring_get_sqe(&ring_);
        }
        return *entry;
    }

    void provide_buffers() {
        io_uring_buf_reg description{};
        description.ring_addr = reinterpret_cast<std::uintptr_t>(ring_of_buffers_.get());
        description.ring_entries = buffer_count;
        check(io_uring_register_buf_ring(&ring_, &description, 0), "IORING_REGISTER_PBUF_RING");
        io_uring_buf_ring_init(ring_of_buffers_.get());
        for (unsigned number = 0; number < buffer_count; ++number) {
            give_back(static_cast<std::uint16_t>(number));
        }
    }

    [[nodiscard]] char* buffer(std::uint16_t number) {
        return buffers_.data() + number * buffer_bytes;
    }

    void give_back(std::uint16_t number) {
        io_uring_buf_ring_add(ring_of_buffers_.get(), buffer(number), buffer_bytes, number,
                              io_uring_buf_ring_mask(buffer_count), 0);
        io_uring_buf_ring_advance(ring_of_buffers_.get(), 1);
    }

    void accept() {
        io_uring_sqe& entry = next_entry();
        io_uring_prep_multishot_accept(&entry, listener_, nullptr, nullptr, SOCK_CLOEXEC);
        io_uring_sqe_set_data64(&entry, Token{Operation::accept, 0, 0}.packed());
    }

    void receive(std::uint32_t fd) {
        io_uring_sqe& entry = next_entry();
        io_uring_prep_recv_multishot(&entry, static_cast<int>(fd), nullptr, 0, 0);
        io_uring_sqe_set_flags(&entry, IOSQE_BUFFER_SELECT);
        entry.buf_group = 0;
        io_uring_sqe_set_data64(&entry, Token{Operation::receive, 0, fd}.packed());
    }

    // Waits in the kernel for room, so that nothing of a message is left over. Two messages of one connection that are
    // under way at once could change places; the load of the benchmark sends the next when it has the answer.
    void send(std::uint32_t fd, std::uint16_t number, unsigned size) {
        io_uring_sqe& entry = next_entry();
        io_uring_prep_send(&entry, static_cast<int>(fd), buffer(number), size,
                           MSG_NOSIGNAL | MSG_WAITALL);
        io_uring_sqe_set_data64(&entry, Token{Operation::send, number, fd}.packed());
    }

    void complete(const io_uring_cqe& entry) {
        const Token token = Token::unpack(entry.user_data);
        const bool more = (entry.flags & IORING_CQE_F_MORE) != 0;
        switch (token.operation) {
            case Operation::accept:
                if (entry.res >= 0) {
                    const int on = 1;
                    setsockopt(entry.res, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    receive(static_cast<std::uint32_t>(entry.res));
                }
                if (!more) {
                    accept();
                }
                break;
            case Operation::receive:
                received(token.fd, entry, more);
                break;
            case Operation::send:
                give_back(token.buffer);
                break;
        }
    }

    void received(std::uint32_t fd, const io_uring_cqe& entry, bool more) {
        if (entry.res > 0) {
            const auto number = static_cast<std::uint16_t>(entry.flags >> IORING_CQE_BUFFER_SHIFT);
            if (sink_) {
                give_back(number);
            } else {
                send(fd, number, static_cast<unsigned>(entry.res));
            }
        } else if (entry.res != -ENOBUFS) {
            close(static_cast<int>(fd));
            return;
        }
        if (!more) {
            receive(fd);
        }
    }

    io_uring ring_{};
    int listener_;
    bool sink_;
    bench::AlignedBuffer buffers_;
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    // The kernel wants whole pages.
    std::unique_ptr<io_uring_buf_ring, Free> ring_of_buffers_{static_cast<io_uring_buf_ring*>(
        std::aligned_alloc(4096, buffer_count * sizeof(io_uring_buf)))};
};

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_on_threads(
        argc, argv,
        [](int listener, const bench::ServerOptions& options) { Loop(listener, options).run(); });
}
