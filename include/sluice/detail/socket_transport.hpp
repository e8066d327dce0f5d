// SocketTransport: a stream transport over one connected descriptor (TCP, Unix).
//
// States: constructed -> started (connection_made was called) -> closing (close, abort or an error)
// -> lost (connection_lost has returned, the descriptor is closed). It knows its loop core and
// nothing above: no server, no TLS, no coroutine.
//
// Reading and writing run in on_ready(), called by the loop core; writes also in the user's call.
// What must not happen inside a user's call (connection_made, connection_lost, limits) is deferred
// through one Ready node and a set of bits.
#pragma once

#include <sluice/descriptor.hpp>
#include <sluice/detail/connection_owner.hpp>
#include <sluice/detail/dispatch.hpp>
#include <sluice/detail/loop_core.hpp>
#include <sluice/detail/result.hpp>
#include <sluice/detail/watermarks.hpp>
#include <sluice/detail/write_queue.hpp>
#include <sluice/transport.hpp>

#include <memory>

namespace sluice::inline v0_1::detail {

class SocketTransport final : public Transport,
                              private Watcher,
                              private Ready,
                              private Dirty,
                              private Retired,
                              private Attached,
                              public TrackedConnection {
public:
    /// Takes the connected descriptor over. `core` must outlive the transport or detach it.
    static Ref<SocketTransport> create(LoopCore& core, Descriptor socket, SocketAddress local,
                                       SocketAddress peer);

    /// From the loop, in this order: connection_made, start of reading, `on_started` (may be null).
    void start(std::unique_ptr<StreamProtocol> protocol, Callback on_started);
    /// The same, with a protocol that `owner` makes then.
    void start(ConnectionOwner& owner);

    using Transport::write;
    using Transport::write_static;
    using Transport::writelines;
    void write(Bytes data) override;
    void write(Buffer data) override;
    void write_static(Bytes data) override;
    void writelines(std::span<const Bytes> pieces) override;
    void writelines(std::span<const Buffer> pieces) override;
    void flush() override;
    [[nodiscard]] bool can_write_eof() const noexcept override { return true; }
    void write_eof() override;
    void close() override;
    void abort() override;
    [[nodiscard]] bool is_closing() const noexcept override { return closing_; }
    void pause_reading() override;
    void resume_reading() override;
    [[nodiscard]] bool is_reading() const noexcept override {
        return started_ && !closing_ && !reading_paused_ && !eof_received_;
    }
    void set_write_buffer_limits(std::optional<std::size_t> high,
                                 std::optional<std::size_t> low) override;
    [[nodiscard]] WriteBufferLimits get_write_buffer_limits() const noexcept override {
        return watermarks_.bounds();
    }
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override {
        return queue_.size();
    }
    void set_write_buffer_cap(std::optional<std::size_t> bytes, OverflowPolicy policy) override;
    void set_protocol(std::unique_ptr<StreamProtocol> protocol) override;
    [[nodiscard]] StreamProtocol* get_protocol() const noexcept override {
        return lost_ ? nullptr : protocol_.get();
    }

    Transport& tracked_transport() noexcept override { return *this; }

private:
    // What the deferred node has to do when it runs.
    enum : std::uint8_t { start_pending = 1, lost_pending = 2, limits_pending = 4 };

    // How a piece of data that the kernel did not take is kept.
    enum class Ownership : std::uint8_t { copied, shared, permanent };

    SocketTransport(LoopCore& core, int fd, SocketAddress local, SocketAddress peer);
    ~SocketTransport() override;

    // The loop's calls.
    void on_ready(Readiness events) noexcept override;
    void on_ready_phase() noexcept override;
    void on_flush() noexcept override;
    void on_detach() noexcept override;
    void destroy() noexcept override { delete this; }
    void unreferenced() noexcept override;
    void extra_info(std::uint32_t key, void* value) const override;

    // Starting.
    void run_start() noexcept;
    void make_protocol_of_owner() noexcept;
    void use_protocol(std::unique_ptr<StreamProtocol> protocol) noexcept;
    void retire_protocol();

    // Reading.
    void read_ready() noexcept;
    [[nodiscard]] bool read_once(std::size_t& budget) noexcept;
    [[nodiscard]] MutableBytes buffer_of_protocol() noexcept;
    void deliver(MutableBytes filled) noexcept;
    void receive_eof() noexcept;
    void update_interest() noexcept;

    // Writing.
    [[nodiscard]] bool may_write(std::size_t size, const char* method);
    [[nodiscard]] bool should_gather(std::size_t size) const noexcept;
    void gather(Bytes data);
    void write_now(std::span<const Bytes> pieces, Ownership ownership,
                   const Buffer* buffers = nullptr);
    template <class Piece>
    void write_lines(std::span<const Piece> pieces);
    [[nodiscard]] bool send_pieces(std::span<const Bytes> pieces, std::size_t& sent) noexcept;
    [[nodiscard]] IoResult send_front(std::span<const Bytes> pieces, std::size_t skip,
                                      std::size_t& offered) noexcept;
    void queue_rest(std::span<const Bytes> pieces, std::size_t sent, Ownership ownership,
                    const Buffer* buffers);
    void flush_queue() noexcept;
    void write_ready() noexcept;
    void finish_writing() noexcept;
    void pause_if_above() noexcept;
    void resume_if_below() noexcept;
    void defer_limits() noexcept {
        if (!ended()) {
            defer(limits_pending);
        }
    }
    template <class F>
    void guard_memory(F&& write) noexcept;

    // Ending.
    [[nodiscard]] bool ended() const noexcept { return lost_ || (deferred_ & lost_pending) != 0; }
    void end_with(std::error_code reason) noexcept;
    void defer(std::uint8_t action) noexcept;
    void run_lost() noexcept;
    void close_descriptor() noexcept;
    void leave_owner() noexcept;

    [[nodiscard]] CallSite site(const char* name) noexcept {
        return {.name = name, .transport = this, .protocol = protocol_.get()};
    }

    LoopCore* core_;  // null once the loop is gone
    int fd_;
    std::uint8_t deferred_ = 0;

    bool started_ : 1 = false;
    bool closing_ : 1 = false;
    bool lost_ : 1 = false;
    bool reading_paused_ : 1 = false;
    bool eof_received_ : 1 = false;
    bool eof_requested_ : 1 = false;
    // The kernel refused bytes: everything goes to the queue until the socket is writable.
    bool write_blocked_ : 1 = false;
    bool cap_set_ : 1 = false;
    OverflowPolicy cap_policy_ = OverflowPolicy::abort_connection;

    unsigned dropped_writes_ = 0;
    BufferedProtocol* buffered_ = nullptr;  // protocol_ when it is of that kind, decided once
    Protocol* chunked_ = nullptr;           // the same for the other kind
    std::unique_ptr<StreamProtocol> protocol_;
    WriteQueue queue_;
    Watermarks watermarks_;
    std::size_t write_cap_bytes_ = 0;
    TransportCounters counters_;
    std::error_code reason_;
    Ref<SocketTransport> self_;  // the loop's reference, until connection_lost has returned
    ConnectionOwner* owner_ = nullptr;
    std::unique_ptr<Callback> on_started_;
    SocketAddress local_;
    SocketAddress peer_;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/socket_transport.ipp>
#include <sluice/impl/socket_transport_write.ipp>
#endif
