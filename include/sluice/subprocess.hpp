// Subprocesses: a program whose standard streams are pipe transports, and whose end is an event.
//
// Subprocesses is a part of EventLoop and nothing by itself. On Linux with pidfd_open(2), 5.3 or newer.
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/connection.hpp>
#include <sluice/descriptor.hpp>
#include <sluice/protocol.hpp>
#include <sluice/ref.hpp>
#include <sluice/task.hpp>
#include <sluice/transport.hpp>

#include <array>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

namespace sluice::inline v0_1 {

class SubprocessTransport;

/// What one standard stream of a program is.
enum class StandardStream : std::uint8_t {
    pipe,     ///< A pipe, whose other end is a transport of ours.
    inherit,  ///< What this program has.
    null,     ///< /dev/null.
    output,   ///< For the error stream only: what the program's output is.
};

/// How a program is to be started. Setters return *this.
class SLUICE_API SubprocessOptions {
public:
    ///@{
    /// What the stream is; a pipe by default. Passing a Descriptor passes the ownership: it is closed
    /// in this process once the program has been started, or not. Throws std::invalid_argument for
    /// StandardStream::output where it makes no sense.
    SubprocessOptions& input(StandardStream stream);
    SubprocessOptions& input(Descriptor from);
    SubprocessOptions& output(StandardStream stream);
    SubprocessOptions& output(Descriptor to);
    SubprocessOptions& error_output(StandardStream stream);
    SubprocessOptions& error_output(Descriptor to);
    ///@}
    /// The whole environment, "NAME=value" each. Unset: this program's.
    SubprocessOptions& environment(std::vector<std::string> variables);
    /// Where the program runs. Unset: where this one does.
    SubprocessOptions& working_directory(std::string path);

    /// @cond internal
    struct Stream {
        StandardStream kind = StandardStream::pipe;
        Descriptor given;  // instead of `kind`
    };
    std::array<Stream, 3> streams;
    std::optional<std::vector<std::string>> variables;
    std::string folder;
    /// @endcond
};

/// The callbacks about a program: connection_made, then anything of pipe_data_received,
/// pipe_connection_lost (once for each pipe), pause_writing and resume_writing (of its input) and
/// process_exited, then connection_lost with an empty reason once the program has ended and all its
/// pipes are closed. Exceptions are reported; one out of pipe_data_received ends that pipe.
class SubprocessProtocol : public BaseProtocol {
public:
    /// The first callback. `transport` outlives the protocol.
    virtual void connection_made(SubprocessTransport& transport) { static_cast<void>(transport); }
    /// The program has written to `fd`, 1 or 2. The bytes are valid during the call only.
    virtual void pipe_data_received(int fd, Bytes data) {
        static_cast<void>(fd);
        static_cast<void>(data);
    }
    /// The pipe of `fd`, 0, 1 or 2, is over; `reason` is empty when it was closed.
    virtual void pipe_connection_lost(int fd, std::error_code reason) {
        static_cast<void>(fd);
        static_cast<void>(reason);
    }
    /// The program has ended; get_returncode() knows how. Its output may not have been read to the
    /// end yet.
    virtual void process_exited() {}
};

/// A running or ended program. To be used on the loop's thread.
class SubprocessTransport : public RefCounted {
public:
    /// The number of the process, also after its end.
    [[nodiscard]] virtual int get_pid() const noexcept = 0;
    /// Nothing while it runs; its exit status, or the negative number of the signal that ended it. 255
    /// if somebody else has taken the answer away (waiting for all children, or ignoring SIGCHLD).
    [[nodiscard]] virtual std::optional<int> get_returncode() const noexcept = 0;
    /// The transport of a standard stream that is a pipe: writes for 0, reads for 1 and 2; null for
    /// others.
    [[nodiscard]] virtual Ref<Transport> get_pipe_transport(int fd) const = 0;
    /// Sends it a signal. Throws std::system_error (no_such_process) after its end: the number may be
    /// somebody else's by then, but is never used.
    virtual void send_signal(int signal_number) = 0;
    /// send_signal(SIGTERM).
    virtual void terminate() = 0;
    /// send_signal(SIGKILL).
    virtual void kill() = 0;
    /// Closes its pipes and kills it if it still runs. Idempotent. connection_lost follows from the
    /// loop, after its end.
    virtual void close() = 0;
    /// True from close() on, and after connection_lost.
    [[nodiscard]] virtual bool is_closing() const noexcept = 0;

protected:
    using RefCounted::RefCounted;
};

/// What subprocess_exec gives.
template <class P>
class Subprocess {
public:
    /// Made by the loop.
    Subprocess(Ref<SubprocessTransport> made_transport, P* made_protocol) noexcept
        : transport(std::move(made_transport)), protocol(made_protocol) {}

