// Streams over Unix sockets: open_unix_connection() and start_unix_server().
//
// They differ from open_connection() and start_server() in the address alone, a path, and are there
// where the loop has create_unix_connection() and create_unix_server().
#pragma once

#include <sluice/streams.hpp>

#include <memory>
#include <string>
#include <utility>

namespace sluice::inline v0_1 {

namespace detail {

SLUICE_API Task<Ref<Server>> serve_unix_streams(std::shared_ptr<StreamHandler> handler,
                                                std::string path, ServerOptions options,
                                                std::size_t limit_bytes);

}  // namespace detail

/// Connects as EventLoop::create_unix_connection() does, which says what is thrown, and gives reader
/// and writer. `limit_bytes` is the reader's.
/// https://docs.python.org/3/library/asyncio-stream.html#asyncio.open_unix_connection
SLUICE_API Task<StreamPair> open_unix_connection(
    std::string path, ConnectOptions options = ConnectOptions(),
    std::size_t limit_bytes = limits::stream_limit_bytes);

/// Listens as EventLoop::create_unix_server() does and calls `handler` as start_server() does; they
/// say what is thrown.
/// https://docs.python.org/3/library/asyncio-stream.html#asyncio.start_unix_server
template <detail::ServesStreams F>
Task<Ref<Server>> start_unix_server(F handler, std::string path,
                                    ServerOptions options = ServerOptions(),
                                    std::size_t limit_bytes = limits::stream_limit_bytes) {
    return detail::serve_unix_streams(detail::stream_handler(std::move(handler)), std::move(path),
                                      std::move(options), limit_bytes);
}

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/unix_streams.ipp>
#endif
