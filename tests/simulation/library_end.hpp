// LibraryEnd: one end of a connection that is the library's, with a model of what it must do.
//
// It is the user's side: protocols forward every callback to it; it checks the callback against the
// model (the grammar, the bytes, the buffer size) and then performs the program's actions. It
// outlives its protocols and, if it holds a reference, sees the transport after its loss.
#pragma once

#include <sluice/transport.hpp>

#include "simulation/pattern.hpp"
#include "simulation/program.hpp"
#include "simulation/world.hpp"

namespace sluice::test {

class LibraryEnd {
public:
    LibraryEnd(World& world, std::size_t connection, std::size_t index, const EndPlan& plan);

    // ---- callbacks; `generation` tells the protocol that was replaced from the one in charge ----

    void connection_made(Transport& transport, bool buffered);
    void data_received(unsigned generation, Bytes data);
    MutableBytes get_buffer(unsigned generation);
    void buffer_updated(unsigned generation, std::size_t count);
    bool eof_received(unsigned generation);
    void pause_writing(unsigned generation);
    void resume_writing(unsigned generation);
    void connection_lost(unsigned generation, std::error_code reason);

    // ---- the program ----

    void perform(const Action& action);
    void start_action(const Action& action);

    // ---- what the world asks ----

    [[nodiscard]] bool made() const noexcept { return made_; }
    [[nodiscard]] bool lost() const noexcept { return lost_; }
    [[nodiscard]] bool alive() const noexcept { return made_ && !lost_; }
    [[nodiscard]] bool reading() const { return alive() && transport_->is_reading(); }
    [[nodiscard]] bool closing() const { return alive() && transport_->is_closing(); }
    [[nodiscard]] bool saw_eof() const noexcept { return eof_; }
    [[nodiscard]] bool wrote_eof() const noexcept { return eof_written_; }
    [[nodiscard]] bool writing_paused() const noexcept { return writing_paused_; }
    [[nodiscard]] std::uint64_t received() const noexcept { return received_; }
    [[nodiscard]] std::uint64_t accepted() const noexcept { return accepted_; }
    [[nodiscard]] std::size_t pending() const { return transport_->get_write_buffer_size(); }
    /// It ended its stream of its own will, so that all of it must arrive.
    [[nodiscard]] bool ended_cleanly() const noexcept {
        return made_ && !aborted() && (lost_ ? !reason_ : eof_written_);
    }
    [[nodiscard]] bool aborted() const noexcept { return abort_called_ || cancelled_; }
    [[nodiscard]] const EndPlan& plan() const noexcept { return plan_; }
    [[nodiscard]] std::string name() const;
    /// The server does this to its connections.
    void closed_by_server();
    void aborted_by_server();
    /// The task that connects is cancelled, which aborts a connection it has made.
    void connect_cancelled() noexcept { cancelled_ = true; }
    void check_between_iterations();
    /// The loop is gone: everything must be callable and do nothing.
    void check_harmless();
    void drop_reference();

private:
    class InCallback;
    class InCall;

    void fail(const std::string& what) const;
    void run_actions(Event event, unsigned nth);
    void receive(Bytes data);
    void check_reading(const char* callback) const;
    void check_reason(std::error_code reason) const;
    void check_size(const char* when) const { check_size(when, world_.held_at_most()); }
    void check_size(const char* when, std::size_t held_at_most) const;
    void expect_fatal();
    void throw_in_read();

    void write(const Action& action);
    void send_file(const Action& action);
    void queue_file(const Action& action, std::uint64_t offset);
    void file_ended(std::uint64_t size, const SendfileResult& result);
    void send(const Action& action, std::uint64_t offset);
    void send_lines(const Action& action, std::uint64_t offset);
    Buffer releasing_buffer(std::uint64_t offset, std::size_t size);
    void close();
    void abort();
    void set_limits(const Action& action);
    void set_protocol();
    void perform_other(const Action& action);

    World& world_;
    std::size_t connection_;
    std::size_t index_;
    const EndPlan& plan_;
    Pattern outgoing_;
    Pattern incoming_;

    Transport* transport_ = nullptr;
    Ref<Transport> reference_;
    unsigned generation_ = 0;
    bool buffered_ = false;
    std::vector<std::byte> room_;
    std::size_t room_given_ = 0;  // by a get_buffer that no buffer_updated followed yet
    bool give_no_room_ = false;
    bool gave_no_room_ = false;

    bool made_ = false;
    bool lost_ = false;
    bool eof_ = false;
    bool kept_open_ = false;
    bool reading_paused_ = false;
    bool writing_paused_ = false;
    bool close_called_ = false;
    bool abort_called_ = false;
    bool abort_stands_ = false;  // nothing had ended the connection before
    bool eof_written_ = false;
    bool cancelled_ = false;
    std::optional<std::size_t> cap_;
    bool cap_refuses_ = false;
    bool cap_hit_ = false;
    bool may_be_refused_ = false;  // the write that is running
    unsigned files_open_ = 0;      // queued, and nothing heard of them yet
    bool file_cut_short_ = false;
    std::error_code reason_;
    std::optional<std::error_code> fatal_;  // what a read callback of ours threw
    std::uint64_t accepted_ = 0;
    std::uint64_t received_ = 0;
    std::uint64_t limits_changed_at_ = 0;  // iteration
    std::array<unsigned, 9> event_counts_{};
};

}  // namespace sluice::test
