// SubprocessImpl: one program, its pipes and the descriptor that tells of its end.
//
// It knows pipe transports and the loop core, no coroutine and no options. The loop holds it until
// connection_lost has returned, which waits for the end of the program and of every pipe.
#pragma once

#include <sluice/descriptor.hpp>
#include <sluice/detail/dispatch.hpp>
#include <sluice/detail/loop_core.hpp>
#include <sluice/subprocess.hpp>

#include <array>
#include <memory>
#include <optional>

namespace sluice::inline v0_1::detail {

class SubprocessImpl final : public SubprocessTransport,
                             private Watcher,
                             private Ready,
                             private Retired,
                             private Attached {
public:
    /// Takes over the running child `pid` and the descriptor that watches it.
    static Ref<SubprocessImpl> create(LoopCore& core, int pid, Descriptor process,
                                      std::unique_ptr<SubprocessProtocol> protocol);

    // ---- for whoever starts it ----

    /// Our end of a standard stream, whose protocol is a SubprocessPipe.
    void add_pipe(int fd, Ref<Transport> pipe);
    /// connection_made, and everything else may follow.
    void start() noexcept;
    /// Instead of start(): kills the program, and the protocol hears of nothing.
    void give_up() noexcept;
    [[nodiscard]] SubprocessProtocol* protocol() const noexcept { return protocol_.get(); }

    // ---- for its pipes ----

    void pipe_data(int fd, Bytes data) { protocol_->pipe_data_received(fd, data); }
    void pipe_lost(int fd, std::error_code reason) noexcept;
    void pause_writing() { protocol_->pause_writing(); }
    void resume_writing() { protocol_->resume_writing(); }

    [[nodiscard]] int get_pid() const noexcept override { return pid_; }
    [[nodiscard]] std::optional<int> get_returncode() const noexcept override {
        return returncode_;
    }
    [[nodiscard]] Ref<Transport> get_pipe_transport(int fd) const override;
    void send_signal(int signal_number) override;
    void terminate() override;
    void kill() override;
    void close() override;
    [[nodiscard]] bool is_closing() const noexcept override { return closing_ || lost_; }

private:
    SubprocessImpl(LoopCore& core, int pid, Descriptor process,
                   std::unique_ptr<SubprocessProtocol> protocol);
    ~SubprocessImpl() override;

    void on_ready(Readiness events) noexcept override;
    void on_ready_phase() noexcept override;
    void on_detach() noexcept override;
    void destroy() noexcept override { delete this; }
    void unreferenced() noexcept override;

    void end_if_all_ended() noexcept;
    void end_process() noexcept;
    [[nodiscard]] CallSite site(const char* name) noexcept {
        return {.name = name, .protocol = protocol_.get()};
    }

    LoopCore* core_;  // null once the loop is gone
    int pid_;
    Descriptor process_;
    std::unique_ptr<SubprocessProtocol> protocol_;
    std::array<Ref<Transport>, 3> pipes_;
    std::array<bool, 3> pipe_open_{};
    std::optional<int> returncode_;
    bool closing_ = false;
    bool lost_ = false;
    Ref<SubprocessImpl> self_;
};

/// The protocol of one of its pipes. The process outlives it, or the loop is going away.
class SubprocessPipe final : public Protocol {
public:
    SubprocessPipe(SubprocessImpl& process, int fd) noexcept : process_(process), fd_(fd) {}

    void connection_made(Transport& transport) override {
        // Nothing before connection_made of the process.
        transport.pause_reading();
    }
    void data_received(Bytes data) override { process_.pipe_data(fd_, data); }
    void pause_writing() override { process_.pause_writing(); }
    void resume_writing() override { process_.resume_writing(); }
    void connection_lost(std::error_code reason) override { process_.pipe_lost(fd_, reason); }

private:
    SubprocessImpl& process_;
    int fd_;
};

}  // namespace sluice::inline v0_1::detail
