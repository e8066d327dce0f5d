// Recorder and the two protocols that report to it: what the callbacks of one connection were, as a
// line of text.
//
// The line is in the notation of the project's measured traces: M made, D5 five bytes, E end of
// stream, P pause_writing, R resume_writing, L(None) or L(ECONNRESET) lost. A Recorder belongs to
// the test and outlives the protocol. It also checks, always, that the callbacks follow the grammar
// and never nest. It knows no socket and no loop.
#pragma once

#include <sluice/protocol.hpp>
#include <sluice/transport.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace sluice::test {

enum class ProtocolKind : std::uint8_t { simple, buffered };

/// "None", an errno's name, or the name of a sluice::Error: what stands between the brackets of L().
std::string name_of(std::error_code reason);

/// Everything one connection's protocol was told. Hooks run inside the callback, after it was
/// recorded, and may do anything a protocol may, throwing included. Not movable: protocols point to
/// it.
class Recorder {
public:
    Recorder() = default;
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    // ---- hooks; an empty one does nothing ----
    std::function<void(Transport&)> on_made;
    /// data_received, or buffer_updated with the bytes that were filled.
    std::function<void(Bytes)> on_data;
    /// Replaces the recorder's own 64 KiB buffer (buffered protocols only).
    std::function<MutableBytes(std::size_t hint)> on_get_buffer;
    /// Its result is eof_received's; without it the result is false.
    std::function<bool()> on_eof;
    std::function<void()> on_pause;
    std::function<void()> on_resume;
    std::function<void(std::error_code)> on_lost;

    // ---- what happened ----

    /// "M D2 D3 E L(None)": every event, in order.
    [[nodiscard]] std::string trace() const;
    /// The same with neighbouring D events added up, since how a stream is cut is not promised:
    /// "M D5 E L(None)".
    [[nodiscard]] std::string merged_trace() const;
    /// The bytes received so far.
    [[nodiscard]] const std::string& received() const noexcept { return received_; }
    /// The size of each chunk received.
    [[nodiscard]] const std::vector<std::size_t>& chunks() const noexcept { return chunks_; }
    /// The hint of each get_buffer.
    [[nodiscard]] const std::vector<std::size_t>& hints() const noexcept { return hints_; }
    /// How many times an event ('M', 'D', 'E', 'P', 'R', 'L') was recorded.
    [[nodiscard]] std::size_t count(char event) const noexcept;
    [[nodiscard]] bool made() const noexcept { return count('M') > 0; }
    [[nodiscard]] bool lost() const noexcept { return count('L') > 0; }
    /// What connection_lost was told.
    [[nodiscard]] std::error_code reason() const noexcept { return reason_; }
    /// How many protocols report here, and how many of them have been destroyed.
    [[nodiscard]] std::size_t created() const noexcept { return created_; }
    [[nodiscard]] std::size_t destroyed() const noexcept { return destroyed_; }
    /// What connection_made was given, kept alive until forget_transport().
    [[nodiscard]] Transport& transport() const noexcept { return *transport_; }
    [[nodiscard]] bool has_transport() const noexcept { return static_cast<bool>(transport_); }
    void forget_transport() noexcept { transport_.reset(); }

    /// For a protocol that set_protocol() puts on a connection made before: no connection_made comes.
    void take_over(Transport& transport) noexcept {
        transport_ = Ref<Transport>(&transport);
        stage_ = Stage::open;
    }

    /// Adds an event of the test's own to the trace, e.g. "returns".
    void note(std::string event) { events_.push_back(std::move(event)); }
    /// Forgets the events so far, not the bytes.
    void clear_trace() noexcept { events_.clear(); }

    /// Breaches of the callback grammar and nested callbacks, as sentences; empty when all is well.
    [[nodiscard]] const std::vector<std::string>& violations() const noexcept {
        return violations_;
    }
    /// True while a callback of this connection is running.
    [[nodiscard]] bool inside_callback() const noexcept { return depth_ > 0; }

    // ---- for the protocols ----
    void made(Transport& transport);
    void data(Bytes bytes);
    [[nodiscard]] MutableBytes buffer(std::size_t hint);
    void filled(std::size_t byte_count);
    [[nodiscard]] bool eof();
    void pause();
    void resume();
    void lost(std::error_code reason);
    void protocol_created() noexcept { ++created_; }
    void protocol_destroyed() noexcept { ++destroyed_; }

private:
    class Call;
    enum class Stage : std::uint8_t { fresh, open, ended, lost };

    void require(bool condition, std::string_view rule);
    void received_chunk(Bytes bytes);

    std::vector<std::string> events_;
    std::vector<std::string> violations_;
    std::vector<std::size_t> chunks_;
    std::vector<std::size_t> hints_;
    std::vector<std::byte> own_buffer_;
    std::string received_;
    MutableBytes lent_;
    Ref<Transport> transport_;
    std::error_code reason_;
    std::size_t counts_[128] = {};
    std::size_t created_ = 0;
    std::size_t destroyed_ = 0;
    unsigned depth_ = 0;
    Stage stage_ = Stage::fresh;
    bool paused_ = false;
};

/// Reports to `recorder`, which must outlive it.
class RecordingProtocol : public Protocol {
public:
    explicit RecordingProtocol(Recorder* recorder) noexcept : recorder_(*recorder) {
        recorder_.protocol_created();
    }
    ~RecordingProtocol() override { recorder_.protocol_destroyed(); }

    void connection_made(Transport& transport) override { recorder_.made(transport); }
    void data_received(Bytes data) override { recorder_.data(data); }
    bool eof_received() override { return recorder_.eof(); }
    void pause_writing() override { recorder_.pause(); }
    void resume_writing() override { recorder_.resume(); }
    void connection_lost(std::error_code reason) override { recorder_.lost(reason); }

private:
    Recorder& recorder_;
};

/// The same as a BufferedProtocol.
class RecordingBufferedProtocol : public BufferedProtocol {
public:
    explicit RecordingBufferedProtocol(Recorder* recorder) noexcept : recorder_(*recorder) {
        recorder_.protocol_created();
    }
    ~RecordingBufferedProtocol() override { recorder_.protocol_destroyed(); }

    void connection_made(Transport& transport) override { recorder_.made(transport); }
    MutableBytes get_buffer(std::size_t hint) override { return recorder_.buffer(hint); }
    void buffer_updated(std::size_t byte_count) override { recorder_.filled(byte_count); }
    bool eof_received() override { return recorder_.eof(); }
    void pause_writing() override { recorder_.pause(); }
    void resume_writing() override { recorder_.resume(); }
    void connection_lost(std::error_code reason) override { recorder_.lost(reason); }

private:
    Recorder& recorder_;
};

/// A recording protocol of the wanted kind, e.g. for set_protocol().
std::unique_ptr<StreamProtocol> make_recording_protocol(ProtocolKind kind, Recorder& recorder);

}  // namespace sluice::test
