// EventLoop: scheduling, connecting, serving. The top of the library and the only layer that knows
// all the others.
//
// The counterpart of asyncio's loop: https://docs.python.org/3/library/asyncio-eventloop.html. One
// loop belongs to one thread at a time; only call_soon_threadsafe() may be called from others
// (checked in debug mode). Nothing is global.
#pragma once

#include <sluice/backend.hpp>
#include <sluice/callback.hpp>
#include <sluice/connection.hpp>
#include <sluice/counters.hpp>
#include <sluice/datagram_endpoints.hpp>
#include <sluice/descriptor.hpp>
#include <sluice/detail/connection_owner.hpp>
#include <sluice/exception_context.hpp>
#include <sluice/future.hpp>
#include <sluice/handle.hpp>
#include <sluice/options.hpp>
#include <sluice/pipes.hpp>
#include <sluice/protocol.hpp>
#include <sluice/remote_ref.hpp>
#include <sluice/server.hpp>
#include <sluice/sleep.hpp>
#include <sluice/socket_calls.hpp>
#include <sluice/subprocess.hpp>
#include <sluice/task.hpp>
#include <sluice/transport.hpp>
#include <sluice/unix_sockets.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace sluice::inline v0_1 {

namespace detail {
class Runner;
}

/// The names getnameinfo found.
struct HostAndService {
    std::string host;     ///< A name or a literal address.
    std::string service;  ///< A name or digits.
};

