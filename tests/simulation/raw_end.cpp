// The peers that are not the library: their actions, in the kernel's time.
//
// They know the pattern of the stream and nothing about the library's state; whether an end of
// stream comes too early, the world tells.
#include "simulation/raw_end.hpp"

namespace sluice::test {

RawEnd::RawEnd(World& world, std::size_t connection, std::size_t index, const EndPlan& plan)
    : world_(world),
      connection_(connection),
      index_(index),
      plan_(plan),
      outgoing_(connection * 2 + index),
      incoming_(connection * 2 + (1 - index)) {}

void RawEnd::connected(SimPeer peer) {
    peer_ = peer;
    read(plan_.reads_at_once || world_.mending());
    for (const Action& action : plan_.actions) {
        const Duration at = std::chrono::milliseconds(action.nth);
        const Duration elapsed = world_.kernel().elapsed();
        world_.kernel().after(at > elapsed ? at - elapsed : Duration::zero(),
                              [this, &action] { perform(action); });
    }
}

void RawEnd::perform(const Action& action) {
    if (world_.failed() || world_.mending() || !alive()) {
        return;
    }
    switch (action.op) {
        case Op::write:
        case Op::write_buffer:
        case Op::write_static:
        case Op::write_lines:
        case Op::write_buffers:
        case Op::write_releasing:
        case Op::send_file: {
            const std::vector<std::byte> bytes = outgoing_.make(sent_, action.size);
            sent_ += peer_.send(bytes);
            break;
        }
        case Op::pause_reading:
            read(false);
            break;
        case Op::resume_reading:
        case Op::flush:
            read(true);
            break;
        case Op::write_eof:
            finished_ = true;
            peer_.finish();
            break;
        case Op::close:
            close();
            break;
        case Op::abort:
            finished_ = true;
            peer_.reset();
            break;
        default:
            // What only the library's end can do.
            break;
    }
}

void RawEnd::read(bool on) {
    if (on) {
        peer_.on_readable([this](SimPeer) { take(); });
    } else {
        peer_.on_readable(nullptr);
    }
}

void RawEnd::take() {
    const std::vector<std::byte> bytes = peer_.receive(static_cast<std::size_t>(-1));
    if (!incoming_.matches(received_, bytes)) {
        world_.fail("bytes: raw end " + std::to_string(connection_) + "." + std::to_string(index_) +
                    " received wrong bytes after " + std::to_string(received_));
    }
    received_ += bytes.size();
    if (peer_.at_end() && !end_checked_) {
        end_checked_ = true;
        const std::optional<std::uint64_t> promised = world_.promised_to(connection_, index_);
        if (promised && *promised != received_) {
            world_.fail("complete: raw end " + std::to_string(connection_) + "." +
                        std::to_string(index_) + " saw the end after " + std::to_string(received_) +
                        " of " + std::to_string(*promised) + " bytes");
        }
    }
}

void RawEnd::drain() {
    if (peer_ && peer_.open()) {
        read(true);
    }
}

void RawEnd::close() {
    if (peer_) {
        finished_ = true;
        peer_.close();
    }
}

}  // namespace sluice::test
