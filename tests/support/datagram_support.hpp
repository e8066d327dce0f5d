// DatagramPeer and DatagramRecorder: the other end of a datagram endpoint as a bare socket, and the
// protocol that writes down what it is told.
//
// The peer uses none of our code but the address type, so that a mistake of the library cannot
// cancel itself out. Nothing here knows what a case is about.
#pragma once

#include <sluice/datagram.hpp>
#include <sluice/event_loop.hpp>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::test {

/// What datagrams travel over.
enum class DatagramWire : std::uint8_t { ipv4, ipv6, unix_domain };
/// "ipv4"; for INSTANTIATE_TEST_SUITE_P.
std::string wire_name(DatagramWire wire);
/// False for IPv6 where the machine has no ::1.
[[nodiscard]] bool has_wire(DatagramWire wire);
/// An address of the wire that a socket can be bound to: port 0, or an abstract name not in use.
[[nodiscard]] SocketAddress free_address(DatagramWire wire);

/// A bare datagram socket. Non-blocking, close-on-exec. Throws std::system_error.
class DatagramPeer {
public:
    /// Bound to `local`, or to free_address().
    explicit DatagramPeer(DatagramWire wire) : DatagramPeer(wire, free_address(wire)) {}
    DatagramPeer(DatagramWire wire, const SocketAddress& local);
    /// Takes the descriptor over.
    explicit DatagramPeer(int fd) noexcept : fd_(fd) {}
    DatagramPeer(DatagramPeer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    DatagramPeer& operator=(DatagramPeer&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~DatagramPeer() { close(); }

    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void close() noexcept;
    [[nodiscard]] SocketAddress address() const;
    void connect(const SocketAddress& to);
    /// errno, or 0.
    int send_to(const SocketAddress& to, std::string_view data);
    int send(std::string_view data);
    /// The next datagram, if one has arrived.
    [[nodiscard]] std::optional<std::string> receive();
    /// The same with its sender.
    [[nodiscard]] std::optional<std::string> receive(SocketAddress& sender);
    void set_option(int level, int name, int value);

private:
    int fd_;
};

/// Two connected sockets without names: socketpair(2).
std::pair<DatagramPeer, DatagramPeer> datagram_pair();

struct ReceivedCopy {
    std::string data;
    SocketAddress sender;
    bool truncated = false;
    std::uint8_t ecn = 0;
    std::uint8_t ttl = 0;
};

/// What a protocol was told, and what it is to do then. Outlives the protocol.
struct DatagramRecorder {
    DatagramTransport* transport = nullptr;
    std::string trace;  // M D E P R L, one for each callback
    std::vector<std::string> received;
    std::vector<SocketAddress> senders;
    std::vector<std::error_code> errors;
    std::optional<std::error_code> lost;
    int destroyed = 0;
    // Only the protocol for batches fills these.
    std::vector<std::size_t> batches;
    std::vector<ReceivedCopy> copies;

    std::function<void()> on_made;
    std::function<void(const std::string&, const SocketAddress&)> on_datagram;
    std::function<void(std::error_code)> on_error;
    std::function<void()> on_pause;
    std::function<void()> on_resume;
    std::function<void()> on_lost;
};

class RecordingDatagramProtocol : public DatagramProtocol {
public:
    explicit RecordingDatagramProtocol(DatagramRecorder* recorder) : recorder_(recorder) {}
    ~RecordingDatagramProtocol() override { ++recorder_->destroyed; }

    void connection_made(DatagramTransport& transport) override;
    void datagram_received(Bytes data, const SocketAddress& sender) override;
    void error_received(std::error_code error) override;
    void pause_writing() override;
    void resume_writing() override;
    void connection_lost(std::error_code reason) override;

protected:
    DatagramRecorder* recorder_;
};

class BatchRecordingProtocol final : public RecordingDatagramProtocol {
public:
    using RecordingDatagramProtocol::RecordingDatagramProtocol;
    void datagrams_received(std::span<const Datagram> batch) override;
};

}  // namespace sluice::test
