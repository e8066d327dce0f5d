// TlsTransport: a stream transport that seals what it is given and sends it through another one, the
// lower transport: a socket of ours, another TlsTransport, or anybody's.
//
// It stands between the engine, which knows no I/O, and the lower transport, which knows no TLS:
//
//   protocol <- data_received <- engine.read  <- LowerProtocol <- lower transport
//   protocol -> write -> queue_ (plaintext) -> engine.write -> sealed_ -> lower transport
//
// Plaintext waits in queue_ while the lower transport has unsent bytes, so at most one burst of
// ciphertext is under way. Small writes of one callback are gathered and sealed as full records.
#pragma once

#include <sluice/detail/socket_transport.hpp>
#include <sluice/detail/stream_transport.hpp>
#include <sluice/detail/tls_engine.hpp>
#include <sluice/options.hpp>

#include <chrono>
#include <memory>
#include <vector>

namespace sluice::inline v0_1::detail {

class LowerProtocol;

/// All that makes a TLS connection what it is.
struct TlsPlan {
    TlsContext context;
    TlsEndpoint endpoint;
    Duration handshake_timeout;
    Duration shutdown_timeout;
};

class TlsTransport final : public StreamTransport, private TlsOutput, private Timer, private Warm {
public:
    /// Over `lower`. The engine is made at once: throws what make_ssl() throws, and then `lower` is
    /// untouched.
    static Ref<TlsTransport> create(LoopCore& core, Ref<Transport> lower, const TlsPlan& plan);

    // ---- over a transport of ours that has not started ----

    /// From the loop: handshake, connection_made, start of reading, `on_started` (may be null),
    /// which is also called when the handshake has failed and the lower transport is closed.
    void start(std::unique_ptr<StreamProtocol> protocol, Callback on_started);
    /// The same, with a protocol that `owner` makes after the handshake.
    void start(ConnectionOwner& owner) noexcept;

    // ---- over a transport in use ----

    /// Takes the lower transport over, with its protocol, its place in a server's list and
    /// `received`, bytes that arrived already. Reading must be paused below. No connection_made;
    /// `on_started` as above.
    void upgrade(Bytes received, Callback on_started);

    [[nodiscard]] bool handshaken() const noexcept { return handshaken_; }
    /// After on_started: what went wrong, or null.
    [[nodiscard]] std::exception_ptr handshake_error() const;

    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override;
    [[nodiscard]] std::error_code failure() const noexcept override {
        return lower_failed_ && !reason_ && stream_ != nullptr ? stream_->failure() : reason_;
    }
    [[nodiscard]] bool can_write_eof() const noexcept override { return false; }
    void write_eof() override;
    void close() override;
    void flush() override;
    // What moves is the business of the lower transport, whoever's it is.
    void set_idle_timeout(std::optional<std::chrono::nanoseconds> limit) override {
        lower_->set_idle_timeout(limit);
    }
    [[nodiscard]] std::optional<std::chrono::nanoseconds> get_idle_timeout()
        const noexcept override {
        return lower_->get_idle_timeout();
    }
    void set_write_timeout(std::optional<std::chrono::nanoseconds> limit) override {
        lower_->set_write_timeout(limit);
        use_write_timeout(limit);
    }
    [[nodiscard]] std::optional<std::chrono::nanoseconds> get_write_timeout()
        const noexcept override {
        return lower_->get_write_timeout();
    }

private:
    friend class LowerProtocol;

    // From top to bottom only.
    enum class State : std::uint8_t {
        handshake,
        open,
        flushing,  // close() was called; plaintext is still being sealed
        closing,   // close_notify is sent, the peer's is awaited
        finished,  // the lower transport is closing or aborted
    };

    TlsTransport(LoopCore& core, Ref<Transport> lower, const TlsPlan& plan);
    ~TlsTransport() override;

    // StreamTransport's hooks.
    [[nodiscard]] bool send_pieces(std::span<const Bytes> pieces,
                                   std::size_t& sent) noexcept override;
    void update_interest() noexcept override;
    [[nodiscard]] bool writing_stands_still() const noexcept override {
        return write_waits_for_input_;
    }
    [[nodiscard]] bool kernel_sends_files() const noexcept override {
        return engine_.kernel_sends();
    }
    void run_file() noexcept override;
    void end_with(std::error_code reason) noexcept override;
    void run_start() noexcept override;
    void run_input() noexcept override;
    void reading_resumed() noexcept override;
    void release_lower() noexcept override;
    void finish_writing() noexcept override;
    void extra_info(std::uint32_t key, void* value) const override;
    [[nodiscard]] TransportCounters counters() const;

    [[nodiscard]] bool sealed(Bytes ciphertext) noexcept override;
    [[nodiscard]] std::error_code hand_to_kernel(bool sending, Bytes keys) noexcept override;
    [[nodiscard]] bool kernel_seals(std::uint8_t type, Bytes content) noexcept override;
    void on_timer() noexcept override;
    void cool() noexcept override { engine_.keep_buffers(false); }
    void warm_or_cool(std::size_t received) noexcept;

