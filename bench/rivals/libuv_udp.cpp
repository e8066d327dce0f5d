// Rival: libuv, receiving with recvmmsg (UV_UDP_RECVMMSG, 20 datagrams of 64 KiB as its documentation has it) and answering
// with uv_udp_try_send, which is one sendmsg and no request.
#include "aligned_buffer.hpp"
#include "udp_support.hpp"

#include <optional>

#include <uv.h>

namespace {

constexpr std::size_t datagrams = 20;
std::optional<bench::AlignedBuffer> memory;

void lend(uv_handle_t*, std::size_t suggested, uv_buf_t* buffer) {
    if (!memory) {
        memory.emplace(suggested * datagrams);
    }
    *buffer = uv_buf_init(memory->data(), static_cast<unsigned>(suggested * datagrams));
}

void on_datagram(uv_udp_t* socket, ssize_t size, const uv_buf_t* buffer, const sockaddr* from,
                 unsigned) {
    if (size > 0 && from != nullptr) {
        const uv_buf_t answer = uv_buf_init(buffer->base, static_cast<unsigned>(size));
        static_cast<void>(uv_udp_try_send(socket, &answer, 1, from));
    }
}

void serve(int fd, const bench::UdpOptions&) {
    uv_loop_t loop{};
    uv_loop_init(&loop);
    uv_udp_t socket{};
    uv_udp_init_ex(&loop, &socket, AF_UNSPEC | UV_UDP_RECVMMSG);
    uv_udp_open(&socket, fd);
    uv_udp_recv_start(&socket, lend, on_datagram);
    uv_run(&loop, UV_RUN_DEFAULT);
}

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_datagrams(argc, argv, serve);
}
