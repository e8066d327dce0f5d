// PipeTransport: a stream transport over one direction of a descriptor that need not be a socket: a
// pipe, a FIFO, a terminal, another character device.
//
// It adds to StreamTransport how bytes enter by read(2) or leave by writev(2), how a writer learns
// that its reader has gone, and what a terminal calls an end. It knows no coroutine and does not
// choose what descriptors are fit for it.
#pragma once

#include <sluice/descriptor.hpp>
#include <sluice/detail/stream_transport.hpp>
#include <sluice/detail/sys_pipes.hpp>

namespace sluice::inline v0_1::detail {

class PipeTransport final : public StreamTransport, private Watcher {
public:
    enum class Direction : std::uint8_t { reading, writing };

    /// Takes the descriptor over, which is non-blocking; `status` is what it was before. It is made
    /// blocking again before it is closed if it was then. `core` must outlive the transport or detach
    /// it.
    static Ref<PipeTransport> create(LoopCore& core, Descriptor pipe, Direction direction,
                                     const sys::PipeStatus& status);

    [[nodiscard]] bool can_write_eof() const noexcept override { return !receives_only_; }
    void write_eof() override;
    void close() override;
    void sendfile(int file, std::int64_t offset, std::optional<std::int64_t> count,
                  SendfileOptions options, SendfileCallback done) override;

private:
    PipeTransport(LoopCore& core, int fd, Direction direction, const sys::PipeStatus& status);
    ~PipeTransport() override;

    void on_ready(Readiness events) noexcept override;
    void extra_info(std::uint32_t key, void* value) const override;

    void run_start() noexcept override;
    void run_input() noexcept override;
    void update_interest() noexcept override;
    void reading_resumed() noexcept override { update_interest(); }
    void end_with(std::error_code reason) noexcept override;
    void release_lower() noexcept override;
    void finish_writing() noexcept override;
    [[nodiscard]] bool writing_stands_still() const noexcept override { return write_blocked_; }
    [[nodiscard]] bool kernel_sends_files() const noexcept override { return false; }
    [[nodiscard]] bool send_pieces(std::span<const Bytes> pieces,
                                   std::size_t& sent) noexcept override;

    [[nodiscard]] Readiness wanted() const noexcept;
    void reader_may_be_gone() noexcept;
    void read_ready() noexcept;
    [[nodiscard]] bool read_once(std::size_t& budget_bytes) noexcept;
    void receive_eof() noexcept;
    [[nodiscard]] IoResult write_front(std::span<const Bytes> pieces, std::size_t skip,
                                       std::size_t& offered) noexcept;

    int fd_;
    sys::PipeKind kind_;
    // Its open file description may be somebody else's, too, who knows nothing of O_NONBLOCK.
    bool make_blocking_again_;
    // A writer that is told when the reader goes, by watching for input.
    bool watches_reader_;
    // epoll refuses this device (null, zero), which never blocks: instead of waiting it has its turn
    // in each iteration.
    bool always_ready_ = false;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/pipe_transport.ipp>
#endif
