// SocketTransport: a stream transport over one connected descriptor (TCP, Unix).
//
// It adds to StreamTransport how bytes enter and leave a descriptor, and nothing else: no server, no
// TLS, no coroutine. Reading and writing run in on_ready(), called by the loop core; writes also in
// the user's call.
#pragma once

#include <sluice/descriptor.hpp>
#include <sluice/detail/record_rest.hpp>
#include <sluice/detail/result.hpp>
#include <sluice/detail/stream_completions.hpp>
#include <sluice/detail/stream_transport.hpp>

#include <memory>
#include <vector>

namespace sluice::inline v0_1::detail {

class SocketTransport final : public StreamTransport,
                              private Watcher,
                              private RecordRestUser,
                              private BatchedSender {
public:
    /// Takes the connected descriptor over. `core` must outlive the transport or detach it.
    static Ref<SocketTransport> create(LoopCore& core, Descriptor socket, SocketAddress local,
                                       SocketAddress peer);

    [[nodiscard]] bool can_write_eof() const noexcept override { return true; }
    void write_eof() override;
    void close() override;
    void set_idle_timeout(std::optional<std::chrono::nanoseconds> limit) override;
    [[nodiscard]] std::optional<std::chrono::nanoseconds> get_idle_timeout()
        const noexcept override;
    void set_write_timeout(std::optional<std::chrono::nanoseconds> limit) override;
    [[nodiscard]] std::optional<std::chrono::nanoseconds> get_write_timeout()
        const noexcept override;
    [[nodiscard]] Bytes undelivered_input(MutableBytes space) noexcept override;
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override;

    /// For whom create() was given addresses that a header announced. Before start().
    void set_proxy_header(const ProxyHeader& header) { extras().proxy = header; }

    // ---- for TLS in the kernel ----

    /// Has the kernel seal what is written from here on, or open what is read: then each piece of
    /// input is a record in plain text, its header before it. Nothing may be unsent.
    [[nodiscard]] std::error_code use_kernel_tls(bool sending, Bytes keys) noexcept;
    /// Sends a record of this type, which is no data, before everything that is still unsent. False
    /// if it cannot be kept.
    [[nodiscard]] bool send_record(std::uint8_t type, Bytes content) noexcept;

private:
    struct KernelRecord {
        std::uint8_t type;
        std::vector<std::byte> content;
    };

    SocketTransport(LoopCore& core, int fd, SocketAddress local, SocketAddress peer);
    ~SocketTransport() override;

    void on_ready(Readiness events) noexcept override;
    void look_again() noexcept override;
    void not_sent(Bytes unsent, std::error_code error) noexcept override;
    void send_held() noexcept override;
    void extra_info(std::uint32_t key, void* value) const override;

    void run_start() noexcept override;
    void protocol_changed() noexcept override;
    void update_interest() noexcept override;
    [[nodiscard]] bool holds_sent_bytes() const noexcept override { return holds_bytes(); }
    void reading_resumed() noexcept override {
        note_received();
        update_interest();
    }
    [[nodiscard]] bool writing_stands_still() const noexcept override {
        return write_blocked_ && !awaits_file_;
    }
    void end_with(std::error_code reason) noexcept override;
    void release_lower() noexcept override;
    void finish_writing() noexcept override;
    [[nodiscard]] bool kernel_sends_files() const noexcept override { return true; }
    [[nodiscard]] bool send_pieces(std::span<const Bytes> pieces,
                                   std::size_t& sent) noexcept override;

    void read_ready() noexcept;
    [[nodiscard]] IoResult receive(MutableBytes space) const noexcept;
    [[nodiscard]] bool send_records() noexcept;
    [[nodiscard]] bool kernel_opens() const noexcept { return rest_ != nullptr; }
    [[nodiscard]] bool all_sent() const noexcept { return queue_.empty() && records_ == nullptr; }
    [[nodiscard]] bool read_once(std::size_t& budget_bytes) noexcept;
    [[nodiscard]] Readiness reading_interest() noexcept;
    [[nodiscard]] bool deliver_received(std::size_t& budget_bytes) noexcept;
    void deliver_piece(ReceivedPiece& piece) noexcept;
    void note_read_size(bool large, unsigned times_in_a_row) noexcept;
    void count_received(std::size_t byte_count) noexcept;
    [[nodiscard]] bool send_later(Bytes bytes) noexcept;
    void receive_eof() noexcept;
    [[nodiscard]] bool send_files() noexcept;
    [[nodiscard]] IoResult send_front_file(std::size_t most, std::size_t& offered) noexcept;
    [[nodiscard]] bool has_time_limit() const noexcept {
        return get_idle_timeout() || get_write_timeout();
    }
    [[nodiscard]] IoResult send_before_file(std::size_t& offered) noexcept;
    [[nodiscard]] bool send_otherwise(std::error_code& error) noexcept;
    void consume_file(std::size_t byte_count) noexcept;
    void set_corked(bool corked) noexcept;
    void count_sent(std::size_t byte_count) noexcept;
    void wait_until_writable() noexcept;
    [[nodiscard]] IoResult send_front(std::span<const Bytes> pieces, std::size_t skip,
                                      std::size_t& offered) noexcept;

    int fd_;
    bool kernel_seals_ = false;
    bool corked_ = false;
    bool backend_sends_files_ = false;  // so it keeps being watched
    // The backend receives for it, or has something left that it received.
    bool receives_ = false;
    bool reads_large_ = false;                            // so it receives by itself
    std::uint8_t contrary_reads_ = 0;                     // in a row, which speak for the other way
    std::unique_ptr<RecordRest> rest_;                    // of a kernel that opens records
    std::unique_ptr<std::vector<KernelRecord>> records_;  // unsent; rarely any
    SocketAddress local_;
    SocketAddress peer_;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/socket_completions.ipp>
#include <sluice/impl/socket_transport.ipp>
#include <sluice/impl/socket_transport_write.ipp>
#endif