    Ref<SubprocessTransport> transport;  ///< Never null.
    P* protocol;                         ///< Owned by the transport.
};

namespace detail {

/// Makes the protocol of a program.
using SubprocessFactory = std::function<std::unique_ptr<SubprocessProtocol>()>;

struct MadeSubprocess {
    Ref<SubprocessTransport> transport;
    SubprocessProtocol* protocol = nullptr;
};

template <class P, class... Arguments>
SubprocessFactory subprocess_factory(Arguments&&... arguments) {
    return [stored = std::tuple<std::decay_t<Arguments>...>(
                std::forward<Arguments>(arguments)...)]() -> std::unique_ptr<SubprocessProtocol> {
        return std::apply([](const auto&... values) { return std::make_unique<P>(values...); },
                          stored);
    };
}

template <class P>
Task<Subprocess<P>> as_subprocess(Task<MadeSubprocess> making) {
    MadeSubprocess made = co_await making;
    Subprocess<P> subprocess(std::move(made.transport), static_cast<P*>(made.protocol));
    co_return subprocess;
}

}  // namespace detail

/// The part of EventLoop that starts programs.
///
/// A program gets its three standard streams and no other descriptor, an empty signal mask and default
/// actions for all signals. Its end is watched by a descriptor of its own (pidfd_open(2)): no signal
/// handler, no thread, and no other child of this process is ever waited for. A loop that is closed
/// kills the programs it has started and waits for their end.
/// https://docs.python.org/3/library/asyncio-subprocess.html
class SLUICE_API Subprocesses {
public:
    /// Starts `command`, a program, which is searched for in $PATH, and its arguments. The protocol is
    /// built from `arguments`; connection_made has returned when the task gives its result.
    ///
    /// Throws at once std::logic_error on a closed loop and std::invalid_argument for an empty command
    /// or a null character in it, in the environment or in the folder. When awaited: std::system_error naming the program if it cannot be
    /// started, what the protocol's constructor throws; then nothing runs. Cancelled if the task is
    /// cancelled; then the program is killed.
    template <std::derived_from<SubprocessProtocol> P, class... Arguments>
    Task<Subprocess<P>> subprocess_exec(SubprocessOptions options, std::vector<std::string> command,
                                        Arguments... arguments) {
        return detail::as_subprocess<P>(
            start_program(detail::subprocess_factory<P>(std::move(arguments)...),
                          std::move(options), std::move(command)));
    }
    /// The same for a line of the shell (`/bin/sh -c`). What others wrote must not get into it.
    template <std::derived_from<SubprocessProtocol> P, class... Arguments>
    Task<Subprocess<P>> subprocess_shell(SubprocessOptions options, std::string line,
                                         Arguments... arguments) {
        std::vector<std::string> command;
        command.emplace_back("/bin/sh");
        command.emplace_back("-c");
        command.push_back(std::move(line));
        return detail::as_subprocess<P>(
            start_program(detail::subprocess_factory<P>(std::move(arguments)...),
                          std::move(options), std::move(command)));
    }

protected:
    Subprocesses() = default;
    ~Subprocesses() = default;

private:
    Task<detail::MadeSubprocess> start_program(detail::SubprocessFactory factory,
                                               SubprocessOptions options,
                                               std::vector<std::string> command);
};

}  // namespace sluice::inline v0_1
