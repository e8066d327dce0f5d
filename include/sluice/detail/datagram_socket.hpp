// DatagramSocket: the datagram transport over one descriptor, UDP or Unix.
//
// States as of a stream transport: constructed -> started (connection_made was called) -> closing
// (close or abort) -> lost (connection_lost has returned). What must not happen inside a user's
// call is deferred through one Ready node and a set of bits. It knows no names, no coroutine and no
// event loop above the core; how an endpoint comes to be is in datagram_endpoints.ipp.
#pragma once

#include <sluice/datagram.hpp>
#include <sluice/datagram_options.hpp>
#include <sluice/descriptor.hpp>
#include <sluice/detail/datagram_queue.hpp>
#include <sluice/detail/dispatch.hpp>
#include <sluice/detail/loop_core.hpp>
#include <sluice/detail/result.hpp>
#include <sluice/detail/watermarks.hpp>

#include <memory>
#include <vector>

namespace sluice::inline v0_1::detail {

/// Whom a socket sends to when sendto() names nobody.
struct DatagramPeer {
    SocketAddress address;   // none: nobody
    bool connected = false;  // the system knows, too
};

class DatagramSocket final : public DatagramTransport,
                             private Watcher,
                             private Ready,
                             private Dirty,
                             private Retired,
                             private Attached,
                             private Timer {
public:
    /// Takes the bound socket of this family over, of which the options are set; no `local` if the
    /// system does not tell it. `core` must outlive it or detach it. May throw std::bad_alloc.
    static Ref<DatagramSocket> create(LoopCore& core, Descriptor socket, Family family,
                                      SocketAddress local, DatagramPeer peer,
                                      const DatagramOptions& options);
    /// From the loop, in this order: connection_made, start of reading, `on_started`.
    void start(std::unique_ptr<DatagramProtocol> protocol, Callback on_started);

    using DatagramTransport::send_segments;
    using DatagramTransport::sendto;
    void sendto(Bytes data, const SocketAddress& address) override;
    void send_segments(Bytes data, std::size_t segment_bytes,
                       const SocketAddress& address) override;
    void flush() override;
    void close() override;
    void abort() override;
    [[nodiscard]] bool is_closing() const noexcept override { return closing_; }
    void pause_reading() override;
    void resume_reading() override;
    [[nodiscard]] bool is_reading() const noexcept override {
        return started_ && !closing_ && !reading_paused_;
    }
    void set_write_buffer_limits(std::optional<std::size_t> high,
                                 std::optional<std::size_t> low) override;
    [[nodiscard]] WriteBufferLimits get_write_buffer_limits() const noexcept override {
        return watermarks_.bounds();
    }
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override {
        return queue_.size();
    }
    void set_write_buffer_cap(std::optional<std::size_t> bytes) override;
    void join_group(const SocketAddress& group, unsigned interface_index) override;
    void leave_group(const SocketAddress& group, unsigned interface_index) override;
    void set_protocol(std::unique_ptr<DatagramProtocol> protocol) override;
    [[nodiscard]] DatagramProtocol* get_protocol() const noexcept override {
        return lost_ ? nullptr : protocol_.get();
    }

private:
    // What the deferred node has to do when it runs.
    enum : std::uint8_t {
        start_pending = 1,
        lost_pending = 2,
        limits_pending = 4,
        errors_pending = 8,
    };

    DatagramSocket(LoopCore& core, int fd, Family family, SocketAddress local, DatagramPeer peer,
                   const DatagramOptions& options);
    ~DatagramSocket() override = default;

    // The loop's calls.
    void on_ready(Readiness events) noexcept override;
    void on_ready_phase() noexcept override;
    void on_flush() noexcept override;
    void on_timer() noexcept override;
    void on_detach() noexcept override;
    void on_loop_closed() noexcept override {}
    void destroy() noexcept override { delete this; }
    void unreferenced() noexcept override;
    void extra_info(std::uint32_t key, void* value) const override;

    void run_start() noexcept;
    void update_interest() noexcept;
    void defer(std::uint8_t action) noexcept;
    void tell_started() noexcept;

    // ---- receiving ----
    [[nodiscard]] bool receive_batch(std::size_t& turn) noexcept;
    void deliver(DatagramArea& area, std::size_t count) noexcept;
    void deliver_parts(DatagramArea& area, const Datagram& joined,
                       std::size_t segment_bytes) noexcept;
    void deliver_batch(std::span<const Datagram> batch) noexcept;

    // ---- sending ----
    [[nodiscard]] const SocketAddress& checked_target(const SocketAddress& address,
                                                      const char* method) const;
    [[nodiscard]] bool may_send(std::size_t bytes, std::size_t datagrams, const char* method);
    [[nodiscard]] bool should_gather(std::size_t size) const noexcept;
    void gather(Bytes data, const SocketAddress& to) noexcept;
    void send_now(Bytes data, const SocketAddress& to) noexcept;
    [[nodiscard]] bool queue(Bytes data, const SocketAddress& to) noexcept;
    void flush_queue() noexcept;
    [[nodiscard]] bool send_batch() noexcept;
    [[nodiscard]] std::size_t run_length(std::size_t index) const noexcept;
    void first_refused(std::error_code error, std::size_t run) noexcept;
    void count_sent(std::size_t datagrams, std::size_t bytes) noexcept;
    void refused(std::error_code error) noexcept;
    void tell_errors() noexcept;
    void tell_error(std::error_code error) noexcept;
    void wait_until_writable() noexcept;
    void writable_again() noexcept;
    void pause_if_above() noexcept;
    void resume_if_below() noexcept;

    // ---- ending ----
    void end_with(std::error_code reason) noexcept;
    void run_lost() noexcept;
    void release_socket() noexcept;
    void change_membership(bool join, const SocketAddress& group, unsigned interface_index);

    [[nodiscard]] CallSite site(const char* name) noexcept {
        return {.name = name, .protocol = protocol_.get()};
    }

    LoopCore* core_;  // null once the loop is gone
    int fd_;
    std::uint8_t deferred_ = 0;

    bool started_ : 1 = false;
    bool closing_ : 1 = false;
    bool ending_ : 1 = false;
    bool lost_ : 1 = false;
    bool reading_paused_ : 1 = false;
    // The system refused one: everything goes to the queue until it takes some again.
    bool write_blocked_ : 1 = false;
    // It said that it would and refused again: asked once more when the timer fires.
    bool resting_ : 1 = false;
    bool cap_set_ : 1 = false;
    bool gro_ : 1;
    bool gso_ : 1;
    bool ancillary_ : 1;

    unsigned dropped_sends_ = 0;
    std::source_location made_at_;
    std::size_t batch_;
    std::size_t slot_bytes_;
    std::size_t expected_ = 1;             // datagrams the next call asks for
    std::size_t segment_limit_bytes_ = 0;  // datagrams of this size and above are not joined
    std::size_t write_cap_bytes_ = 0;
    std::unique_ptr<DatagramProtocol> protocol_;
    DatagramQueue queue_;
    Watermarks watermarks_;
    DatagramCounters counters_;
    std::vector<std::error_code> errors_;  // to be told
    std::error_code reason_;
    SocketAddress local_;
    DatagramPeer peer_;
    Family family_;
    std::unique_ptr<Callback> on_started_;
    Ref<DatagramSocket> self_;  // the loop's reference, until connection_lost has returned
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/datagram_socket.ipp>
#include <sluice/impl/datagram_socket_send.ipp>
#endif
