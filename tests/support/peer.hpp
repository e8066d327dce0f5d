// Peer and Listener: the other end of a connection as bare non-blocking sockets, without any of our
// code, so that a mistake of the library cannot cancel itself out.
//
// Nothing here knows the loop: a helper that has to wait for the library drives it from
// conformance.hpp. Failures of the system end the test with a std::system_error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::test {

/// Sizes of a socket's kernel buffers, to be set before the connection is made; the kernel doubles
/// them (socket(7)).
struct SocketBuffers {
    std::optional<int> send_bytes;
    std::optional<int> receive_bytes;
};

/// What lies between the two ends.
enum class Wire : std::uint8_t { tcp, unix_socket };

class PeerTls;

/// A connected stream socket in the test's hands. Non-blocking, close-on-exec. After speak_tls()
/// the calls below mean plaintext and the ends of the TLS stream.
class Peer {
public:
    Peer() noexcept;
    /// Takes the descriptor over.
    explicit Peer(int fd);
    Peer(Peer&& other) noexcept;
    Peer& operator=(Peer&& other) noexcept;
    ~Peer();

    /// Connects to 127.0.0.1:port and waits for the handshake, which the kernel's backlog answers.
    static Peer connect(std::uint16_t port, SocketBuffers buffers = {});
    /// Connects to the Unix socket of that path or, after a NUL, abstract name.
    static Peer connect_unix(const std::string& path, SocketBuffers buffers = {});

    /// Speaks TLS from here on; whoever reads and sends drives the handshake.
    void speak_tls(std::unique_ptr<PeerTls> tls);
    /// Null for a plain socket.
    [[nodiscard]] PeerTls* tls() const noexcept { return tls_.get(); }
    /// Sends these bytes as they are, whatever the peer speaks. Throws as send().
    void send_raw(std::string_view bytes);
    /// FIN without close_notify.
    void shutdown_write_raw();

    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
    /// The descriptor, which is the caller's from now on.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

    /// Sends what the kernel takes at once; the count.
    std::size_t send_some(std::string_view bytes);
    /// Sends what a TLS peer has sealed and the kernel has refused; true if nothing is left of it.
    bool send_rest() { return tls_ == nullptr || send_pending(); }
    /// Sends everything; throws std::logic_error if the kernel does not take it at once. A TLS peer
    /// keeps what its unfinished handshake does not let it send yet, and sends it right after;
    /// one that has answered close_notify says nothing more.
    void send(std::string_view bytes);
    /// Reads what is there into received(), until nothing is left, the end or an error. A TLS peer
    /// answers what is to be answered: handshakes, close_notify.
    void receive_available();
    /// Reads at most this many bytes.
    void receive_at_most(std::size_t byte_count);
    /// Everything read so far.
    [[nodiscard]] const std::string& received() const noexcept { return received_; }
    [[nodiscard]] std::string take_received() noexcept { return std::exchange(received_, {}); }
    /// The other end has finished sending.
    [[nodiscard]] bool saw_end() const noexcept { return saw_end_; }
    /// errno of the read that failed, e.g. ECONNRESET, with TLS also of the send; 0 if none did.
    [[nodiscard]] int error() const noexcept { return error_; }
    /// The stream ended without close_notify.
    [[nodiscard]] bool truncated() const noexcept { return truncated_; }

    /// FIN, or close_notify; nothing on a connection that was reset.
    void shutdown_write();
    /// RST: close() with SO_LINGER 0 (socket(7)). A Unix socket has no such thing: there it is what
    /// it is for the kernel, a close, and the other end is only reset when something it sent is
    /// unread here (unix_release_sock).
    void reset();
    void close() noexcept;
    [[nodiscard]] std::uint16_t local_port() const;

private:
    std::size_t send_plain(std::string_view bytes);
    std::size_t receive_chunk(std::string& chunk);
    bool send_pending();
    void send_early();

    int fd_ = -1;
    std::string received_;
    bool saw_end_ = false;
    bool wire_ended_ = false;
    bool truncated_ = false;
    int error_ = 0;
    std::unique_ptr<PeerTls> tls_;
    std::string pending_;  // ciphertext the kernel has not taken yet
    std::string early_;    // plaintext that waits for the handshake
    bool early_end_ = false;
};

/// A listening socket on a free port of 127.0.0.1, or a free abstract name.
class Listener {
public:
    explicit Listener(SocketBuffers buffers = {}, Wire wire = Wire::tcp);
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener();

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    /// The abstract name; empty for TCP.
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] int fd() const noexcept { return fd_; }
    /// The next connection, if one is waiting.
    [[nodiscard]] std::optional<Peer> accept();

private:
    int fd_ = -1;
    std::uint16_t port_ = 0;
    std::string path_;
};

/// Both ends of one connection over the loopback, or a Unix socket: {connecting end, accepted end}.
std::pair<Peer, Peer> connected_peers(SocketBuffers connecting = {}, SocketBuffers accepted = {},
                                      Wire wire = Wire::tcp);
/// An abstract name that nobody has.
[[nodiscard]] std::string free_abstract_name();

// ---- looking at any socket, also the library's ----

/// Waits, without reading, until the kernel has at least `byte_count` bytes for `fd`; false after
/// patience() (patience.hpp). Proves that bytes have arrived which a paused transport must not deliver.
[[nodiscard]] bool wait_for_arrival(int fd, std::size_t byte_count);
/// Waits until the kernel has seen the peer's FIN or RST (poll(2): POLLRDHUP, POLLHUP, POLLERR).
[[nodiscard]] bool wait_for_hang_up(int fd);
/// Waits until the kernel holds an error for `fd` or both directions are over (POLLERR, POLLHUP).
[[nodiscard]] bool wait_for_error(int fd);
/// Waits until `fd` is readable.
[[nodiscard]] bool wait_readable(int fd);
/// The socket's buffers may hold this much (SO_SNDBUF, SO_RCVBUF).
void set_buffers(int fd, SocketBuffers buffers);
[[nodiscard]] int socket_option(int fd, int level, int name);
[[nodiscard]] bool has_close_on_exec(int fd);
/// The open descriptors of this process, in ascending order.
[[nodiscard]] std::vector<int> open_descriptors();
[[nodiscard]] bool descriptor_is_open(int fd);

}  // namespace sluice::test