/// Schedules callbacks, runs tasks, connects and serves. To be used on one thread at a time, except
/// call_soon_threadsafe().
class SLUICE_API EventLoop : public DatagramEndpoints,
                             public PipeEndpoints,
                             public SocketCalls,
                             public Subprocesses,
                             public UnixSockets {
public:
    /// Throws std::system_error when the system has no descriptors to give, std::invalid_argument
    /// for a backend, also one that SLUICE_BACKEND names, that this build has not.
    explicit EventLoop(Backend backend = Backend::automatic);
    /// close(), if that has not been called.
    ~EventLoop();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    /// "epoll", "io_uring" or "kqueue".
    [[nodiscard]] const char* backend_name() const noexcept;
    /// The same, what of it is in use, and why not what was asked for. For people, not programs.
    [[nodiscard]] std::string backend_report() const;
    /// The loop that runs on this thread, or null.
    [[nodiscard]] static EventLoop* running() noexcept;

    // ---- running; all throw std::logic_error when the loop runs already or is closed ----

    /// Runs until stop(). Throws what a callback threw as StopLoop.
    void run_forever();
    /// Runs until `task` is done and gives its result or throws its exception. Throws
    /// std::runtime_error if stop() came first.
    template <class T>
    T run_until_complete(Task<T> task,
                         std::source_location where = std::source_location::current()) {
        require_not_running();
        return run_until_complete(create_task(std::move(task), where));
    }
    /// The same for a task that runs already.
    template <class T>
    T run_until_complete(TaskHandle<T> handle) {
        run_until_done(handle);
        return handle.finished().outcome().share();
    }
    /// The same for a future.
    template <class T>
    T run_until_complete(Future<T> future) {
        run_until_done(future);
        future.state_->mark_retrieved();
        return future.state_->outcome().share();
    }
    /// Runs one iteration: waits at most `timeout` (nothing: as long as it takes) for something to
    /// do, and does it. With pollable_fd() and next_timeout() this embeds the loop in a foreign
    /// one.
    void run_once(std::optional<Duration> timeout = Duration::zero());
    /// Ends run_forever() after the running iteration; before a run, the next run makes exactly
    /// one.
    void stop() noexcept;
    /// Closes every server and connection without calling anybody, destroys what waits. Idempotent.
    /// Throws std::logic_error inside the running loop.
    void close();
    /// True inside run_forever(), run_until_complete() and run_once().
    [[nodiscard]] bool is_running() const noexcept;
    /// True once close() has run.
    [[nodiscard]] bool is_closed() const noexcept;
    /// Readable when run_once() has something to do, next_timeout() apart. -1 where the backend has
    /// none. To be asked on the thread that runs the loop.
    [[nodiscard]] int pollable_fd() const noexcept;
    /// How long a foreign loop may sleep; nothing: until pollable_fd() is readable.
    [[nodiscard]] std::optional<Duration> next_timeout() const noexcept;

    // ---- scheduling; std::logic_error once the loop is closed, std::invalid_argument for an empty
    // callback ----

    /// Runs `callback` in the next iteration, in the order of the calls.
    Handle call_soon(Callback callback,
                     std::source_location where = std::source_location::current());
    /// The same from any thread; wakes the loop. The closure is destroyed on the loop's thread, or
    /// on the calling one when the loop is closed, which throws std::logic_error.
    void call_soon_threadsafe(Callback callback,
                              std::source_location where = std::source_location::current());
    /// Runs `callback` no earlier than `delay` from now. Equal deadlines run in the order of the
    /// calls.
    TimerHandle call_later(Duration delay, Callback callback,
                           std::source_location where = std::source_location::current());
    /// The same with a time on the loop's clock.
    TimerHandle call_at(TimePoint when, Callback callback,
                        std::source_location where = std::source_location::current());
    /// The loop's clock, monotonic.
    [[nodiscard]] TimePoint time() const noexcept;

    /// Starts running `task` in the next iteration.
    template <class T>
    TaskHandle<T> create_task(Task<T> task,
                              std::source_location where = std::source_location::current()) {
        if (!task) {
            throw std::invalid_argument("create_task(): the task was moved from");
        }
        require_open("create_task");
        auto& promise = std::exchange(task.coroutine_, nullptr).promise();
        promise.set_root(promise);
        TaskHandle<T> handle(promise);
        adopt_task(promise, where);
        return handle;
    }
    /// A future that is not done. Throws std::bad_alloc only.
    template <class T = void>
    [[nodiscard]] Future<T> create_future() {
        return Future<T>(
            Ref<detail::FutureState<T>>(new detail::FutureState<T>(core(), remote_queue())));
    }

    // ---- foreign descriptors; std::invalid_argument for negative ones, std::logic_error for one
    // that a transport owns ----

    /// Calls `callback` whenever `fd` is readable, until removed; replaces an earlier reader. The
    /// descriptor stays yours: remove it before closing it. Throws std::system_error if the system
    /// refuses.
    void add_reader(int fd, Callback callback);
    /// The same for writing.
    void add_writer(int fd, Callback callback);
    /// True if there was one. On a closed loop false.
    bool remove_reader(int fd) noexcept;
    /// The same for writing.
    bool remove_writer(int fd) noexcept;

    // ---- signals; main thread only (std::logic_error otherwise) ----

    /// Calls `callback` from the loop when the signal arrives; several arrivals may be reported as
    /// one. Replaces an earlier handler of this loop. Throws std::invalid_argument for a number
    /// that cannot be caught, std::logic_error if another loop handles the signal.
    void add_signal_handler(int signal_number, Callback callback);
    /// Restores the default action. True if there was a handler.
    bool remove_signal_handler(int signal_number);

    // ---- other threads ----

    /// Runs `function` on a thread of the loop's pool. Cancelling the future does not stop it.
    /// Throws std::system_error when no thread can be had.
    template <class F>
    auto run_in_executor(F function) -> Future<std::invoke_result_t<F&>>;
    /// A form of `object`, which belongs to this loop, that other threads may hold and drop.
    template <class T>
    [[nodiscard]] RemoteRef<T> remote_ref(Ref<T> object) {
        T* const raw = object.get();
        return RemoteRef<T>(remote_queue(), hold_for_remote(std::move(object)), raw);
    }
    /// Refuses further jobs and waits for those that run or wait, at most `timeout` (nothing:
    /// without limit). True if all ended.
    Task<bool> shutdown_default_executor(std::optional<Duration> timeout = {});

    // ---- names, resolved off the loop ----

    /// The addresses of a host, empty for the loopback ones, in the system's order. Throws
    /// AddressError.
    Task<std::vector<SocketAddress>> getaddrinfo(std::string host, Port port,
                                                 Family family = Family::unspecified);
    /// The names of an address; numbers where there are none or `numeric` is set. Throws
    /// AddressError.
    Task<HostAndService> getnameinfo(SocketAddress address, bool numeric = false);

    // ---- TCP ----

    /// Connects to `host`, a name or a literal address, and gives transport and protocol once
    /// connection_made has returned and before the first data arrives. The protocol is built from
    /// `arguments` when the connection exists.
    ///
    /// Throws std::invalid_argument at once for unusable arguments. When awaited: AddressError
    /// naming host or address if resolving or connecting fails, what the protocol's constructor
    /// throws, Cancelled if the task is cancelled; then everything is closed again.
    /// https://docs.python.org/3/library/asyncio-eventloop.html#opening-network-connections
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Connection<P>> create_connection(std::string host, Port port,
                                          ConnectOptions options = ConnectOptions(),
                                          Arguments... arguments) {
        return detail::as_connection<P>(connect(detail::factory_of<P>(std::move(arguments)...),
                                                std::move(host), std::move(port),
                                                std::move(options)));
    }
    /// The same with a factory, asyncio's form: any copyable callable that gives a std::unique_ptr
    /// of a protocol. Under GCC 12 pass a named, moved variable, not a lambda with captures written
    /// in the awaited call: that compiler destroys such temporaries twice.
    template <detail::FactoryOf F>
    Task<Connection<detail::ProtocolOf<F>>> create_connection(
        F factory, std::string host, Port port, ConnectOptions options = ConnectOptions()) {
        return detail::as_connection<detail::ProtocolOf<F>>(
            connect(std::move(factory), std::move(host), std::move(port), std::move(options)));
    }
    /// Over a socket that is connected already, taken over.
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Connection<P>> create_connection(Descriptor connected, Arguments... arguments) {
        return detail::as_connection<P>(adopt(detail::factory_of<P>(std::move(arguments)...),
                                              std::move(connected), {}, "create_connection"));
    }
    /// The same with a factory.
    template <detail::FactoryOf F>
    Task<Connection<detail::ProtocolOf<F>>> create_connection(F factory, Descriptor connected) {
        return detail::as_connection<detail::ProtocolOf<F>>(
            adopt(std::move(factory), std::move(connected), {}, "create_connection"));
    }
    /// The same with options, of which only those about TLS count: there is no host to connect to,
    /// so TLS needs server_hostname.
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Connection<P>> create_connection(Descriptor connected, const ConnectOptions& options,
                                          Arguments... arguments) {
        return detail::as_connection<P>(adopt(detail::factory_of<P>(std::move(arguments)...),
                                              std::move(connected), options.tls_parameters(),
                                              "create_connection"));
    }
    /// The same with a factory.
    template <detail::FactoryOf F>
    Task<Connection<detail::ProtocolOf<F>>> create_connection(F factory, Descriptor connected,
                                                              const ConnectOptions& options) {
        return detail::as_connection<detail::ProtocolOf<F>>(
            adopt(std::move(factory), std::move(connected), options.tls_parameters(),
                  "create_connection"));
    }
    /// Over a socket that somebody else accepted, taken over.
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Connection<P>> connect_accepted_socket(Descriptor accepted, Arguments... arguments) {
        return detail::as_connection<P>(adopt(detail::factory_of<P>(std::move(arguments)...),
                                              std::move(accepted), {}, "connect_accepted_socket"));
    }
    /// The same with a factory.
    template <detail::FactoryOf F>
    Task<Connection<detail::ProtocolOf<F>>> connect_accepted_socket(F factory,
                                                                    Descriptor accepted) {
        return detail::as_connection<detail::ProtocolOf<F>>(
            adopt(std::move(factory), std::move(accepted), {}, "connect_accepted_socket"));
    }
    /// The same with TLS.
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Connection<P>> connect_accepted_socket(Descriptor accepted, const AcceptOptions& options,
                                                Arguments... arguments) {
        return detail::as_connection<P>(adopt(detail::factory_of<P>(std::move(arguments)...),
                                              std::move(accepted), options.tls_parameters(),
                                              "connect_accepted_socket"));
    }
    /// The same with a factory.
    template <detail::FactoryOf F>
    Task<Connection<detail::ProtocolOf<F>>> connect_accepted_socket(F factory, Descriptor accepted,
                                                                    const AcceptOptions& options) {
        return detail::as_connection<detail::ProtocolOf<F>>(
            adopt(std::move(factory), std::move(accepted), options.tls_parameters(),
                  "connect_accepted_socket"));
    }

    /// Upgrades `transport`, plain or TLS, to TLS in the role of `context`. What was written before
    /// goes out first; bytes that have arrived and not been delivered go to the TLS engine, never
    /// to the protocol. Reading stops at this call. When awaited, gives the transport to use from
    /// then on; its protocol is that of the old one and is not told connection_made again. Writing
    /// to the old one is a std::logic_error where it is one of ours.
    ///
    /// Throws std::invalid_argument or std::logic_error at once for a transport that is null,
    /// closing or upgraded already, and for unusable arguments. When awaited, TlsError if the
    /// handshake fails, Cancelled if the task is cancelled; then the connection is closed and the
    /// protocol is told connection_lost.
    /// https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.start_tls
    Task<Ref<Transport>> start_tls(Ref<Transport> transport, TlsContext context,
                                   StartTlsOptions options = StartTlsOptions());

    /// Sends a file with Transport::sendfile(), which says what the arguments mean and what is thrown
    /// at once; the file is queued by this call, not when it is awaited. When awaited, gives the
    /// bytes sent or throws SendfileError. Cancelling the task only stops the waiting: the file stays
    /// queued, since half of it could not be taken back.
    /// https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.sendfile
    Task<std::uint64_t> sendfile(Ref<Transport> transport, int file, std::int64_t offset = 0,
                                 std::optional<std::int64_t> count = {},
                                 SendfileOptions options = {});

    /// Listens on `host` (empty: every interface, both families) and serves each connection with a
    /// P built from copies of `arguments`. Several addresses give several sockets; port 0 lets the
    /// system choose one for each.
    ///
    /// Throws std::invalid_argument at once for unusable arguments; when awaited, AddressError if
    /// resolving or binding fails, with nothing left open.
    /// https://docs.python.org/3/library/asyncio-eventloop.html#creating-network-servers
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Ref<Server>> create_server(std::string host, Port port,
                                    ServerOptions options = ServerOptions(),
                                    Arguments... arguments) {
        return serve(detail::factory_of<P>(std::move(arguments)...), one(std::move(host)),
                     std::move(port), std::move(options));
    }
    /// The same on several hosts.
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Ref<Server>> create_server(std::vector<std::string> hosts, Port port,
                                    ServerOptions options = ServerOptions(),
                                    Arguments... arguments) {
        return serve(detail::factory_of<P>(std::move(arguments)...), std::move(hosts),
                     std::move(port), std::move(options));
    }
    /// On a bound, possibly listening, stream socket, taken over.
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Ref<Server>> create_server(Descriptor listening, ServerOptions options = ServerOptions(),
                                    Arguments... arguments) {
        return serve(detail::factory_of<P>(std::move(arguments)...), std::move(listening),
                     std::move(options));
    }
    /// The same with a factory, called for each connection.
    template <detail::FactoryOf F>
    Task<Ref<Server>> create_server(F factory, std::string host, Port port,
                                    ServerOptions options = ServerOptions()) {
        return serve(std::move(factory), one(std::move(host)), std::move(port), std::move(options));
    }
    /// The same with a factory.
    template <detail::FactoryOf F>
    Task<Ref<Server>> create_server(F factory, std::vector<std::string> hosts, Port port,
                                    ServerOptions options = ServerOptions()) {
        return serve(std::move(factory), std::move(hosts), std::move(port), std::move(options));
    }
    /// The same with a factory.
    template <detail::FactoryOf F>
    Task<Ref<Server>> create_server(F factory, Descriptor listening,
                                    ServerOptions options = ServerOptions()) {
        return serve(std::move(factory), std::move(listening), std::move(options));
    }

    // ---- errors and debugging ----

    /// Called, on the loop's thread, for every exception no one else can get; null restores the
    /// default, which writes a line to standard error. If the handler throws, the default one is
    /// used.
    void set_exception_handler(std::function<void(const ExceptionContext&)> handler);
    /// Calls the handler as the loop would: for exceptions that end in code of yours.
    void call_exception_handler(const ExceptionContext& context) noexcept;

    /// Debug mode: a call from another thread than the loop's throws std::logic_error, and the
    /// exception handler is told of callbacks that take longer than slow_callback_duration(), of
    /// writes that go on after the connection was lost (once for each), and of connections, servers
    /// and tasks that are destroyed unfinished. It holds from the next call on and costs a clock
    /// reading for each callback. Starts on if $SLUICE_DEBUG is set and not empty.
    void set_debug(bool on) noexcept;
    /// True in debug mode.
    [[nodiscard]] bool get_debug() const noexcept;
    /// From how long on debug mode reports a callback; 100 ms by default.
    void set_slow_callback_duration(Duration duration) noexcept;
    /// What was set.
    [[nodiscard]] Duration slow_callback_duration() const noexcept;

    /// What the loop has done so far.
    [[nodiscard]] LoopCounters counters() const noexcept;
    /// Tells `observer` about every iteration; null ends it. It must outlive its registration.
    void set_observer(LoopObserver* observer) noexcept;

    /// The part below this one, for the library's own transports and tests.
    [[nodiscard]] detail::LoopCore& core() const noexcept;

private:
    friend class detail::Runner;
    friend class SocketCalls;
    friend class UnixSockets;
    struct State;

    template <class Awaited>
    void run_until_done(Awaited& awaited) {
        // If the run ends early, the callback must not stop a later run.
        struct Wait {
            std::shared_ptr<bool> active = std::make_shared<bool>(true);
            ~Wait() { *active = false; }
        };
        const Wait wait;
        awaited.add_done_callback([this, active = wait.active] {
            if (*active) {
                stop();
            }
        });
        run_forever();
        if (!awaited.done()) {
            throw std::runtime_error("Event loop stopped before Future completed.");
        }
    }

    static std::vector<std::string> one(std::string host) {
        std::vector<std::string> hosts;
        hosts.push_back(std::move(host));
        return hosts;
    }

    void require_open(const char* method) const;
    void require_not_running() const;
    void adopt_task(detail::TaskRoot& task, std::source_location where) noexcept;
    [[nodiscard]] const std::shared_ptr<detail::RemoteQueue>& remote_queue() const noexcept;
    [[nodiscard]] detail::RemoteSlot* hold_for_remote(Ref<RefCounted> object);
    void submit_job(Callback work, Callback on_done);
    Task<detail::MadeConnection> connect(detail::ConnectionFactory factory, std::string host,
                                         Port port, ConnectOptions options);
    Task<detail::MadeConnection> adopt(detail::ConnectionFactory factory, Descriptor socket,
                                       const detail::TlsParameters& parameters, const char* method);
    Task<Ref<Server>> serve(detail::ConnectionFactory factory, std::vector<std::string> hosts,
                            Port port, ServerOptions options);
    Task<Ref<Server>> serve(detail::ConnectionFactory factory, Descriptor listening,
                            ServerOptions options);

    std::unique_ptr<State> state_;
};

