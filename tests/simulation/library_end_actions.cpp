// The calls the library's ends make, and what each call must do at once.
//
// What a call leads to later is judged where the callbacks come, in library_end.cpp. Here nothing is
// known about the peer.
#include <sluice/error.hpp>

#include "simulation/library_end.hpp"
#include "simulation/library_end_scopes.hpp"

#include <stdexcept>

namespace sluice::test {

void LibraryEnd::run_actions(Event event, unsigned nth) {
    for (const Action& action : plan_.actions) {
        if (action.event == event && action.nth == nth && !world_.failed() && !world_.mending()) {
            start_action(action);
        }
    }
}

void LibraryEnd::start_action(const Action& action) {
    LibraryEnd* target = action.target < 0 ? this : world_.library_end(action.target, index_);
    if (target == nullptr) {
        return;
    }
    if (action.how == How::now) {
        target->perform(action);
    } else {
        world_.schedule(action, *target);
    }
}

void LibraryEnd::perform(const Action& action) {
    if (action.op == Op::throw_error || action.op == Op::throw_stop) {
        world_.to_throw = action.op;
        return;
    }
    if (transport_ == nullptr || world_.failed()) {
        return;
    }
    if (world_.kernel().tracing()) {
        world_.kernel().trace("  " + name() + ": " + to_string(action.op) + " " +
                              std::to_string(action.size));
    }
    if (action.op == Op::send_file) {
        send_file(action);
    } else if (action.op < Op::send_file) {
        write(action);
    } else {
        perform_other(action);
    }
    if (world_.call == nullptr) {
        check_size("after a call");
    }
}

void LibraryEnd::perform_other(const Action& action) {
    switch (action.op) {
        case Op::flush: {
            const InCall call(*this, false);
            limits_changed_at_ = world_.iteration();
            transport_->flush();
            break;
        }
        case Op::pause_reading: {
            const InCall call(*this, false);
            reading_paused_ = reading_paused_ || !lost_;
            transport_->pause_reading();
            break;
        }
        case Op::resume_reading: {
            const InCall call(*this, false);
            reading_paused_ = false;
            transport_->resume_reading();
            break;
        }
        case Op::set_limits:
            set_limits(action);
            break;
        case Op::set_cap: {
            const InCall call(*this, false);
            cap_ = action.size;
            cap_refuses_ = action.pieces != 0;
            transport_->set_write_buffer_cap(cap_, cap_refuses_ ? OverflowPolicy::refuse_write
                                                                : OverflowPolicy::abort_connection);
            break;
        }
        case Op::write_eof: {
            const InCall call(*this, false);
            eof_written_ = eof_written_ || !transport_->is_closing();
            transport_->write_eof();
            break;
        }
        case Op::close:
            close();
            break;
        case Op::abort:
            abort();
            break;
        case Op::set_protocol:
            set_protocol();
            break;
        case Op::empty_buffer:
            give_no_room_ = true;
            break;
        case Op::server_close:
        case Op::server_close_clients:
        case Op::server_abort_clients: {
            const InCall call(*this, false);
            world_.server_action(action.op);
            break;
        }
        default:
            break;
    }
}

// ---- writing ----

void LibraryEnd::write(const Action& action) {
    const std::size_t before = transport_->get_write_buffer_size();
    const bool dropped = lost_ || (transport_->is_closing() && before == 0);
    const bool refused_for_eof = !dropped && eof_written_;
    const std::size_t size =
        action.op == Op::write_static ? std::min(action.size, Pattern::longest_view) : action.size;
    const bool may_be_full = !dropped && cap_ && before + size > *cap_;
    const std::uint64_t offset = accepted_;
    if (!dropped && !refused_for_eof) {
        // Before the call, because what pause_writing writes comes after these bytes.
        accepted_ += size;
        cap_hit_ = cap_hit_ || (may_be_full && !cap_refuses_);
    }
    Action sized = action;
    sized.size = size;
    const bool outer_may_be_refused = std::exchange(may_be_refused_, may_be_full && cap_refuses_);
    try {
        const InCall call(*this, true);
        send(sized, offset);
        if (refused_for_eof) {
            fail("misuse: a write after write_eof() did not throw");
        }
    } catch (const std::system_error& error) {
        if (!may_be_full || !cap_refuses_ || error.code() != Error::write_buffer_full) {
            fail(std::string("misuse: a write threw ") + error.what());
        }
        accepted_ = offset;
    } catch (const std::logic_error& error) {
        if (!refused_for_eof) {
            fail(std::string("misuse: a write threw ") + error.what());
        }
    }
    may_be_refused_ = outer_may_be_refused;
}

void LibraryEnd::send(const Action& action, std::uint64_t offset) {
    switch (action.op) {
        case Op::write: {
            // The bytes are overwritten afterwards: what was not sent must have been copied.
            std::vector<std::byte> bytes = outgoing_.make(offset, action.size);
            transport_->write(Bytes(bytes));
            std::fill(bytes.begin(), bytes.end(), std::byte{0xee});
            break;
        }
        case Op::write_buffer:
            transport_->write(Buffer(outgoing_.make(offset, action.size)));
            break;
        case Op::write_static:
            transport_->write_static(outgoing_.view(offset, action.size));
            break;
        case Op::write_releasing:
            transport_->write(releasing_buffer(offset, action.size));
            break;
        default:
            send_lines(action, offset);
    }
}

void LibraryEnd::send_lines(const Action& action, std::uint64_t offset) {
    std::vector<std::byte> bytes = outgoing_.make(offset, action.size);
    // Uneven pieces, some of them empty.
    SimRandom random(offset + action.size);
    std::vector<Bytes> pieces;
    std::size_t used = 0;
    for (unsigned index = 0; index < action.pieces; ++index) {
        const bool last = index + 1 == action.pieces;
        const std::size_t share = bytes.size() / action.pieces * 2;
        const std::size_t size =
            last ? bytes.size() - used
                 : std::min<std::size_t>(random.below(share + 1), bytes.size() - used);
        pieces.push_back(Bytes(bytes).subspan(used, size));
        used += size;
    }
    if (action.op == Op::write_lines) {
        transport_->writelines(std::span<const Bytes>(pieces));
        std::fill(bytes.begin(), bytes.end(), std::byte{0xee});
        return;
    }
    std::vector<Buffer> buffers;
    for (const Bytes piece : pieces) {
        buffers.push_back(Buffer::copy(piece));
    }
    transport_->writelines(std::span<const Buffer>(buffers));
}

/// Bytes whose owner, when the library lets go of them, writes some more.
Buffer LibraryEnd::releasing_buffer(std::uint64_t offset, std::size_t size) {
    auto* bytes = new std::vector<std::byte>(outgoing_.make(offset, size));
    const std::shared_ptr<const void> owner(bytes, [this](const void* released) {
        delete static_cast<const std::vector<std::byte>*>(released);
        if (transport_ == nullptr || lost_ || world_.over() || world_.mending()) {
            return;
        }
        // Where these bytes stand in the stream depends on whether the ones before are accepted.
        if (may_be_refused_) {
            return;
        }
        ++world_.release_depth;
        perform({.op = Op::write, .size = 100});
        --world_.release_depth;
    });
    return Buffer(*bytes, owner);
}

// ---- the rest ----

void LibraryEnd::close() {
    const InCall call(*this, false);
    close_called_ = close_called_ || !transport_->is_closing();
    transport_->close();
    if (!transport_->is_closing() || transport_->is_reading()) {
        fail("state: close() did not close");
    }
}

void LibraryEnd::closed_by_server() {
    if (alive() && !transport_->is_closing()) {
        close_called_ = true;
    }
}

void LibraryEnd::abort() {
    const InCall call(*this, false);
    aborted_by_server();
    transport_->abort();
    if (!transport_->is_closing() || transport_->get_write_buffer_size() != 0) {
        fail("state: abort() did not end the connection");
    }
}

void LibraryEnd::aborted_by_server() {
    if (alive()) {
        // A graceful close that still flushes is cut short; an error found before stands.
        abort_stands_ = abort_stands_ || (!transport_->is_closing() && !fatal_);
        abort_called_ = true;
    }
}

void LibraryEnd::set_limits(const Action& action) {
    const InCall call(*this, false);
    const std::size_t low = action.size / action.pieces;
    limits_changed_at_ = world_.iteration();
    transport_->set_write_buffer_limits(action.size, low);
    if (transport_->get_write_buffer_limits() !=
        WriteBufferLimits{.low = low, .high = action.size}) {
        fail("limits: not what was set");
    }
}

void LibraryEnd::set_protocol() {
    const InCall call(*this, false);
    const bool buffered = !buffered_;
    std::unique_ptr<StreamProtocol> protocol =
        world_.make_protocol(this, buffered, generation_ + 1);
    StreamProtocol* const made = protocol.get();
    if (alive()) {
        ++generation_;
        buffered_ = buffered;
        room_given_ = 0;
    }
    transport_->set_protocol(std::move(protocol));
    if (alive() && transport_->get_protocol() != made) {
        fail("state: set_protocol() did not take effect");
    }
}

void LibraryEnd::expect_fatal() {
    const bool over = transport_->is_closing() && transport_->get_write_buffer_size() == 0;
    if (!over && !fatal_) {
        fatal_ = Error::callback_failed;
    }
}

/// An exception out of a read callback ends the connection.
void LibraryEnd::throw_in_read() {
    if (world_.to_throw == Op::throw_error) {
        expect_fatal();
    }
    world_.throw_if_asked();
}

}  // namespace sluice::test
