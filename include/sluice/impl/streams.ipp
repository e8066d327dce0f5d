// Streams: the protocol that feeds a reader, connecting, serving, and what the writer does with the
// loop.
#pragma once

#include <sluice/detail/running_loop.hpp>
#include <sluice/streams.hpp>

namespace sluice::inline v0_1 {

// ---- the protocol ----

SLUICE_INLINE StreamReaderProtocol::StreamReaderProtocol(StreamReader reader) noexcept
    : stream_(std::move(reader.stream_)) {}

SLUICE_INLINE StreamReaderProtocol::~StreamReaderProtocol() = default;

SLUICE_INLINE void StreamReaderProtocol::connection_made(Transport& transport) {
    stream_->made(transport);
}

SLUICE_INLINE MutableBytes StreamReaderProtocol::get_buffer(std::size_t) {
    return stream_->room();
}

SLUICE_INLINE void StreamReaderProtocol::buffer_updated(std::size_t byte_count) {
    stream_->filled(byte_count);
}

SLUICE_INLINE bool StreamReaderProtocol::eof_received() {
    stream_->feed_eof();
    // TLS and pipes cannot keep their writing half.
    return stream_->can_write_eof();
}

SLUICE_INLINE void StreamReaderProtocol::pause_writing() {
    stream_->pause_writing();
}

SLUICE_INLINE void StreamReaderProtocol::resume_writing() {
    stream_->resume_writing();
}

SLUICE_INLINE void StreamReaderProtocol::connection_lost(std::error_code reason) {
    const Ref<detail::Stream> stream = std::move(stream_);
    stream->lost(reason);
}

// ---- serving ----

namespace detail {

/// Runs the handler of one connection. Its frame keeps what the handler's coroutine refers to.
SLUICE_INLINE Task<void> serve_stream(EventLoop& loop, std::shared_ptr<StreamHandler> handler,
                                      StreamReader reader, StreamWriter writer) {
    std::exception_ptr failure;
    try {
        Task<void> serving = handler->serve(reader, writer);
        if (!serving) {
            co_return;
        }
        co_await serving;
    } catch (const Cancelled&) {
        writer.close();
        throw;
    } catch (const StopLoop&) {
        throw;
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        loop.call_exception_handler({.message = "Unhandled exception in client_connected_cb",
                                     .exception = failure,
                                     .error = {},
                                     .transport = &writer.transport()});
    }
    writer.close();
}

class ServedStreamProtocol final : public StreamReaderProtocol {
public:
    ServedStreamProtocol(std::shared_ptr<StreamHandler> handler, const StreamReader& reader)
        : StreamReaderProtocol(reader), handler_(std::move(handler)), reader_(reader) {}

    void connection_made(Transport& transport) override {
        StreamReaderProtocol::connection_made(transport);
        EventLoop& loop = running_loop_for("start_server");
        StreamWriter writer(reader_);
        loop.create_task(
            serve_stream(loop, std::move(handler_), std::move(reader_), std::move(writer)));
    }

private:
    std::shared_ptr<StreamHandler> handler_;
    StreamReader reader_;
};

SLUICE_INLINE ConnectionFactory stream_factory(std::shared_ptr<StreamHandler> handler,
                                               std::size_t limit_bytes) {
    // Refused here rather than at the first connection.
    static_cast<void>(StreamReader(limit_bytes));
    return [handler = std::move(handler), limit_bytes]() -> std::unique_ptr<StreamProtocol> {
        return std::make_unique<ServedStreamProtocol>(handler, StreamReader(limit_bytes));
    };
}

SLUICE_INLINE ConnectionFactory reader_factory(const StreamReader& reader) {
    return [reader]() -> std::unique_ptr<StreamProtocol> {
        return std::make_unique<StreamReaderProtocol>(reader);
    };
}

SLUICE_INLINE Task<Ref<Server>> serve_streams(std::shared_ptr<StreamHandler> handler,
                                              std::vector<std::string> hosts, Port port,
                                              ServerOptions options, std::size_t limit_bytes) {
    EventLoop& loop = running_loop_for("start_server");
    ConnectionFactory factory = stream_factory(std::move(handler), limit_bytes);
    Task<Ref<Server>> starting = loop.create_server(std::move(factory), std::move(hosts),
                                                    std::move(port), std::move(options));
    Ref<Server> server = co_await starting;
    co_return server;
}

SLUICE_INLINE Task<Ref<Server>> serve_streams(std::shared_ptr<StreamHandler> handler,
                                              Descriptor listening, ServerOptions options,
                                              std::size_t limit_bytes) {
    EventLoop& loop = running_loop_for("start_server");
    ConnectionFactory factory = stream_factory(std::move(handler), limit_bytes);
    Task<Ref<Server>> starting =
        loop.create_server(std::move(factory), std::move(listening), std::move(options));
    Ref<Server> server = co_await starting;
    co_return server;
}

}  // namespace detail

// ---- connecting ----

SLUICE_INLINE Task<StreamPair> open_connection(std::string host, Port port, ConnectOptions options,
                                               std::size_t limit_bytes) {
    EventLoop& loop = detail::running_loop_for("open_connection");
    const StreamReader reader(limit_bytes);
    // Made first: it closes the connection if this coroutine ends before it can give it away.
    StreamPair pair(reader);
    detail::ConnectionFactory factory = detail::reader_factory(reader);
    Task<Connection<StreamProtocol>> connecting = loop.create_connection(
        std::move(factory), std::move(host), std::move(port), std::move(options));
    const Connection<StreamProtocol> connection = co_await connecting;
    co_return pair;
}

SLUICE_INLINE Task<StreamPair> open_connection(Descriptor connected, ConnectOptions options,
                                               std::size_t limit_bytes) {
    EventLoop& loop = detail::running_loop_for("open_connection");
    const StreamReader reader(limit_bytes);
    StreamPair pair(reader);
    detail::ConnectionFactory factory = detail::reader_factory(reader);
    Task<Connection<StreamProtocol>> connecting =
        loop.create_connection(std::move(factory), std::move(connected), options);
    const Connection<StreamProtocol> connection = co_await connecting;
    co_return pair;
}

}  // namespace sluice::inline v0_1
