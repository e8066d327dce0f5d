// SubprocessImpl: the life of a program from its start to connection_lost.
#pragma once

#include <sluice/detail/subprocess_impl.hpp>
#include <sluice/detail/sys_process.hpp>

#include <csignal>
#include <string>

namespace sluice::inline v0_1::detail {

// asyncio's answer, too, for a child whose end somebody else was told of.
inline constexpr int unknown_returncode = 255;

SLUICE_INLINE Ref<SubprocessImpl> SubprocessImpl::create(
    LoopCore& core, int pid, Descriptor process, std::unique_ptr<SubprocessProtocol> protocol) {
    Ref<SubprocessImpl> made(
        new SubprocessImpl(core, pid, std::move(process), std::move(protocol)));
    made->self_ = made;
    return made;
}

SLUICE_INLINE SubprocessImpl::SubprocessImpl(LoopCore& core, int pid, Descriptor process,
                                             std::unique_ptr<SubprocessProtocol> protocol)
    : SubprocessTransport(core.owner()),
      core_(&core),
      pid_(pid),
      process_(std::move(process)),
      protocol_(std::move(protocol)) {
    core.attach(*this);
}

SLUICE_INLINE SubprocessImpl::~SubprocessImpl() = default;

SLUICE_INLINE void SubprocessImpl::add_pipe(int fd, Ref<Transport> pipe) {
    const auto index = static_cast<std::size_t>(fd);
    pipes_[index] = std::move(pipe);
    pipe_open_[index] = true;
}

SLUICE_INLINE void SubprocessImpl::start() noexcept {
    dispatch(*core_, site("protocol.connection_made()"),
             [this] { protocol_->connection_made(*this); });
    for (const Ref<Transport>& pipe : pipes_) {
        if (pipe) {
            pipe->resume_reading();
        }
    }
    if (core_->watch(*this, process_.get(), Readiness::readable)) {
        // Not to be told of its end would be worse than its end.
        end_process();
        dispatch(*core_, site("protocol.process_exited()"),
                 [this] { protocol_->process_exited(); });
    }
}

SLUICE_INLINE void SubprocessImpl::give_up() noexcept {
    lost_ = true;
    for (const Ref<Transport>& pipe : pipes_) {
        if (pipe) {
            // Its protocol has not been called yet, and will not be.
            pipe->abort();
        }
    }
    end_process();
    pipes_ = {};
    self_.reset();
}

// ---- events ----

SLUICE_INLINE void SubprocessImpl::on_ready(Readiness) noexcept {
    const Result<int> status = sys::take_exit_status(pid_, false);
    if (status.blocked()) {
        return;
    }
    core_->unwatch(*this, process_.get());
    returncode_ = status.ok() ? status.value() : unknown_returncode;
    process_.reset();
    dispatch(*core_, site("protocol.process_exited()"), [this] { protocol_->process_exited(); });
    end_if_all_ended();
}

SLUICE_INLINE void SubprocessImpl::pipe_lost(int fd, std::error_code reason) noexcept {
    pipe_open_[static_cast<std::size_t>(fd)] = false;
    dispatch(*core_, site("protocol.pipe_connection_lost()"),
             [&] { protocol_->pipe_connection_lost(fd, reason); });
    end_if_all_ended();
}

SLUICE_INLINE void SubprocessImpl::end_if_all_ended() noexcept {
    const bool any_open = pipe_open_[0] || pipe_open_[1] || pipe_open_[2];
    if (returncode_ && !any_open && !lost_ && !Ready::linked()) {
        core_->schedule(*this);
    }
}

SLUICE_INLINE void SubprocessImpl::on_ready_phase() noexcept {
    closing_ = true;
    dispatch(*core_, site("protocol.connection_lost()"),
             [this] { protocol_->connection_lost({}); });
    lost_ = true;
    pipes_ = {};
    self_.reset();
}

// ---- the user's calls ----

SLUICE_INLINE Ref<Transport> SubprocessImpl::get_pipe_transport(int fd) const {
    return fd >= 0 && fd < 3 ? pipes_[static_cast<std::size_t>(fd)] : Ref<Transport>();
}

SLUICE_INLINE void SubprocessImpl::send_signal(int signal_number) {
    const std::error_code error = process_
                                      ? sys::signal_process(process_.get(), pid_, signal_number)
                                      : std::make_error_code(std::errc::no_such_process);
    if (error) {
        throw std::system_error(error, "cannot send signal " + std::to_string(signal_number) +
                                           " to process " + std::to_string(pid_));
    }
}

SLUICE_INLINE void SubprocessImpl::terminate() {
    send_signal(SIGTERM);
}

SLUICE_INLINE void SubprocessImpl::kill() {
    send_signal(sys::kill_signal);
}

SLUICE_INLINE void SubprocessImpl::close() {
    if (is_closing()) {
        return;
    }
    core_->check_thread("SubprocessTransport::close()");
    closing_ = true;
    for (const Ref<Transport>& pipe : pipes_) {
        if (pipe) {
            // Nobody reads what is pending.
            pipe->abort();
        }
    }
    if (process_) {
        static_cast<void>(sys::signal_process(process_.get(), pid_, sys::kill_signal));
    }
}

// ---- ending ----

/// Kills it if it still runs, and waits for that.
SLUICE_INLINE void SubprocessImpl::end_process() noexcept {
    if (!process_) {
        return;
    }
    core_->unwatch(*this, process_.get());
    static_cast<void>(sys::signal_process(process_.get(), pid_, sys::kill_signal));
    const Result<int> status = sys::take_exit_status(pid_, true);
    returncode_ = status.ok() ? status.value() : unknown_returncode;
    process_.reset();
    end_if_all_ended();
}

SLUICE_INLINE void SubprocessImpl::on_detach() noexcept {
    // Protocols may hold each other's transports: this one dies once everything is detached.
    class RetiredProgram final : public Retired {
    public:
        std::unique_ptr<SubprocessProtocol> protocol;
        void destroy() noexcept override { delete this; }
    };
    const Ref<SubprocessImpl> self = std::move(self_);
    lost_ = true;
    Ready::unlink();
    end_process();
    pipes_ = {};
    try {
        auto retired = std::make_unique<RetiredProgram>();
        retired->protocol = std::move(protocol_);
        core_->retire(*retired.release());
    } catch (const std::bad_alloc&) {
        // Then it lives as long as this.
    }
    core_ = nullptr;
    disown();
}

SLUICE_INLINE void SubprocessImpl::unreferenced() noexcept {
    if (core_ == nullptr) {
        delete this;
    } else {
        core_->retire(*this);
    }
}

}  // namespace sluice::inline v0_1::detail
