// StreamTransport: what every stream transport of ours shares, whatever lies below it: the protocol
// and the calls into it, the queue of accepted bytes with gathering and flow control, pausing,
// closing, the deferred callbacks and the life that ends with connection_lost.
//
// States: constructed -> started (connection_made was called) -> closing (close, abort or an error)
// -> lost (connection_lost has returned). A leaf class says how bytes leave and how the thing below
// is watched and released; this one knows no descriptor and no TLS.
//
// What must not happen inside a user's call (connection_made, connection_lost, limits) is deferred
// through one Ready node and a set of bits.
#pragma once

#include <sluice/detail/connection_owner.hpp>
#include <sluice/detail/dispatch.hpp>
#include <sluice/detail/file_send.hpp>
#include <sluice/detail/loop_core.hpp>
#include <sluice/detail/transport_extras.hpp>
#include <sluice/detail/watermarks.hpp>
#include <sluice/detail/write_queue.hpp>
#include <sluice/transport.hpp>

#include <memory>

namespace sluice::inline v0_1::detail {

class StreamTransport : public Transport,
                        protected Ready,
                        protected Dirty,
                        private Retired,
                        private Attached,
                        private FileUser,
                        private StandstillUser,
                        public TrackedConnection {
public:
    /// From the loop, in this order: connection_made, start of reading, `on_started` (may be null).
    void start(std::unique_ptr<StreamProtocol> protocol, Callback on_started);
    /// The same, with a protocol that `owner` makes then.
    void start(ConnectionOwner& owner);

    using Transport::write;
    using Transport::write_static;
    using Transport::writelines;
    void write(Bytes data) final;
    void write(Buffer data) final;
    void write_static(Bytes data) final;
    void writelines(std::span<const Bytes> pieces) final;
    void writelines(std::span<const Buffer> pieces) final;
    void sendfile(int file, std::int64_t offset, std::optional<std::int64_t> count,
                  SendfileOptions options, SendfileCallback done) override;
    void flush() override;
    void abort() final;
    [[nodiscard]] bool is_closing() const noexcept final { return closing_; }
    void pause_reading() final;
    void resume_reading() final;
    [[nodiscard]] bool is_reading() const noexcept final {
        return started_ && !closing_ && !reading_paused_ && !eof_received_;
    }
    void set_write_buffer_limits(std::optional<std::size_t> high,
                                 std::optional<std::size_t> low) final;
    [[nodiscard]] WriteBufferLimits get_write_buffer_limits() const noexcept final {
        return watermarks_.bounds();
    }
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override {
        return queue_.size();
    }
    void set_write_buffer_cap(std::optional<std::size_t> bytes, OverflowPolicy policy) final;
    void set_protocol(std::unique_ptr<StreamProtocol> protocol) final;
    [[nodiscard]] std::unique_ptr<StreamProtocol> exchange_protocol(
        std::unique_ptr<StreamProtocol> protocol) final;
    [[nodiscard]] StreamProtocol* get_protocol() const noexcept final {
        return lost_ ? nullptr : protocol_.get();
    }

    Transport& tracked_transport() noexcept final { return *this; }

    // ---- for a transport that uses this one as its lower one ----

    /// From now on the user must not write here any more.
    void take_over() noexcept { taken_over_ = true; }
    /// Gives `upper`, which stands for this connection now, the place in the server's list and the
    /// state of flow control that the protocol has been told.
    void hand_over_to(StreamTransport& upper) noexcept;
    /// Takes all segments of `segments` into its own queue, without a copy, and sends them and then
    /// `last`, of which it copies what is not sent. What `may_wait` may leave with the loop's next wait.
    void send_segments(WriteQueue& segments, Bytes last, bool may_wait) noexcept;
    /// The same with `pieces`, of which nothing is kept: how many of their bytes have been sent. If
    /// not all of them, or of the segments, the protocol is paused.
    [[nodiscard]] std::size_t send_through(WriteQueue& segments,
                                           std::span<const Bytes> pieces) noexcept;
    /// Why the connection ended, as far as that is known: connection_lost tells it later. Empty if
    /// there is no reason.
    [[nodiscard]] virtual std::error_code failure() const noexcept { return reason_; }
    /// Once the connection has failed: what had arrived and was never delivered, the next piece of
    /// it. Empty if there is no more.
    [[nodiscard]] virtual Bytes undelivered_input(MutableBytes /*space*/) noexcept { return {}; }
    /// Where it was made, which debug mode tells if nobody closes it. May throw std::bad_alloc.
    void note_place(std::source_location where);

protected:
    // What the deferred node has to do when it runs.
    enum : std::uint8_t {
        start_pending = 1,
        lost_pending = 2,
        limits_pending = 4,
        input_pending = 8,  // a leaf's own business: run_input()
        file_pending = 16,  // the file at the front may go on
    };

    // How a piece of data that could not be sent is kept.
    enum class Ownership : std::uint8_t { copied, shared, permanent };

    explicit StreamTransport(LoopCore& core);
    ~StreamTransport() override;

    // ---- what the leaf classes supply ----

    /// Sends the queue and then `pieces`, as far as they are taken; `sent` counts bytes of
    /// `pieces`. Sets write_blocked_ when not everything was taken. False if the connection failed.
    [[nodiscard]] virtual bool send_pieces(std::span<const Bytes> pieces,
                                           std::size_t& sent) noexcept = 0;
    /// Are there bytes that count as sent and still are in the process?
    [[nodiscard]] virtual bool holds_sent_bytes() const noexcept { return false; }
    /// Makes what is watched below agree with is_reading() and write_blocked_.
    virtual void update_interest() noexcept = 0;
    /// Ends the connection for `reason`, dropping what is queued. The first reason stands.
    virtual void end_with(std::error_code reason) noexcept = 0;
    /// Starts: make_protocol_if_needed(), made(), reading.
    virtual void run_start() noexcept = 0;
    /// protocol_ is another one.
    virtual void protocol_changed() noexcept {}
    /// Input that was left over may be delivered again.
    virtual void run_input() noexcept {}
    /// Reading may go on; the leaf's part of resume_reading().
    virtual void reading_resumed() noexcept = 0;
    /// Lets go of what lies below, for ever.
    virtual void release_lower() noexcept = 0;
    /// Can a file leave without being read here?
    [[nodiscard]] virtual bool kernel_sends_files() const noexcept = 0;
    /// The file at the front may go on, if what lies below takes anything.
    virtual void run_file() noexcept { writable_again(); }
    /// The queue has just become empty: what waited for that happens now.
    virtual void finish_writing() noexcept = 0;

    // ---- calls into the protocol ----

    /// Asks the server for a protocol if there is none yet. False if there will be none.
    [[nodiscard]] bool make_protocol_if_needed() noexcept;
    void use_protocol(std::unique_ptr<StreamProtocol> protocol) noexcept;
    /// connection_made, then whoever waits for the start.
    void made() noexcept;
    void wake_when_started(Callback on_started);
    void tell_started() noexcept;
    [[nodiscard]] MutableBytes buffer_of_protocol() noexcept;
    /// Where to receive: the protocol's buffer or the loop's. Empty if there is none, the
    /// connection being over or about to end.
    [[nodiscard]] MutableBytes receive_room() noexcept;
    void deliver(MutableBytes filled) noexcept;
    /// eof_received; true if the protocol wants the writing half kept open.
    [[nodiscard]] bool deliver_eof() noexcept;

    // ---- writing ----

    void flush_queue() noexcept;
    /// The lower side takes bytes again.
    void writable_again() noexcept;
    /// The file at the front of the queue.
    [[nodiscard]] FileSend& front_file() const noexcept {
        return static_cast<FileSend&>(queue_.first_file());
    }
    /// Puts a piece of it before it, as bytes. False: it will come, and writing is blocked until
    /// then, or the connection has ended.
    [[nodiscard]] bool read_front_file() noexcept;
    void pause_if_above() noexcept;
    void resume_if_below() noexcept;
    void defer_limits() noexcept {
        if (!ended()) {
            defer(limits_pending);
        }
    }

    // ---- time limits, for leaves that tell what moves ----

    void use_idle_timeout(std::optional<Duration> limit);
    void use_write_timeout(std::optional<Duration> limit);
    [[nodiscard]] TransportExtras& extras();
    void note_received() noexcept {
        if (extras_ != nullptr) [[unlikely]] {
            extras_->idle.moved();
        }
    }
    void note_sent() noexcept {
        if (extras_ != nullptr) [[unlikely]] {
            extras_->idle.moved();
            extras_->writing.moved();
        }
    }
    void note_blocked() noexcept {
        if (extras_ != nullptr) [[unlikely]] {
            extras_->writing.begin();
        }
    }
    void note_unblocked() noexcept {
        if (extras_ != nullptr) [[unlikely]] {
            extras_->writing.end();
        }
    }
    /// Is it not our own doing that bytes are waiting?
    [[nodiscard]] virtual bool writing_stands_still() const noexcept = 0;

    // ---- ending ----

    /// Nothing is sent, delivered or judged any more; connection_lost is all that is left.
    [[nodiscard]] bool ended() const noexcept { return ending_; }
    void defer(std::uint8_t action) noexcept;
    void run_lost() noexcept;
    /// Drops what is queued and remembers why.
    void drop_queue(std::error_code reason) noexcept { drop_queue(reason, reason); }
    /// The same where the reason becomes known later, but files are to be told one now.
    void drop_queue(std::error_code reason, std::error_code files_reason) noexcept;
    void hold_by_loop() { self_ = Ref<StreamTransport>(this); }

    [[nodiscard]] CallSite site(const char* name) noexcept {
        return {.name = name, .transport = this, .protocol = protocol_.get()};
    }

    LoopCore* core_;  // null once the loop is gone
    std::uint8_t deferred_ = 0;

    bool started_ : 1 = false;
    bool closing_ : 1 = false;
    bool ending_ : 1 = false;
    bool lost_ : 1 = false;
    bool reading_paused_ : 1 = false;
    bool eof_received_ : 1 = false;
    bool eof_requested_ : 1 = false;
    // Bytes were refused: everything goes to the queue until the lower side takes some again.
    bool write_blocked_ : 1 = false;
    // Not by the lower side, but by a file that is being read.
    bool awaits_file_ : 1 = false;
    // What a callback wrote is being sent at its end: it may leave together with others' bytes.
    bool flushing_ : 1 = false;
    // Another transport has taken this one over (start_tls): the old handle must not write.
    bool taken_over_ : 1 = false;
    // A leaf whose other end never reads: writing to it is a mistake.
    bool receives_only_ : 1 = false;
    bool cap_set_ : 1 = false;
    OverflowPolicy cap_policy_ = OverflowPolicy::abort_connection;

    // writelines() copies pieces together that are smaller than this on average.
    std::uint16_t gather_piece_bytes_ = limits::gather_piece_bytes;

    unsigned dropped_writes_ = 0;
    unsigned files_open_ = 0;               // whose callbacks have not been called yet
    BufferedProtocol* buffered_ = nullptr;  // protocol_ when it is of that kind, decided once
    Protocol* chunked_ = nullptr;           // the same for the other kind
    std::unique_ptr<StreamProtocol> protocol_;
    WriteQueue queue_;
    Watermarks watermarks_;
    std::size_t write_cap_bytes_ = 0;
    TransportCounters counters_;
    std::error_code reason_;
    ConnectionOwner* owner_ = nullptr;
    std::unique_ptr<Callback> on_started_;
    std::unique_ptr<TransportExtras> extras_;  // few connections have any

private:
    // The loop's calls.
    void on_ready_phase() noexcept final;
    void on_flush() noexcept final;
    void on_detach() noexcept final;
    void file_ready() noexcept final;
    void file_done() noexcept final { --files_open_; }
    [[nodiscard]] bool stands_still(Standstill kind) const noexcept final;
    void stood_still(Standstill kind) noexcept final;
    void cannot_watch() noexcept final;
    void destroy() noexcept final { delete this; }
    void unreferenced() noexcept final;

    static void retire(LoopCore& core, std::unique_ptr<StreamProtocol> protocol);

    [[nodiscard]] bool may_write(std::size_t size, const char* method);
    void check_writable(const char* method) const;
    [[nodiscard]] bool should_gather(std::size_t size) const noexcept;
    void gather(Bytes data);
    void write_now(std::span<const Bytes> pieces, Ownership ownership,
                   const Buffer* buffers = nullptr);
    template <class Piece>
    void write_lines(std::span<const Piece> pieces);
    void queue_rest(std::span<const Bytes> pieces, std::size_t sent, Ownership ownership,
                    const Buffer* buffers);
    template <class F>
    void guard_memory(F&& write) noexcept;
    void leave_owner() noexcept;

    Ref<StreamTransport> self_;  // the loop's reference, until connection_lost has returned
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/stream_transport.ipp>
#include <sluice/impl/stream_transport_file.ipp>
#include <sluice/impl/stream_transport_timeouts.ipp>
#include <sluice/impl/stream_transport_write.ipp>
#endif
