// Streams: connecting and serving for coroutines that read and write in order, without a protocol of
// one's own.
//
// The counterpart of asyncio's streams (https://docs.python.org/3/library/asyncio-stream.html). All
// functions work on the loop that runs when they are awaited, and throw what they throw then.
#pragma once

#include <sluice/event_loop.hpp>
#include <sluice/options.hpp>
#include <sluice/protocol.hpp>
#include <sluice/server.hpp>
#include <sluice/stream_reader.hpp>
#include <sluice/stream_writer.hpp>
#include <sluice/task.hpp>

#include <concepts>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace sluice::inline v0_1 {

/// What open_connection() gives: `auto [reader, writer] = co_await open_connection(...)`.
class StreamPair {
public:
    /// Both halves of the connection that feeds `made_reader`.
    explicit StreamPair(const StreamReader& made_reader) noexcept
        : reader(made_reader), writer(made_reader) {}

    StreamReader reader;  ///< What comes.
    StreamWriter writer;  ///< What goes, and the end.
};

/// Feeds a StreamReader from a transport: for connections that are made in another way than by
/// open_connection() and start_server(), as pipes.
class SLUICE_API StreamReaderProtocol : public BufferedProtocol {
public:
    /// Feeds `reader`, which must not be fed by another one.
    explicit StreamReaderProtocol(StreamReader reader) noexcept;
    ~StreamReaderProtocol() override;

    ///@{
    /// The transport's calls.
    void connection_made(Transport& transport) override;
    MutableBytes get_buffer(std::size_t size_hint) override;
    void buffer_updated(std::size_t byte_count) override;
    bool eof_received() override;
    void pause_writing() override;
    void resume_writing() override;
    void connection_lost(std::error_code reason) override;
    ///@}

private:
    Ref<detail::Stream> stream_;  // null once the connection is lost
};

namespace detail {

/// What start_server() calls for each connection. Lives as long as a connection of its server.
class StreamHandler {
public:
    StreamHandler() = default;
    StreamHandler(const StreamHandler&) = delete;
    StreamHandler& operator=(const StreamHandler&) = delete;
    virtual ~StreamHandler() = default;
    /// The coroutine that serves the connection, or an empty Task if a function was all there is.
    virtual Task<void> serve(StreamReader& reader, StreamWriter& writer) = 0;
};

template <class F>
class StreamHandlerOf final : public StreamHandler {
public:
    explicit StreamHandlerOf(F function) : function_(std::move(function)) {}
    Task<void> serve(StreamReader& reader, StreamWriter& writer) override {
        if constexpr (std::is_void_v<std::invoke_result_t<F&, StreamReader&, StreamWriter&>>) {
            function_(reader, writer);
            return {};
        } else {
            return function_(reader, writer);
        }
    }

private:
    F function_;
};

/// Coroutine functions and functions of a reader and a writer, taken by value or by reference.
template <class F>
concept ServesStreams =
    std::invocable<F&, StreamReader&, StreamWriter&> && std::move_constructible<F> &&
    (std::same_as<std::invoke_result_t<F&, StreamReader&, StreamWriter&>, Task<void>> ||
     std::is_void_v<std::invoke_result_t<F&, StreamReader&, StreamWriter&>>);

template <ServesStreams F>
std::shared_ptr<StreamHandler> stream_handler(F function) {
    return std::make_shared<StreamHandlerOf<F>>(std::move(function));
}

/// Makes the protocols of a server that calls `handler`.
SLUICE_API ConnectionFactory stream_factory(std::shared_ptr<StreamHandler> handler,
                                            std::size_t limit_bytes);
/// Makes the one protocol that feeds `reader`.
SLUICE_API ConnectionFactory reader_factory(const StreamReader& reader);

SLUICE_API Task<Ref<Server>> serve_streams(std::shared_ptr<StreamHandler> handler,
                                           std::vector<std::string> hosts, Port port,
                                           ServerOptions options, std::size_t limit_bytes);
SLUICE_API Task<Ref<Server>> serve_streams(std::shared_ptr<StreamHandler> handler,
                                           Descriptor listening, ServerOptions options,
                                           std::size_t limit_bytes);

}  // namespace detail

/// Connects as EventLoop::create_connection() does, which says what is thrown, and gives reader and
/// writer. `limit_bytes` is the reader's.
/// https://docs.python.org/3/library/asyncio-stream.html#asyncio.open_connection
SLUICE_API Task<StreamPair> open_connection(std::string host, Port port,
                                            ConnectOptions options = ConnectOptions(),
                                            std::size_t limit_bytes = limits::stream_limit_bytes);
/// Over a socket that is connected already, taken over; of the options only those about TLS count.
SLUICE_API Task<StreamPair> open_connection(Descriptor connected,
                                            ConnectOptions options = ConnectOptions(),
                                            std::size_t limit_bytes = limits::stream_limit_bytes);

/// Listens as EventLoop::create_server() does, which says what is thrown, and runs a task for each
/// connection: the coroutine that `handler`, a callable of (StreamReader, StreamWriter), by value or
/// by reference, returns. Reader, writer and handler live at least as long as that task, and when it
/// ends its connection is closed. If it ends by an exception, the loop's exception handler is told
/// ("Unhandled exception in client_connected_cb"); if by Cancelled, nobody.
///
/// A handler that returns nothing is called for each connection and keeps the writer if it wants the
/// connection to live. Under GCC 12 pass a named, moved variable, not a lambda with captures of class
/// type written in the awaited call: that compiler destroys such temporaries twice.
/// https://docs.python.org/3/library/asyncio-stream.html#asyncio.start_server
template <detail::ServesStreams F>
Task<Ref<Server>> start_server(F handler, std::string host, Port port,
                               ServerOptions options = ServerOptions(),
                               std::size_t limit_bytes = limits::stream_limit_bytes) {
    std::vector<std::string> hosts;
    hosts.push_back(std::move(host));
    return detail::serve_streams(detail::stream_handler(std::move(handler)), std::move(hosts),
                                 std::move(port), std::move(options), limit_bytes);
}
/// The same on several hosts.
template <detail::ServesStreams F>
Task<Ref<Server>> start_server(F handler, std::vector<std::string> hosts, Port port,
                               ServerOptions options = ServerOptions(),
                               std::size_t limit_bytes = limits::stream_limit_bytes) {
    return detail::serve_streams(detail::stream_handler(std::move(handler)), std::move(hosts),
                                 std::move(port), std::move(options), limit_bytes);
}
/// On a bound, possibly listening, stream socket, taken over.
template <detail::ServesStreams F>
Task<Ref<Server>> start_server(F handler, Descriptor listening,
                               ServerOptions options = ServerOptions(),
                               std::size_t limit_bytes = limits::stream_limit_bytes) {
    return detail::serve_streams(detail::stream_handler(std::move(handler)), std::move(listening),
                                 std::move(options), limit_bytes);
}

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/streams.ipp>
#endif
