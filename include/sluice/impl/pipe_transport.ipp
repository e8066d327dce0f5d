// PipeTransport: reading, writing and ending, all of it.
#pragma once

#include <sluice/detail/pipe_transport.hpp>
#include <sluice/pipes.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE Ref<PipeTransport> PipeTransport::create(LoopCore& core, Descriptor pipe,
                                                       Direction direction,
                                                       const sys::PipeStatus& status) {
    Ref<PipeTransport> transport(new PipeTransport(core, pipe.get(), direction, status));
    static_cast<void>(pipe.release());
    transport->hold_by_loop();
    return transport;
}

SLUICE_INLINE PipeTransport::PipeTransport(LoopCore& core, int fd, Direction direction,
                                           const sys::PipeStatus& status)
    : StreamTransport(core),
      fd_(fd),
      kind_(status.kind),
      make_blocking_again_(status.blocking),
      // A FIFO that is open for both is readable as long as it holds anything, and has a reader as
      // long as we have it. Of devices the end of the other side is no business of a writer's.
      watches_reader_(
          direction == Direction::writing &&
          (kind_ == sys::PipeKind::socket || (kind_ == sys::PipeKind::pipe && !status.readable))) {
    receives_only_ = direction == Direction::reading;
    // Nothing is ever read by a writer.
    eof_received_ = direction == Direction::writing;
    core.own_descriptor(fd);
}

SLUICE_INLINE PipeTransport::~PipeTransport() = default;

SLUICE_INLINE void PipeTransport::run_start() noexcept {
    if (!make_protocol_if_needed()) {
        run_lost();
        return;
    }
    ++core_->counters.connections_made;
    made();
    // Only now, so that a pause or a close inside connection_made holds.
    update_interest();
    tell_started();
}

// ---- readiness ----

SLUICE_INLINE Readiness PipeTransport::wanted() const noexcept {
    Readiness wanted = Readiness::none;
    if (is_reading() || (watches_reader_ && started_ && !ended())) {
        wanted = wanted | Readiness::readable;
    }
    if (write_blocked_) {
        wanted = wanted | Readiness::writable;
    }
    return wanted;
}

SLUICE_INLINE void PipeTransport::update_interest() noexcept {
    if (always_ready_) {
        if (wanted() != Readiness::none) {
            defer(input_pending);
        }
        return;
    }
    const std::error_code error = core_->watch(*this, fd_, wanted());
    // epoll_ctl(2), EPERM: the target does not support epoll.
    if (error == std::errc::operation_not_permitted && kind_ == sys::PipeKind::device) {
        always_ready_ = true;
        defer(input_pending);
    } else if (error) {
        end_with(error);
    }
}

SLUICE_INLINE void PipeTransport::run_input() noexcept {
    on_ready(Readiness::both);
    if (!ended() && wanted() != Readiness::none) {
        defer(input_pending);
    }
}

SLUICE_INLINE void PipeTransport::on_ready(Readiness events) noexcept {
    if (has(events, Readiness::readable)) {
        if (watches_reader_) {
            reader_may_be_gone();
        } else if (is_reading()) {
            read_ready();
        }
    }
    if (has(events, Readiness::writable) && write_blocked_) {
        writable_again();
    }
}

SLUICE_INLINE void PipeTransport::reader_may_be_gone() noexcept {
    if (ended()) {
        return;
    }
    if (sys::reader_is_gone(fd_)) {
        // As in asyncio: somebody who no longer listens is an error only to whom has something left
        // to say.
        end_with(queue_.empty() ? std::error_code{} : std::make_error_code(std::errc::broken_pipe));
        return;
    }
    if (kind_ == sys::PipeKind::socket) {
        // Its peer has said something, or finished saying. It may go on listening, and as what it
        // said is nobody's to read here, its leaving shows only by writing from now on.
        watches_reader_ = false;
        update_interest();
    }
}

// ---- reading ----

SLUICE_INLINE void PipeTransport::read_ready() noexcept {
    std::size_t budget_bytes = limits::read_budget_bytes;
    while (read_once(budget_bytes)) {
    }
}

/// One read and one callback; true if reading at once again makes sense.
SLUICE_INLINE bool PipeTransport::read_once(std::size_t& budget_bytes) noexcept {
    const StreamProtocol* const asked = protocol_.get();
    const MutableBytes space = receive_room();
    // get_buffer() is user code: after a pause, a close or a change of protocol its buffer is not
    // to be used.
    if (space.empty() || !is_reading() || asked != protocol_.get()) {
        return false;
    }
    const IoResult received = sys::read(fd_, space);
    ++core_->counters.receive_calls;
    if (received.blocked()) {
        return false;
    }
    // A terminal whose other end is closed has no other way to say so.
    const bool hung_up = !received.ok() && kind_ == sys::PipeKind::terminal &&
                         received.error() == std::errc::io_error;
    if (!received.ok() && !hung_up) {
        end_with(received.error());
        return false;
    }
    const std::size_t count = hung_up ? 0 : received.value();
    if (count == 0) {
        receive_eof();
        return false;
    }
    core_->counters.bytes_received += count;
    counters_.bytes_received += count;
    deliver(space.first(count));
    // A short read has emptied the pipe, or a terminal's line. A device that never blocks would keep
    // us here.
    if (count < space.size() || count >= budget_bytes || always_ready_) {
        return false;
    }
    budget_bytes -= count;
    return is_reading();
}

