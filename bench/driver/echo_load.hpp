// The load: N connections that each send `depth` messages at once and, after the last byte of the answer, the next
// batch. Never sleeps: a server whose client has to be woken pays for that (12 us here), which would hide everything
// else. Compares every byte received. Knows one address, not who serves it.
#pragma once

#include "../aligned_buffer.hpp"
#include "descriptor.hpp"
#include "pattern.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include <sys/epoll.h>

namespace bench {

/// The server answered wrongly, closed, or stopped answering.
class LoadError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A connected non-blocking socket with TCP_NODELAY. Throws LoadError.
Descriptor connect_to(std::uint16_t port);

struct EchoShape {
    std::size_t message_bytes = 64;
    std::size_t connections = 1;
    std::size_t depth = 1;
};

struct EchoCount {
    std::uint64_t messages = 0;
    std::chrono::nanoseconds wall{};
};

class EchoLoad {
public:
    EchoLoad(std::uint16_t port, const EchoShape& shape);
    virtual ~EchoLoad() = default;
    EchoLoad(const EchoLoad&) = delete;
    EchoLoad& operator=(const EchoLoad&) = delete;

    /// Exchanges messages for about `time`, then lets every batch under way complete, so that nothing is in flight at
    /// either end and messages and CPU time belong to each other exactly. Throws LoadError.
    EchoCount run_for(std::chrono::nanoseconds time);

    /// The same with a number of batches on each connection.
    EchoCount run_batches(std::uint64_t batches);

protected:
    struct Connection {
        Descriptor fd;
        std::uint64_t origin = 0;
        std::uint64_t sent = 0;
        std::uint64_t received = 0;
        std::uint64_t goal = 0;  // stream position at which the batch under way ends
        std::uint64_t batches_left = 0;
        bool wants_write = false;
    };

    /// Sends what the batch under way still lacks, as far as the kernel takes it, and watches for more room if it does not.
    virtual void send_some(Connection& connection);
    /// Receives once and passes on what came to accept_answer().
    virtual void receive_some(Connection& connection);

    /// Compares the next bytes of an answer and, when it is complete, sends the next batch.
    void accept_answer(Connection& connection, std::span<const char> bytes);
    /// Bytes received into our own buffer, none when the kernel has none. Throws LoadError for an end or an error.
    std::span<const char> receive(const Connection& connection);
    void watch(Connection& connection, bool write);

    const EchoShape& shape() const { return shape_; }
    const Pattern& pattern() const { return pattern_; }
    std::vector<Connection>& connections() { return connections_; }

private:
    EchoCount run(std::uint64_t batches_each, std::chrono::nanoseconds time);
    void serve_ready(int count);
    void begin_batch(Connection& connection);

    EchoShape shape_;
    Pattern pattern_;
    AlignedBuffer buffer_;
    std::vector<Connection> connections_;
    std::vector<epoll_event> events_;
    Descriptor epoll_;
    std::size_t busy_ = 0;  // connections with a batch under way
    bool ending_ = false;
};

}  // namespace bench