template <class F>
auto EventLoop::run_in_executor(F function) -> Future<std::invoke_result_t<F&>> {
    using Value = std::invoke_result_t<F&>;
    Future<Value> future = create_future<Value>();
    // The outcome is written on the other thread and read on this one after the hand-over; the
    // future stays here.
    auto outcome = std::make_shared<detail::Outcome<Value>>();
    auto work = [outcome, function = std::move(function)]() mutable {
        try {
            if constexpr (std::is_void_v<Value>) {
                function();
            } else {
                outcome->set_value(function());
            }
        } catch (...) {
            outcome->set_exception(std::current_exception());
        }
    };
    submit_job(std::move(work), [future, outcome] {
        if (future.done()) {
            return;
        }
        if (outcome->exception()) {
            future.set_exception(outcome->exception());
        } else if constexpr (std::is_void_v<Value>) {
            future.set_result();
        } else {
            future.set_result(outcome->take());
        }
    });
    return future;
}

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/datagram_endpoints.ipp>
#include <sluice/impl/event_loop.ipp>
#include <sluice/impl/event_loop_file.ipp>
#include <sluice/impl/event_loop_network.ipp>
#include <sluice/impl/event_loop_signals.ipp>
#include <sluice/impl/event_loop_tls.ipp>
#include <sluice/impl/pipes.ipp>
#include <sluice/impl/server.ipp>
#include <sluice/impl/socket_calls.ipp>
#include <sluice/impl/socket_sendfile.ipp>
#include <sluice/impl/subprocess.ipp>
#include <sluice/impl/subprocess_impl.ipp>
#include <sluice/impl/unix_sockets.ipp>
#endif