SLUICE_INLINE void PipeTransport::receive_eof() noexcept {
    // There is no other half to keep open.
    static_cast<void>(deliver_eof());
    end_with({});
}

// ---- writing ----

SLUICE_INLINE bool PipeTransport::send_pieces(std::span<const Bytes> pieces,
                                              std::size_t& sent) noexcept {
    std::size_t total = 0;
    for (const Bytes piece : pieces) {
        total += piece.size();
    }
    while (!queue_.empty() || sent < total) {
        std::size_t offered = 0;
        const IoResult result = write_front(pieces, sent, offered);
        ++core_->counters.send_calls;
        if (!result.ok() && !result.blocked()) {
            end_with(result.error());
            return false;
        }
        const std::size_t taken = result.ok() ? result.value() : 0;
        core_->counters.bytes_sent += taken;
        counters_.bytes_sent += taken;
        const std::size_t taken_from_queue = std::min(taken, queue_.size());
        queue_.consume(taken_from_queue, core_->gather_pool());
        sent += taken - taken_from_queue;
        if (taken < offered) {
            write_blocked_ = true;
            update_interest();
            return !ended();
        }
    }
    return true;
}

/// One system call with as much of the queue and of `pieces` (from byte `skip` on) as it takes;
/// `offered` tells how much that was.
SLUICE_INLINE IoResult PipeTransport::write_front(std::span<const Bytes> pieces, std::size_t skip,
                                                  std::size_t& offered) noexcept {
    std::array<Bytes, limits::gather_segments> gathered;
    std::size_t count = queue_.front_pieces(gathered);
    for (const Bytes piece : pieces) {
        if (count == gathered.size()) {
            break;
        }
        const std::size_t skipped = std::min(skip, piece.size());
        skip -= skipped;
        if (skipped < piece.size()) {
            gathered[count++] = piece.subspan(skipped);
        }
    }
    for (std::size_t index = 0; index < count; ++index) {
        offered += gathered[index].size();
    }
    return sys::write_gathered(fd_, {gathered.data(), count});
}

SLUICE_INLINE void PipeTransport::write_eof() {
    if (receives_only_) {
        throw std::logic_error("Transport::write_eof() on a transport that only receives");
    }
    if (!closing_ && !eof_requested_) {
        core_->check_thread("Transport::write_eof()");
        eof_requested_ = true;
        close();
    }
}

SLUICE_INLINE void PipeTransport::sendfile(int, std::int64_t, std::optional<std::int64_t>,
                                           SendfileOptions, SendfileCallback) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_supported),
                            "sendfile(): pipes cannot send files");
}

// ---- ending ----

SLUICE_INLINE void PipeTransport::close() {
    if (closing_) {
        return;
    }
    core_->check_thread("Transport::close()");
    if (!write_blocked_) {
        flush_queue();
    }
    if (closing_) {
        return;
    }
    closing_ = true;
    update_interest();
    if (queue_.empty()) {
        end_with({});
    }
}

SLUICE_INLINE void PipeTransport::finish_writing() noexcept {
    // Nobody is being called here: connection_lost need not be deferred, as in asyncio's final flush.
    if (closing_ && queue_.empty() && !ended()) {
        Ready::unlink();
        deferred_ = 0;
        run_lost();
    }
}

SLUICE_INLINE void PipeTransport::end_with(std::error_code reason) noexcept {
    if (ended()) {
        return;
    }
    drop_queue(reason);
    core_->unwatch(*this, fd_);
    defer(lost_pending);
}

SLUICE_INLINE void PipeTransport::release_lower() noexcept {
    if (started_) {
        ++core_->counters.connections_lost;
    }
    core_->unwatch(*this, fd_);
    core_->disown_descriptor(fd_);
    if (make_blocking_again_) {
        sys::set_blocking(fd_);
    }
    sys::close(std::exchange(fd_, -1));
}

SLUICE_INLINE void PipeTransport::extra_info(std::uint32_t key, void* value) const {
    if (key == extra::pipe.id) {
        *static_cast<PipeView*>(value) = PipeView(fd_);
    } else if (key == extra::counters.id) {
        *static_cast<TransportCounters*>(value) = counters_;
    }
}

}  // namespace sluice::inline v0_1::detail
