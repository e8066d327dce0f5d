// UnixSockets: connecting and serving on Unix sockets, the part of EventLoop that knows paths.
//
// An empty base class of EventLoop. It must not know names, ports or address families.
#pragma once

#include <sluice/connection.hpp>
#include <sluice/descriptor.hpp>
#include <sluice/options.hpp>
#include <sluice/peer_credentials.hpp>
#include <sluice/protocol.hpp>
#include <sluice/server.hpp>
#include <sluice/task.hpp>

#include <concepts>
#include <string>
#include <utility>

namespace sluice::inline v0_1 {

class EventLoop;

/// EventLoop's calls about Unix sockets. A path is anything that becomes a std::string, so also a
/// std::filesystem::path. One that begins with NUL is an abstract name (unix(7)): it belongs to no
/// file, and its length counts, so write it as std::string("\0name", 5) or "\0name"s.
class SLUICE_API UnixSockets {
public:
    /// Connects to the socket at `path`, and gives transport and protocol as create_connection()
    /// does. `peername` is the path; `sockname` has an empty one.
    ///
    /// Of the options, timeout() and all_errors() mean what they mean there, and TLS needs
    /// server_hostname(), since a path is no name. A server whose backlog is full refuses (EAGAIN)
    /// instead of letting wait: that is tried again, with growing pauses, until timeout(), by
    /// default limits::unix_connect_time. A connected socket of your own goes to
    /// create_connection(Descriptor).
    ///
    /// Throws std::invalid_argument at once for a path that is empty, longer than 107 characters
    /// (an abstract name: 108 with its NUL) or has a NUL behind its first character, and for an
    /// option about IP. When awaited: AddressError naming the path, e.g. with
    /// std::errc::no_such_file_or_directory or connection_refused; else as create_connection().
    /// https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_unix_connection
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Connection<P>> create_unix_connection(const std::string& path,
                                               ConnectOptions options = ConnectOptions(),
                                               Arguments... arguments) {
        return detail::as_connection<P>(
            connect_unix(detail::factory_of<P>(std::move(arguments)...), path, std::move(options)));
    }
    /// The same with a factory.
    template <detail::FactoryOf F>
    Task<Connection<detail::ProtocolOf<F>>> create_unix_connection(
        F factory, const std::string& path, ConnectOptions options = ConnectOptions()) {
        return detail::as_connection<detail::ProtocolOf<F>>(
            connect_unix(std::move(factory), path, std::move(options)));
    }

    /// Listens on a socket at `path` and serves each connection with a P built from copies of
    /// `arguments`. A socket file that is there already is removed if nobody listens on it (a
    /// connection is tried); any other file is left alone and is an error, and so is a live server.
    /// Two servers that find the same stale file in the same moment may both get the path, the later
    /// one for good: where that matters, lock a file beside it.
    ///
    /// Closing the server removes the file again, unless it is another one by then or
    /// ServerOptions::cleanup_socket() says no; a failure of that goes to the exception handler.
    /// Abstract names have no file and vanish by themselves. Who may connect is decided by
    /// ServerOptions::permissions() and by the directory.
    ///
    /// Throws std::invalid_argument at once for a path as in create_unix_connection() and for an
    /// option about IP. When awaited: AddressError naming the path, with nothing left behind.
    /// https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_unix_server
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Ref<Server>> create_unix_server(const std::string& path,
                                         ServerOptions options = ServerOptions(),
                                         Arguments... arguments) {
        return serve_unix(detail::factory_of<P>(std::move(arguments)...), path, std::move(options));
    }
    /// The same with a factory, called for each connection.
    template <detail::FactoryOf F>
    Task<Ref<Server>> create_unix_server(F factory, const std::string& path,
                                         ServerOptions options = ServerOptions()) {
        return serve_unix(std::move(factory), path, std::move(options));
    }
    /// On a bound, possibly listening, Unix stream socket, taken over. Closing removes its file, as
    /// above; create_server(Descriptor) does not, which is what a socket of systemd's wants. Any
    /// other socket throws std::invalid_argument at once.
    template <std::derived_from<StreamProtocol> P, class... Arguments>
    Task<Ref<Server>> create_unix_server(Descriptor listening,
                                         ServerOptions options = ServerOptions(),
                                         Arguments... arguments) {
        return serve_unix(detail::factory_of<P>(std::move(arguments)...), std::move(listening),
                          std::move(options));
    }
    /// The same with a factory.
    template <detail::FactoryOf F>
    Task<Ref<Server>> create_unix_server(F factory, Descriptor listening,
                                         ServerOptions options = ServerOptions()) {
        return serve_unix(std::move(factory), std::move(listening), std::move(options));
    }

protected:
    UnixSockets() = default;
    ~UnixSockets() = default;

private:
    Task<detail::MadeConnection> connect_unix(detail::ConnectionFactory factory,
                                              const std::string& path, ConnectOptions options);
    Task<Ref<Server>> serve_unix(detail::ConnectionFactory factory, const std::string& path,
                                 ServerOptions options);
    Task<Ref<Server>> serve_unix(detail::ConnectionFactory factory, Descriptor listening,
                                 ServerOptions options);
};

}  // namespace sluice::inline v0_1
