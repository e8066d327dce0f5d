// The callbacks of the library's ends: what must hold when each of them comes.
//
// The model is kept apart from what the transport says about itself: bytes are counted on both sides
// and compared. What the user's calls must do at once stands in library_end_actions.cpp.
#include "simulation/library_end.hpp"

#include <sluice/error.hpp>

#include "simulation/library_end_scopes.hpp"

#include <stdexcept>

namespace sluice::test {

LibraryEnd::LibraryEnd(World& world, std::size_t connection, std::size_t index, const EndPlan& plan)
    : world_(world),
      connection_(connection),
      index_(index),
      plan_(plan),
      outgoing_(connection * 2 + index),
      incoming_(connection * 2 + (1 - index)),
      room_(plan.room) {}

std::string LibraryEnd::name() const {
    return "end " + std::to_string(connection_) + "." + std::to_string(index_);
}

void LibraryEnd::fail(const std::string& what) const {
    world_.fail(what + " (" + name() + ")");
}

// ---- entering user code ----

LibraryEnd::InCallback::InCallback(LibraryEnd& end, Event event, unsigned generation)
    : end_(end),
      event_(event),
      outer_call_(std::exchange(end.world_.call, nullptr)),
      outer_throw_(std::exchange(end.world_.to_throw, std::nullopt)) {
    static constexpr std::array<const char*, 7> names = {
        "connection_made", "data", "get_buffer",      "pause_writing",
        "resume_writing",  "eof",  "connection_lost",
    };
    name_ = names[static_cast<std::size_t>(event)];
    World& world = end.world_;
    ++world.callbacks;
    world.kernel().trace(std::string("  ") + name_ + " of " + end.name());
    if (world.over()) {
        end.fail(std::string("grammar: ") + name_ + " after the loop was destroyed");
    }
    // The one callback that comes inside a call: pause_writing inside the write that crosses.
    const bool allowed = outer_call_ != nullptr && event == Event::pause &&
                         outer_call_->end == &end && outer_call_->may_pause;
    if ((outer_call_ != nullptr || world.callback_depth > 0) && !allowed) {
        end.fail(std::string("grammar: ") + name_ + " inside a call or another callback");
    }
    if (generation != end.generation_) {
        end.fail(std::string("grammar: ") + name_ + " on a replaced protocol");
    }
    if (event != Event::made && (!end.made_ || end.lost_)) {
        end.fail(std::string("grammar: ") + name_ +
                 (end.made_ ? " after connection_lost" : " before connection_made"));
    }
    ++world.callback_depth;
    nth_ = ++end.event_counts_[static_cast<std::size_t>(event)];
}

LibraryEnd::InCallback::~InCallback() {
    --end_.world_.callback_depth;
    end_.world_.call = outer_call_;
    end_.world_.to_throw = outer_throw_;
}

void LibraryEnd::InCallback::act() {
    end_.run_actions(event_, nth_);
}

// ---- callbacks ----

void LibraryEnd::connection_made(Transport& transport, bool buffered) {
    InCallback scope(*this, Event::made, generation_);
    if (made_) {
        fail("grammar: connection_made twice");
    }
    made_ = true;
    buffered_ = buffered;
    transport_ = &transport;
    if (plan_.hold_reference) {
        reference_ = Ref<Transport>(&transport);
    }
    if (transport.get_protocol() == nullptr || transport.is_closing() || !transport.is_reading()) {
        fail("state: a transport does not look fresh in connection_made");
    }
    check_size("in connection_made");
    scope.act();
    world_.throw_if_asked();
}

void LibraryEnd::check_reading(const char* callback) const {
    if (reading_paused_) {
        fail(std::string("grammar: ") + callback + " while reading is paused");
    }
    if (eof_) {
        fail(std::string("grammar: ") + callback + " after eof_received");
    }
    if (close_called_ || abort_called_ || fatal_) {
        fail(std::string("grammar: ") + callback + " after the end of the connection was asked");
    }
}

void LibraryEnd::receive(Bytes data) {
    if (data.empty()) {
        fail("grammar: no bytes received");
    }
    if (!incoming_.matches(received_, data)) {
        fail("bytes: wrong ones after " + std::to_string(received_));
    }
    received_ += data.size();
    check_size("when data comes");
}

void LibraryEnd::data_received(unsigned generation, Bytes data) {
    InCallback scope(*this, Event::data, generation);
    check_reading("data_received");
    if (buffered_) {
        fail("grammar: data_received on a buffered protocol");
    }
    receive(data);
    scope.act();
    throw_in_read();
}

MutableBytes LibraryEnd::get_buffer(unsigned generation) {
    InCallback scope(*this, Event::get_buffer, generation);
    check_reading("get_buffer");
    scope.act();
    throw_in_read();
    if (std::exchange(give_no_room_, false)) {
        gave_no_room_ = true;
        return {};
    }
    room_given_ = room_.size();
    return room_;
}

void LibraryEnd::buffer_updated(unsigned generation, std::size_t count) {
    InCallback scope(*this, Event::data, generation);
    check_reading("buffer_updated");
    if (count > room_given_) {
        fail("grammar: buffer_updated(" + std::to_string(count) + ") without that much room");
        return;
    }
    room_given_ = 0;
    receive(Bytes(room_).first(count));
    scope.act();
    throw_in_read();
}

bool LibraryEnd::eof_received(unsigned generation) {
    InCallback scope(*this, Event::eof, generation);
    check_reading("eof_received");
    eof_ = true;
    const std::optional<std::uint64_t> promised = world_.promised_to(connection_, index_);
    if (promised && *promised != received_) {
        fail("complete: the end of the stream after " + std::to_string(received_) + " of " +
             std::to_string(*promised) + " bytes");
    }
    scope.act();
    throw_in_read();
    // An exception gives no answer, and without one the connection closes.
    kept_open_ = plan_.keep_open_after_eof;
    return kept_open_;
}

void LibraryEnd::pause_writing(unsigned generation) {
    InCallback scope(*this, Event::pause, generation);
    if (writing_paused_) {
        fail("grammar: pause_writing twice");
    }
    writing_paused_ = true;
    if (transport_->get_write_buffer_size() <= transport_->get_write_buffer_limits().high) {
        fail("limits: pause_writing at or below the high-water mark");
    }
    check_size("in pause_writing");
    scope.act();
    world_.throw_if_asked();
}

void LibraryEnd::resume_writing(unsigned generation) {
    InCallback scope(*this, Event::resume, generation);
    if (!writing_paused_) {
        fail("grammar: resume_writing without pause_writing");
    }
    writing_paused_ = false;
    if (transport_->get_write_buffer_size() > transport_->get_write_buffer_limits().low) {
        fail("limits: resume_writing above the low-water mark");
    }
    check_size("in resume_writing");
    scope.act();
    world_.throw_if_asked();
}

void LibraryEnd::connection_lost(unsigned generation, std::error_code reason) {
    InCallback scope(*this, Event::lost, generation);
    check_reason(reason);
    reason_ = reason;
    if (files_open_ != 0) {
        fail("grammar: connection_lost before the end of a file was told");
    }
    if (!transport_->is_closing() || transport_->is_reading() ||
        transport_->get_write_buffer_size() != 0) {
        fail("state: a transport does not look closed in connection_lost");
    }
    // Actions see a transport that is being lost; no callback may follow, whatever they do.
    lost_ = true;
    scope.act();
    if (!reference_) {
        transport_ = nullptr;
    }
    world_.throw_if_asked();
}

void LibraryEnd::check_reason(std::error_code reason) const {
    const int fd = transport_->get_extra_info(extra::socket).fd();
    const bool of_kernel =
        world_.kernel().gave_error(fd, reason) || world_.kernel().gave_file_error(reason);
    const std::string shown = reason ? reason.message() : "no reason";
    // What was written before the exception is sent, and may meet an end of its own.
    const bool of_file = reason == Error::file_truncated && file_cut_short_;
    if (fatal_ && reason != *fatal_ && !of_kernel && !of_file) {
        fail("reason: " + shown + " although a callback threw " + fatal_->message());
    }
    if (fatal_) {
        return;
    }
    if (!reason) {
        if (!close_called_ && !aborted() && (!eof_ || kept_open_)) {
            fail("reason: lost without one, and nobody had closed");
        }
        const std::uint64_t sent = world_.kernel().bytes_sent(fd);
        if (!aborted() && (sent > accepted_ || accepted_ - sent > world_.held_at_most())) {
            fail("complete: closed cleanly after sending " + std::to_string(sent) + " of " +
                 std::to_string(accepted_) + " bytes");
        }
        return;
    }
    const bool ours = (reason == Error::write_buffer_full && cap_hit_) ||
                      (reason == Error::empty_buffer && gave_no_room_) || of_file;
    if (abort_stands_) {
        fail("reason: " + shown + " after abort()");
    } else if (!ours && !of_kernel) {
        fail("reason: " + shown + ", which nobody gave");
    }
}

// ---- what must hold always ----

/// Unsent bytes are exactly those accepted and not taken by the kernel, or by the loop for it, unless
/// the connection is over.
void LibraryEnd::check_size(const char* when, std::size_t held_at_most) const {
    if (transport_ == nullptr || world_.release_depth > 0 || world_.over()) {
        return;
    }
    const std::size_t size = transport_->get_write_buffer_size();
    const int fd = transport_->get_extra_info(extra::socket).fd();
    const std::uint64_t unsent = lost_ ? 0 : accepted_ - world_.kernel().bytes_sent(fd);
    const bool right = size <= unsent && unsent - size <= held_at_most;
    if (!right && !(size == 0 && transport_->is_closing())) {
        fail(std::string("size: get_write_buffer_size is ") + std::to_string(size) + " and not " +
             std::to_string(unsent) + " " + when);
    }
}

void LibraryEnd::check_between_iterations() {
    if (!alive() || world_.over()) {
        return;
    }
    check_size("between iterations", 0);
    const bool closing = transport_->is_closing();
    if (transport_->is_reading() != (!closing && !reading_paused_ && !eof_)) {
        fail("state: is_reading() does not tell the truth");
    }
    if ((close_called_ || abort_called_ || fatal_) && !closing) {
        fail("state: is_closing() does not tell the truth");
    }
    // Deferred judgements come in the iteration after the one that changed something.
    if (closing || world_.iteration() <= limits_changed_at_ + 1) {
        return;
    }
    const std::size_t size = transport_->get_write_buffer_size();
    const int fd = transport_->get_extra_info(extra::socket).fd();
    // A file may be waited for.
    if (size != 0 && files_open_ == 0 && !world_.kernel().refused_bytes(fd)) {
        fail("gather: " + std::to_string(size) + " bytes were not offered to the kernel");
    }
    const WriteBufferLimits limits = transport_->get_write_buffer_limits();
    if (!writing_paused_ && size > limits.high) {
        fail("limits: " + std::to_string(size) + " bytes unsent and not paused");
    }
    if (writing_paused_ && size <= limits.low) {
        fail("limits: " + std::to_string(size) + " bytes unsent and still paused");
    }
}

void LibraryEnd::check_harmless() {
    if (!reference_) {
        return;
    }
    Transport& transport = *reference_;
    const std::vector<std::byte> bytes = outgoing_.make(0, 5000);
    transport.write(Bytes(bytes));
    transport.write(Buffer::copy(bytes));
    transport.writelines({Bytes(bytes), Bytes(bytes)});
    transport.flush();
    transport.pause_reading();
    transport.resume_reading();
    transport.set_write_buffer_limits(100, 10);
    transport.write_eof();
    transport.close();
    transport.abort();
    transport.set_protocol(world_.make_protocol(this, false, generation_ + 1000));
    try {
        transport.sendfile(0, 0, {}, {}, {});
        fail("misuse: sendfile() on a transport that survived its loop did not throw");
    } catch (const std::logic_error&) {
        // As it should.
    }
    if (!transport.is_closing() || transport.is_reading() ||
        transport.get_write_buffer_size() != 0 || transport.get_protocol() != nullptr ||
        transport.get_extra_info(extra::socket).fd() != -1) {
        fail("state: a transport that survived its loop does not look lost");
    }
}

void LibraryEnd::drop_reference() {
    transport_ = nullptr;
    reference_.reset();
}

}  // namespace sluice::test