    [[nodiscard]] std::unique_ptr<StreamProtocol> adapter();
    void start_lower() noexcept;

    // The lower transport's callbacks, by way of LowerProtocol.
    void lower_made() noexcept;
    [[nodiscard]] MutableBytes lower_space();
    void lower_received(std::size_t count) noexcept;
    void lower_ended() noexcept;
    void lower_lost(std::error_code reason) noexcept;
    void hear_last_words() noexcept;

    void step_handshake() noexcept;
    void handshake_complete() noexcept;
    void fail_handshake(std::error_code code) noexcept;

    void process(Bytes ciphertext) noexcept;
    void process_input() noexcept;
    void keep_unread_input(Bytes more) noexcept;
    void settle_input() noexcept;
    void read_records() noexcept;
    void discard_records() noexcept;
    void peer_closed() noexcept;
    void truncated() noexcept;
    [[nodiscard]] bool wants_input() const noexcept;

    [[nodiscard]] bool send_by_kernel(std::span<const Bytes> pieces, std::size_t& sent) noexcept;
    [[nodiscard]] bool seal_burst(std::span<const Bytes> pieces, std::size_t& sent) noexcept;
    [[nodiscard]] std::size_t seal(Bytes data, bool is_last) noexcept;
    void pass_down() noexcept;
    void send_answers() noexcept;
    void notice_lower_failure() noexcept;
    void finish() noexcept;
    void fail_with_engine() noexcept;
    void arm(Duration delay) noexcept;

    Ref<Transport> lower_;
    StreamTransport* stream_;  // lower_, if it is one of ours
    SocketTransport* socket_;  // lower_, if it is a socket of ours
    LowerProtocol* adapter_ = nullptr;
    State state_ = State::handshake;
    bool server_side_;
    bool lower_started_ = false;  // connection_lost will come from below
    bool handshaken_ = false;
    bool upgraded_ = false;
    bool caller_first_ = false;  // what has arrived waits until the awaiting caller has run
    bool lower_paused_ = false;  // as we asked it to be
    bool lower_ended_ = false;
    bool lower_failed_ = false;  // and connection_lost is to tell why
    bool sealing_last_ = false;  // of this burst, and the lower transport can send it uncopied
    bool write_waits_for_input_ = false;  // see TlsEngine::amid_message()
    bool peer_closed_ = false;            // nothing more will come, one way or the other
    unsigned layer_ = 0;
    Duration handshake_timeout_;
    Duration shutdown_timeout_;
    std::uint64_t flushed_bytes_ = 0;       // that the kernel had taken when the timer was set
    std::uint64_t sent_before_kernel_ = 0;  // by the socket, before its kernel sealed
    WriteQueue sealed_;
    TlsEngine engine_;
    std::vector<std::byte> unread_;  // what the engine's input points to between deliveries
    std::unique_ptr<std::byte[]> own_space_;
};

/// What the lower transport takes for its protocol.
class LowerProtocol final : public BufferedProtocol {
public:
    explicit LowerProtocol(TlsTransport& upper) noexcept : upper_(&upper) {}
    ~LowerProtocol() override {
        // Somebody replaced it behind our back: nothing will come from below any more.
        if (TlsTransport* const upper = std::exchange(upper_, nullptr)) {
            upper->lower_lost(std::make_error_code(std::errc::connection_aborted));
        }
    }
    void forget() noexcept { upper_ = nullptr; }

    // A lower transport of somebody else's may go on when the upper one is gone.
    void connection_made(Transport&) override {
        if (upper_ != nullptr) {
            upper_->lower_made();
        }
    }
    MutableBytes get_buffer(std::size_t) override {
        return upper_ != nullptr ? upper_->lower_space() : MutableBytes();
    }
    void buffer_updated(std::size_t byte_count) override {
        if (upper_ != nullptr) {
            upper_->lower_received(byte_count);
        }
    }
    bool eof_received() override {
        if (upper_ != nullptr) {
            upper_->lower_ended();
        }
        // How the connection ends is decided above.
        return true;
    }
    void pause_writing() override {
        if (upper_ != nullptr) {
            upper_->write_blocked_ = true;
        }
    }
    void resume_writing() override {
        if (upper_ != nullptr) {
            upper_->writable_again();
        }
    }
    void connection_lost(std::error_code reason) override {
        if (TlsTransport* const upper = std::exchange(upper_, nullptr)) {
            upper->lower_lost(reason);
        }
    }

private:
    TlsTransport* upper_;
};

/// A TLS transport over `lower`, which is aborted if there can be none.
Ref<TlsTransport> secure_transport(LoopCore& core, const Ref<Transport>& lower,
                                   const TlsPlan& plan);

/// Checks the TLS options of `method`; nothing if there is to be no TLS. `host` is the name that a
/// client asks for when the options have none.
std::optional<TlsPlan> plan_tls(const TlsParameters& parameters, bool server_side,
                                const std::string& host, const char* method);

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/tls_engine.ipp>
#include <sluice/impl/tls_transport.ipp>
#include <sluice/impl/tls_transport_write.ipp>
#endif
