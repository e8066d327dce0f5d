// Opening datagram sockets: which addresses go together, in which order they are tried, and which
// error stands for all.
#pragma once

#include <sluice/impl/event_loop.ipp>
#include <sluice/impl/event_loop_network.ipp>

#include <sluice/datagram_endpoints.hpp>
#include <sluice/detail/datagram_socket.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_datagram.hpp>
#include <sluice/event_loop.hpp>

#include <stdexcept>

namespace sluice::inline v0_1 {

namespace detail {

/// One attempt: addresses of one family, none where none was asked for.
struct DatagramPair {
    Family family = Family::unspecified;
    SocketAddress local;
    SocketAddress remote;
};

// ---- which addresses ----

SLUICE_INLINE void check_endpoint_names(const DatagramOptions& options) {
    const bool any_name = options.local() || options.remote();
    if (!any_name && options.family() == Family::unspecified) {
        throw std::invalid_argument(
            "create_datagram_endpoint(): unexpected address family: neither an address nor a "
            "family is given");
    }
    for (const auto& name : {options.local(), options.remote()}) {
        if (!name) {
            continue;
        }
        const bool needs_unix = options.family() == Family::unix_domain;
        const bool is_unix = name->address.family() == Family::unix_domain;
        if (needs_unix && !is_unix) {
            throw std::invalid_argument("create_datagram_endpoint(): " + name->to_string() +
                                        " is no Unix address");
        }
        if (!name->address && !name->host.empty()) {
            check_host(name->host, "host");
        }
        if (name->address && options.family() != Family::unspecified &&
            name->address.family() != options.family()) {
            throw std::invalid_argument("create_datagram_endpoint(): " + name->to_string() +
                                        " is not of the family asked for");
        }
    }
}

SLUICE_INLINE Task<std::vector<SocketAddress>> resolve_endpoint_name(EventLoop& loop,
                                                                     EndpointName name,
                                                                     Family family, bool local) {
    if (name.address) {
        std::vector<SocketAddress> only(1, name.address);
        co_return only;
    }
    sys::ResolveRequest request;
    request.host = name.host;
    request.family = family;
    request.type = sys::SocketType::datagram;
    request.passive = local;
    Task<std::vector<SocketAddress>> resolving =
        resolve(loop, std::move(request), name.port, nullptr);
    std::vector<SocketAddress> addresses = co_await resolving;
    co_return addresses;
}

/// The first local and the first remote address of each family, families in the order in which
/// they were found: asyncio's choice, except that it takes the last of each.
SLUICE_INLINE std::vector<DatagramPair> pair_addresses(const std::vector<SocketAddress>& local,
                                                       const std::vector<SocketAddress>& remote,
                                                       bool needs_local, bool needs_remote) {
    std::vector<DatagramPair> pairs;
    const auto add = [&pairs](const SocketAddress& address, SocketAddress DatagramPair::* side) {
        const auto found = std::ranges::find(pairs, address.family(), &DatagramPair::family);
        DatagramPair& pair = found != pairs.end()
                                 ? *found
                                 : pairs.emplace_back(DatagramPair{
                                       .family = address.family(), .local = {}, .remote = {}});
        if (!(pair.*side)) {
            pair.*side = address;
        }
    };
    for (const SocketAddress& address : local) {
        add(address, &DatagramPair::local);
    }
    for (const SocketAddress& address : remote) {
        add(address, &DatagramPair::remote);
    }
    std::erase_if(pairs, [&](const DatagramPair& pair) {
        return (needs_local && !pair.local) || (needs_remote && !pair.remote);
    });
    return pairs;
}

// ---- opening ----

SLUICE_INLINE void apply(std::error_code error, const char* what, const std::string& shown) {
    if (error) {
        throw AddressError(error, std::string(what) + " " + shown, shown);
    }
}

/// What can be set on a socket whoever opened it.
SLUICE_INLINE void set_datagram_options(int fd, Family family, const DatagramOptions& options,
                                        const std::string& shown) {
    const auto set = [&](bool wanted, sys::DatagramOption option, int value, const char* what) {
        if (wanted) {
            apply(sys::set_datagram_option(fd, family, option, value), what, shown);
        }
    };
    if (family == Family::unix_domain) {
        return;
    }
    using Option = sys::DatagramOption;
    set(options.receive_ecn(), Option::receive_ecn, 1, "cannot ask for ECN on");
    set(options.receive_ttl(), Option::receive_ttl, 1, "cannot ask for the TTL on");
    set(options.ttl().has_value(), Option::ttl, options.ttl().value_or(0), "cannot set the TTL on");
    set(options.multicast_ttl().has_value(), Option::multicast_ttl,
        options.multicast_ttl().value_or(0), "cannot set the multicast TTL on");
    set(options.multicast_loop().has_value(), Option::multicast_loop,
        options.multicast_loop().value_or(false) ? 1 : 0, "cannot set the multicast loop on");
    set(options.multicast_interface().has_value(), Option::multicast_interface,
        static_cast<int>(options.multicast_interface().value_or(0)),
        "cannot set the multicast interface on");
}

SLUICE_INLINE Descriptor open_datagram_socket(const DatagramPair& pair,
                                              const DatagramOptions& options) {
    const std::string shown = pair.local    ? pair.local.to_string()
                              : pair.remote ? pair.remote.to_string()
                                            : "a socket without address";
    const Result<int> opened = sys::open_socket(pair.family, sys::SocketType::datagram);
    if (!opened.ok()) {
        throw AddressError(opened.error(), "cannot open a datagram socket for " + shown, shown);
    }
    Descriptor socket(opened.value());
    const int fd = socket.get();
    if (options.reuse_port()) {
        apply(sys::set_option(fd, sys::SocketOption::reuse_port, true), "cannot share the port of",
              shown);
    }
    if (options.allow_broadcast()) {
        apply(sys::set_datagram_option(fd, pair.family, sys::DatagramOption::broadcast, 1),
              "cannot allow broadcasts on", shown);
    }
    if (options.v6_only() && pair.family == Family::ipv6) {
        apply(sys::set_option(fd, sys::SocketOption::v6_only, *options.v6_only()),
              "cannot set IPV6_V6ONLY on", shown);
    }
    set_datagram_options(fd, pair.family, options, shown);
    if (pair.local) {
        apply(sys::bind(fd, pair.local), "error while attempting to bind on address",
              pair.local.to_string());
    }
    if (pair.remote && !options.allow_broadcast()) {
        const Result<int> connected = sys::connect(fd, pair.remote);
        const bool failed = !connected.ok() && !connected.blocked();
        apply(failed ? connected.error() : std::error_code(), "cannot connect to",
              pair.remote.to_string());
    }
    return socket;
}

/// A socket that lies at the path from earlier must not be in the way; as in asyncio a failure of
/// that is not one of the whole, since bind(2) says it better.
SLUICE_INLINE void remove_stale(EventLoop& loop, const SocketAddress& local) {
    if (local.family() != Family::unix_domain || local.path().empty() ||
        local.path().front() == '\0') {
        return;
    }
    if (const std::error_code error = sys::remove_socket_file(std::string(local.path()))) {
        loop.call_exception_handler(
            {.message = "cannot check or remove the stale socket " + local.to_string(),
             .exception = {},
             .error = error});
    }
}

/// Makes protocol and transport and waits for connection_made. If the wait is cancelled, the
/// endpoint is aborted.
SLUICE_INLINE Task<MadeDatagramEndpoint> make_datagram_endpoint(EventLoop& loop,
                                                                DatagramFactory factory,
                                                                Descriptor socket, Family family,
                                                                DatagramPeer peer,
                                                                DatagramOptions options) {
    std::unique_ptr<DatagramProtocol> protocol = factory();
    if (protocol == nullptr) {
        throw std::logic_error("the protocol factory returned null");
    }
    MadeDatagramEndpoint made;
    made.protocol = protocol.get();
    SocketAddress local = sys::local_address(socket.get());
    const Ref<DatagramSocket> transport = DatagramSocket::create(
        loop.core(), std::move(socket), family, std::move(local), std::move(peer), options);
    made.transport = transport;
    const Future<void> started = loop.create_future<void>();
    Callback on_started = [started] { started.try_set_result(); };
    transport->start(std::move(protocol), std::move(on_started));
    std::exception_ptr failure;
    try {
        co_await started;
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        transport->abort();
        std::rethrow_exception(failure);
    }
    co_return made;
}

SLUICE_INLINE std::string describe_names(const DatagramOptions& options) {
    return "local " + (options.local() ? options.local()->to_string() : std::string("none")) +
           ", remote " + (options.remote() ? options.remote()->to_string() : std::string("none"));
}

SLUICE_INLINE Task<MadeDatagramEndpoint> open_endpoint(EventLoop& loop, DatagramFactory factory,
                                                       DatagramOptions options) {
    std::vector<SocketAddress> local;
    std::vector<SocketAddress> remote;
    if (options.local()) {
        EndpointName name = *options.local();
        Task<std::vector<SocketAddress>> resolving =
            resolve_endpoint_name(loop, std::move(name), options.family(), true);
        local = co_await resolving;
    }
    if (options.remote()) {
        EndpointName name = *options.remote();
        Task<std::vector<SocketAddress>> resolving =
            resolve_endpoint_name(loop, std::move(name), options.family(), false);
        remote = co_await resolving;
    }
    std::vector<DatagramPair> pairs;
    if (!options.local() && !options.remote()) {
        pairs.resize(1);
        pairs.front().family = options.family();
    } else {
        pairs = pair_addresses(local, remote, options.local().has_value(),
                               options.remote().has_value());
    }
    if (pairs.empty()) {
        const std::string shown = describe_names(options);
        throw AddressError(Error::no_matching_local_address,
                           "can not get address information: " + shown, shown);
    }
    Descriptor socket;
    Family family = Family::unspecified;
    DatagramPeer peer;
    std::exception_ptr first_failure;
    for (const DatagramPair& pair : pairs) {
        remove_stale(loop, pair.local);
        try {
            socket = open_datagram_socket(pair, options);
            family = pair.family;
            peer.address = pair.remote;
            peer.connected = pair.remote && !options.allow_broadcast();
            break;
        } catch (const AddressError&) {
            if (!first_failure) {
                first_failure = std::current_exception();
            }
        }
    }
    if (!socket) {
        std::rethrow_exception(first_failure);
    }
    Task<MadeDatagramEndpoint> making = make_datagram_endpoint(
        loop, std::move(factory), std::move(socket), family, std::move(peer), std::move(options));
    MadeDatagramEndpoint made = co_await making;
    co_return made;
}

// ---- adopting ----

SLUICE_INLINE void check_datagram_socket(const Descriptor& socket, const DatagramOptions& options) {
    const std::string what =
        "create_datagram_endpoint(): descriptor " + std::to_string(socket.get());
    const Result<sys::SocketType> type = sys::socket_type(socket.get());
    if (!type.ok()) {
        throw std::invalid_argument(what + " is not an open socket: " + type.error().message());
    }
    if (type.value() != sys::SocketType::datagram) {
        throw std::invalid_argument(what + ": A datagram socket was expected, got a stream socket");
    }
    std::string problems;
    const auto add = [&problems](bool is_set, const char* name) {
        if (is_set) {
            problems += (problems.empty() ? "" : ", ") + std::string(name);
        }
    };
    add(options.local().has_value(), "local_address");
    add(options.remote().has_value(), "remote_address");
    add(options.family() != Family::unspecified, "family");
    add(options.reuse_port(), "reuse_port");
    add(options.allow_broadcast(), "allow_broadcast");
    add(options.v6_only().has_value(), "v6_only");
    if (!problems.empty()) {
        throw std::invalid_argument(
            what + " is given, so that socket modifiers can not be used: " + problems);
    }
}

SLUICE_INLINE void require_open_loop(const EventLoop& loop) {
    if (loop.is_closed()) {
        throw std::logic_error("create_datagram_endpoint(): Event loop is closed");
    }
}

}  // namespace detail

SLUICE_INLINE Task<detail::MadeDatagramEndpoint> DatagramEndpoints::open_datagrams(
    detail::DatagramFactory factory, DatagramOptions options) {
    auto& loop = static_cast<EventLoop&>(*this);
    detail::require_open_loop(loop);
    detail::check_endpoint_names(options);
    return detail::open_endpoint(loop, std::move(factory), std::move(options));
}

SLUICE_INLINE Task<detail::MadeDatagramEndpoint> DatagramEndpoints::adopt_datagrams(
    detail::DatagramFactory factory, Descriptor socket, DatagramOptions options) {
    auto& loop = static_cast<EventLoop&>(*this);
    detail::require_open_loop(loop);
    detail::check_datagram_socket(socket, options);
    detail::check_foreign(loop.core(), socket.get(), "create_datagram_endpoint");
    if (const std::error_code error = detail::sys::set_nonblocking(socket.get())) {
        throw std::system_error(error,
                                "create_datagram_endpoint(): cannot make the socket non-blocking");
    }
    const SocketAddress local = detail::sys::local_address(socket.get());
    detail::set_datagram_options(socket.get(), local.family(), options, local.to_string());
    detail::DatagramPeer peer;
    peer.address = detail::sys::peer_address(socket.get());
    peer.connected = static_cast<bool>(peer.address);
    const Family family = local ? local.family() : peer.address.family();
    return detail::make_datagram_endpoint(loop, std::move(factory), std::move(socket), family,
                                          std::move(peer), std::move(options));
}

}  // namespace sluice::inline v0_1
