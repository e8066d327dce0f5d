// Streams over Unix sockets: connecting and serving.
#pragma once

#include <sluice/detail/running_loop.hpp>
#include <sluice/unix_streams.hpp>

namespace sluice::inline v0_1 {

SLUICE_INLINE Task<StreamPair> open_unix_connection(std::string path, ConnectOptions options,
                                                    std::size_t limit_bytes) {
    EventLoop& loop = detail::running_loop_for("open_unix_connection");
    const StreamReader reader(limit_bytes);
    StreamPair pair(reader);
    detail::ConnectionFactory factory = detail::reader_factory(reader);
    Task<Connection<StreamProtocol>> connecting =
        loop.create_unix_connection(std::move(factory), path, std::move(options));
    const Connection<StreamProtocol> connection = co_await connecting;
    co_return pair;
}

SLUICE_INLINE Task<Ref<Server>> detail::serve_unix_streams(std::shared_ptr<StreamHandler> handler,
                                                           std::string path, ServerOptions options,
                                                           std::size_t limit_bytes) {
    EventLoop& loop = running_loop_for("start_unix_server");
    ConnectionFactory factory = stream_factory(std::move(handler), limit_bytes);
    Task<Ref<Server>> starting =
        loop.create_unix_server(std::move(factory), path, std::move(options));
    Ref<Server> server = co_await starting;
    co_return server;
}

}  // namespace sluice::inline v0_1
