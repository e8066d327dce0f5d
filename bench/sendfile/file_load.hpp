// The load of the file benchmark: connections that are kept alive and each ask for the same file again as soon as the last
// byte of an answer is there, over TCP or TLS. Never sleeps, like the echo load and for the same reason. Knows one address,
// not who serves it.
#pragma once

#include "../aligned_buffer.hpp"
#include "../driver/descriptor.hpp"
#include "../driver/pattern.hpp"
#include "../driver/tls_client.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sys/epoll.h>

namespace bench::files {

struct FileShape {
    std::string path;  // as it stands in a request
    std::uint64_t bytes = 0;
    std::size_t connections = 1;
    bool tls = false;
};

struct FileCount {
    std::uint64_t answers = 0;
    std::chrono::nanoseconds wall{};
};

/// Whether the bytes of files are compared or only counted. Over TCP counting costs no copy out of the kernel, so that the
/// load is never slower than the server; heads are read in either case.
enum class Bodies { compared, counted };

class FileLoad {
public:
    /// Connects, shakes hands where that is wanted, and compares one answer on every connection. Throws LoadError or
    /// TlsError.
    FileLoad(std::uint16_t port, FileShape shape);
    FileLoad(const FileLoad&) = delete;
    FileLoad& operator=(const FileLoad&) = delete;

    /// Asks on every connection for about `time`, once at least, then lets every answer under way come to its end. Throws
    /// LoadError for an answer that is not the file.
    FileCount run_for(std::chrono::nanoseconds time, Bodies bodies);

private:
    struct Connection {
        Descriptor fd;
        std::optional<TlsConnection> tls;
        std::string head;  // of the answer, while it is incomplete
        bool in_head = true;
        std::uint64_t position = 0;  // in the file
    };

    void shake_hands(Connection& connection);
    void send_output(const Connection& connection);
    void ask(Connection& connection);
    void receive(Connection& connection);
    void skip_body(Connection& connection);
    std::size_t receive_into(const Connection& connection, std::span<char> space, int flags) const;
    void accept(Connection& connection, std::span<const char> bytes);
    void read_head(Connection& connection) const;
    void add_to_body(Connection& connection, std::size_t count);

    FileShape shape_;
    std::string request_;
    Pattern pattern_;
    AlignedBuffer buffer_;
    AlignedBuffer plaintext_;
    TlsClient client_;
    std::vector<Connection> connections_;
    std::vector<epoll_event> events_;
    Descriptor epoll_;
    Bodies bodies_ = Bodies::compared;
    bool ending_ = false;
    std::size_t busy_ = 0;
    FileCount count_;
};

}  // namespace bench::files
