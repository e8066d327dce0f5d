// Recorder: writes the callbacks down and checks their order. See recording_protocol.hpp; nothing
// here knows where the bytes come from.
#include "support/recording_protocol.hpp"

#include <sluice/error.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace sluice::test {

namespace {

constexpr std::size_t own_buffer_bytes = 64 * 1024;

const char* errno_name(std::error_code reason) {
    static constexpr std::array<std::pair<std::errc, const char*>, 8> names{{
        {std::errc::connection_reset, "ECONNRESET"},
        {std::errc::broken_pipe, "EPIPE"},
        {std::errc::connection_aborted, "ECONNABORTED"},
        {std::errc::timed_out, "ETIMEDOUT"},
        {std::errc::not_connected, "ENOTCONN"},
        {std::errc::not_enough_memory, "ENOMEM"},
        {std::errc::bad_file_descriptor, "EBADF"},
        {std::errc::invalid_argument, "EINVAL"},
    }};
    for (const auto& [code, name] : names) {
        if (reason == code) {
            return name;
        }
    }
    return nullptr;
}

bool is_data(const std::string& event) {
    return event.size() > 1 && event[0] == 'D' &&
           std::isdigit(static_cast<unsigned char>(event[1])) != 0;
}

std::string joined(const std::vector<std::string>& events) {
    std::string line;
    for (const std::string& event : events) {
        line += line.empty() ? event : " " + event;
    }
    return line;
}

}  // namespace

std::string name_of(std::error_code reason) {
    if (!reason) {
        return "None";
    }
    if (reason == Error::callback_failed) {
        return "callback_failed";
    }
    if (reason == Error::empty_buffer) {
        return "empty_buffer";
    }
    if (reason == Error::write_buffer_full) {
        return "write_buffer_full";
    }
    if (reason == Error::idle_timeout) {
        return "idle_timeout";
    }
    if (reason == Error::write_timeout) {
        return "write_timeout";
    }
    const char* name = errno_name(reason);
    return name != nullptr ? name : reason.category().name() + (": " + reason.message());
}

/// One callback being made: records it, checks that it is not nested, ends with the callback
/// whatever the hook throws.
class Recorder::Call {
public:
    Call(Recorder& recorder, std::string event) : recorder_(recorder) {
        const char kind = event.front();
        // pause_writing is the one callback that comes from inside a call of the user's.
        recorder_.require(recorder_.depth_ == 0 || kind == 'P', "nested callback " + event);
        recorder_.require(recorder_.stage_ != Stage::lost, event + " after connection_lost");
        recorder_.require(kind == 'M' || recorder_.stage_ != Stage::fresh,
                          event + " before connection_made");
        ++recorder_.depth_;
        ++recorder_.counts_[static_cast<unsigned char>(kind)];
        if (kind != 'G') {
            recorder_.events_.push_back(std::move(event));
        }
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() { --recorder_.depth_; }

private:
    Recorder& recorder_;
};

std::string Recorder::trace() const {
    return joined(events_);
}

std::string Recorder::merged_trace() const {
    std::vector<std::string> merged;
    for (const std::string& event : events_) {
        if (!merged.empty() && is_data(event) && is_data(merged.back())) {
            const auto sum = std::stoull(merged.back().substr(1)) + std::stoull(event.substr(1));
            merged.back() = "D" + std::to_string(sum);
        } else {
            merged.push_back(event);
        }
    }
    return joined(merged);
}

std::size_t Recorder::count(char event) const noexcept {
    return counts_[static_cast<unsigned char>(event)];
}

void Recorder::require(bool condition, std::string_view rule) {
    if (!condition) {
        violations_.push_back(std::string(rule) + " in: " + trace());
    }
}

void Recorder::made(Transport& transport) {
    require(stage_ == Stage::fresh, "a second connection_made");
    stage_ = Stage::open;
    transport_ = Ref<Transport>(&transport);
    const Call call(*this, "M");
    if (on_made) {
        on_made(transport);
    }
}

void Recorder::received_chunk(Bytes bytes) {
    require(stage_ != Stage::ended, "data after eof_received");
    require(!bytes.empty(), "an empty chunk");
    const Call call(*this, "D" + std::to_string(bytes.size()));
    received_ += as_text(bytes);
    chunks_.push_back(bytes.size());
    if (on_data) {
        on_data(bytes);
    }
}

void Recorder::data(Bytes bytes) {
    received_chunk(bytes);
}

MutableBytes Recorder::buffer(std::size_t hint) {
    const Call call(*this, "G");
    hints_.push_back(hint);
    lent_ = {};
    if (on_get_buffer) {
        lent_ = on_get_buffer(hint);
        return lent_;
    }
    own_buffer_.resize(own_buffer_bytes);
    lent_ = own_buffer_;
    return lent_;
}

void Recorder::filled(std::size_t byte_count) {
    require(byte_count <= lent_.size(), "buffer_updated with more than the buffer holds");
    const MutableBytes filled = lent_.first(std::min(byte_count, lent_.size()));
    lent_ = {};
    received_chunk(filled);
}

bool Recorder::eof() {
    require(stage_ != Stage::ended, "a second eof_received");
    stage_ = Stage::ended;
    const Call call(*this, "E");
    return on_eof && on_eof();
}

void Recorder::pause() {
    require(!paused_, "pause_writing while paused");
    paused_ = true;
    const Call call(*this, "P");
    if (on_pause) {
        on_pause();
    }
}

void Recorder::resume() {
    require(paused_, "resume_writing while not paused");
    paused_ = false;
    const Call call(*this, "R");
    if (on_resume) {
        on_resume();
    }
}

void Recorder::lost(std::error_code reason) {
    reason_ = reason;
    const Call call(*this, "L(" + name_of(reason) + ")");
    stage_ = Stage::lost;
    if (on_lost) {
        on_lost(reason);
    }
}

std::unique_ptr<StreamProtocol> make_recording_protocol(ProtocolKind kind, Recorder& recorder) {
    if (kind == ProtocolKind::buffered) {
        return std::make_unique<RecordingBufferedProtocol>(&recorder);
    }
    return std::make_unique<RecordingProtocol>(&recorder);
}

}  // namespace sluice::test
