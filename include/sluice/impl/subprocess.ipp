// Subprocesses: options, and the coroutine that makes the streams, starts the program and waits for its
// pipes.
#pragma once

#include <sluice/impl/event_loop_state.hpp>

#include <sluice/detail/pipe_transport.hpp>
#include <sluice/detail/subprocess_impl.hpp>
#include <sluice/detail/sys_pipes.hpp>
#include <sluice/detail/sys_process.hpp>
#include <sluice/event_loop.hpp>
#include <sluice/subprocess.hpp>

#include <algorithm>
#include <stdexcept>

namespace sluice::inline v0_1 {

namespace detail {

SLUICE_INLINE void set_stream(SubprocessOptions& options, std::size_t stream, StandardStream kind) {
    if (kind == StandardStream::output && stream != 2) {
        throw std::invalid_argument(
            "SubprocessOptions: only the error stream can be what the output is");
    }
    options.streams[stream].kind = kind;
    options.streams[stream].given.reset();
}

SLUICE_INLINE void set_stream(SubprocessOptions& options, std::size_t stream, Descriptor given) {
    if (!given) {
        throw std::invalid_argument("SubprocessOptions: there is no descriptor");
    }
    options.streams[stream].given = std::move(given);
}

}  // namespace detail

SLUICE_INLINE SubprocessOptions& SubprocessOptions::input(StandardStream stream) {
    detail::set_stream(*this, 0, stream);
    return *this;
}
SLUICE_INLINE SubprocessOptions& SubprocessOptions::input(Descriptor from) {
    detail::set_stream(*this, 0, std::move(from));
    return *this;
}
SLUICE_INLINE SubprocessOptions& SubprocessOptions::output(StandardStream stream) {
    detail::set_stream(*this, 1, stream);
    return *this;
}
SLUICE_INLINE SubprocessOptions& SubprocessOptions::output(Descriptor to) {
    detail::set_stream(*this, 1, std::move(to));
    return *this;
}
SLUICE_INLINE SubprocessOptions& SubprocessOptions::error_output(StandardStream stream) {
    detail::set_stream(*this, 2, stream);
    return *this;
}
SLUICE_INLINE SubprocessOptions& SubprocessOptions::error_output(Descriptor to) {
    detail::set_stream(*this, 2, std::move(to));
    return *this;
}
SLUICE_INLINE SubprocessOptions& SubprocessOptions::environment(
    std::vector<std::string> environment_variables) {
    variables = std::move(environment_variables);
    return *this;
}
SLUICE_INLINE SubprocessOptions& SubprocessOptions::working_directory(std::string path) {
    folder = std::move(path);
    return *this;
}

namespace detail {

/// The descriptors of the three streams: what the program gets, and our ends of pipes.
struct ProgramStreams {
    std::array<Descriptor, 3> theirs;
    std::array<Descriptor, 3> ours;
};

SLUICE_INLINE Descriptor opened_stream(Result<int> result) {
    if (!result.ok()) {
        throw std::system_error(result.error(), "cannot make the streams of a program");
    }
    return Descriptor(result.value());
}

/// What the program gets must not be below 3, where it is put in its place.
SLUICE_INLINE Descriptor above_standard(Descriptor fd) {
    return fd.get() > 2 ? std::move(fd) : opened_stream(sys::duplicate_above_standard(fd.get()));
}

SLUICE_INLINE ProgramStreams make_streams(SubprocessOptions& options) {
    ProgramStreams made;
    for (std::size_t index = 0; index < made.theirs.size(); ++index) {
        SubprocessOptions::Stream& stream = options.streams[index];
        if (stream.given) {
            made.theirs[index] = above_standard(std::move(stream.given));
        } else if (stream.kind == StandardStream::null) {
            made.theirs[index] = above_standard(opened_stream(sys::open_null()));
        } else if (stream.kind == StandardStream::output) {
            const int output = made.theirs[1] ? made.theirs[1].get() : 1;
            made.theirs[index] = opened_stream(sys::duplicate_above_standard(output));
        } else if (stream.kind == StandardStream::pipe) {
            const Result<sys::PipeEnds> pipe = sys::open_pipe();
            if (!pipe.ok()) {
                throw std::system_error(pipe.error(), "cannot make the pipes of a program");
            }
            Descriptor reading(pipe.value().reading);
            Descriptor writing(pipe.value().writing);
            if (index == 0) {
                std::swap(reading, writing);  // The program reads its standard input.
            }
            made.ours[index] = std::move(reading);
            made.theirs[index] = above_standard(std::move(writing));
        }
    }
    return made;
}

/// Starts the program and what watches its end. Throws std::system_error naming it.
SLUICE_INLINE Ref<SubprocessImpl> start_process(LoopCore& core, const sys::ProgramStart& start,
                                                std::unique_ptr<SubprocessProtocol> protocol) {
    const Result<int> started = sys::start_program(start);
    if (!started.ok()) {
        throw std::system_error(started.error(), "cannot start " + start.command.front());
    }
    const Result<int> watched = sys::watch_process(started.value());
    std::exception_ptr failure;
    if (watched.ok()) {
        try {
            return SubprocessImpl::create(core, started.value(), Descriptor(watched.value()),
                                          std::move(protocol));
        } catch (const std::bad_alloc&) {
            failure = std::current_exception();
        }
    }
    // Without it only a signal handler or a thread could tell of the end.
    sys::abandon_program(started.value());
    if (failure) {
        std::rethrow_exception(failure);
    }
    throw std::system_error(watched.error(), "cannot watch " + start.command.front());
}

/// Our end of one stream; it counts `started` down and completes it.
SLUICE_INLINE void attach_pipe(LoopCore& core, SubprocessImpl& process, int fd, Descriptor ours,
                               const std::shared_ptr<int>& pending, const Future<void>& started) {
    sys::PipeStatus status;
    status.kind = sys::PipeKind::pipe;
    static_cast<void>(sys::set_nonblocking(ours.get()));
    const auto direction =
        fd == 0 ? PipeTransport::Direction::writing : PipeTransport::Direction::reading;
    const Ref<PipeTransport> pipe = PipeTransport::create(core, std::move(ours), direction, status);
    process.add_pipe(fd, pipe);
    ++*pending;
    pipe->start(std::make_unique<SubprocessPipe>(process, fd), [pending, started] {
        if (--*pending == 0) {
            started.try_set_result();
        }
    });
}

SLUICE_INLINE Task<MadeSubprocess> start_subprocess(EventLoop& loop, SubprocessFactory factory,
                                                    SubprocessOptions options,
                                                    std::vector<std::string> command) {
    std::unique_ptr<SubprocessProtocol> protocol = factory();
    MadeSubprocess made;
    made.protocol = protocol.get();
    ProgramStreams streams = make_streams(options);
    sys::ProgramStart start;
    start.command = std::move(command);
    start.environment = options.variables ? &*options.variables : nullptr;
    start.folder = options.folder;
    std::ranges::transform(streams.theirs, start.streams.begin(),
                           [](const Descriptor& fd) { return fd.get(); });
    const Ref<SubprocessImpl> process = start_process(loop.core(), start, std::move(protocol));
    made.transport = process;
    Future<void> started;
    std::shared_ptr<int> pending;
    try {
        started = loop.create_future<void>();
        pending = std::make_shared<int>(0);
        for (int fd = 0; fd < 3; ++fd) {
            const auto index = static_cast<std::size_t>(fd);
            streams.theirs[index].reset();
            if (streams.ours[index]) {
                attach_pipe(loop.core(), *process, fd, std::move(streams.ours[index]), pending,
                            started);
            }
        }
    } catch (...) {
        process->give_up();
        throw;
    }
    bool cancelled = false;
    if (*pending != 0) {
        try {
            co_await started;
        } catch (const Cancelled&) {
            cancelled = true;
        }
    }
    process->start();
    if (cancelled) {
        process->close();
        throw Cancelled();
    }
    co_return made;
}

}  // namespace detail

SLUICE_INLINE Task<detail::MadeSubprocess> Subprocesses::start_program(
    detail::SubprocessFactory factory, SubprocessOptions options,
    std::vector<std::string> command) {
    auto& loop = static_cast<EventLoop&>(*this);
    if (loop.is_closed()) {
        throw std::logic_error("subprocess_exec(): Event loop is closed");
    }
    if (command.empty() || command.front().empty()) {
        throw std::invalid_argument("subprocess_exec(): the command is empty");
    }
    std::vector<std::string> texts = command;
    texts.push_back(options.folder);
    if (options.variables) {
        texts.insert(texts.end(), options.variables->begin(), options.variables->end());
    }
    for (const std::string& text : texts) {
        if (text.find('\0') != std::string::npos) {
            throw std::invalid_argument("subprocess_exec(): null character in \"" + text + '"');
        }
    }
    return detail::start_subprocess(loop, std::move(factory), std::move(options),
                                    std::move(command));
}

}  // namespace sluice::inline v0_1
