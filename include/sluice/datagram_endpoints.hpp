// DatagramEndpoints: the part of EventLoop that opens datagram sockets, UDP and Unix.
//
// A base of EventLoop without data or virtual functions; what it needs of the loop it asks it for.
#pragma once

#include <sluice/config.hpp>
#include <sluice/datagram.hpp>
#include <sluice/datagram_options.hpp>
#include <sluice/descriptor.hpp>
#include <sluice/ref.hpp>
#include <sluice/task.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::inline v0_1 {

/// What create_datagram_endpoint gives: the transport, and the protocol, which lives as long as the
/// transport does, at most until the loop is closed.
template <class P>
class DatagramEndpoint {
public:
    /// Made by the loop.
    DatagramEndpoint(Ref<DatagramTransport> made_transport, P* made_protocol) noexcept
        : transport(std::move(made_transport)), protocol(made_protocol) {}

    Ref<DatagramTransport> transport;  ///< Never null.
    P* protocol;                       ///< Owned by the transport.
};

namespace detail {

using DatagramFactory = std::function<std::unique_ptr<DatagramProtocol>()>;

struct MadeDatagramEndpoint {
    Ref<DatagramTransport> transport;
    DatagramProtocol* protocol = nullptr;
};

/// Callables that make a datagram protocol.
template <class F>
concept DatagramFactoryOf =
    std::invocable<F&> &&
    std::is_convertible_v<std::invoke_result_t<F&>, std::unique_ptr<DatagramProtocol>>;

template <class P, class... Arguments>
DatagramFactory datagram_factory_of(Arguments&&... arguments) {
    return [stored = std::tuple<std::decay_t<Arguments>...>(
                std::forward<Arguments>(arguments)...)]() -> std::unique_ptr<DatagramProtocol> {
        return std::apply([](const auto&... values) { return std::make_unique<P>(values...); },
                          stored);
    };
}

template <class P>
Task<DatagramEndpoint<P>> as_datagram_endpoint(Task<MadeDatagramEndpoint> opening) {
    MadeDatagramEndpoint made = co_await opening;
    DatagramEndpoint<P> endpoint(std::move(made.transport), static_cast<P*>(made.protocol));
    co_return endpoint;
}

}  // namespace detail

/// create_datagram_endpoint in all its forms.
class SLUICE_API DatagramEndpoints {
public:
    /// Opens a datagram socket as `options` say, and gives transport and protocol once
    /// connection_made has returned and before the first datagram arrives. The protocol is built
    /// from `arguments` when the socket exists. Where names have several addresses they are tried in
    /// order; a local and a remote address must be of one family.
    ///
    /// Throws std::invalid_argument at once for unusable options: neither addresses nor a family, or
    /// an address that is not of it. When awaited: AddressError naming the address if resolving,
    /// binding or connecting fails or the two have no family in common, what the protocol's
    /// constructor throws, Cancelled if the task is cancelled; then everything is closed again.
    /// https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
    template <std::derived_from<DatagramProtocol> P, class... Arguments>
    Task<DatagramEndpoint<P>> create_datagram_endpoint(DatagramOptions options,
                                                       Arguments... arguments) {
        return detail::as_datagram_endpoint<P>(open_datagrams(
            detail::datagram_factory_of<P>(std::move(arguments)...), std::move(options)));
    }
    /// The same with a factory, asyncio's form: any copyable callable that gives a std::unique_ptr
    /// of a protocol. Under GCC 12 pass a named, moved variable, not a lambda with captures written
    /// in the awaited call: that compiler destroys such temporaries twice.
    template <detail::DatagramFactoryOf F>
    Task<DatagramEndpoint<typename std::invoke_result_t<F&>::element_type>>
    create_datagram_endpoint(F factory, DatagramOptions options) {
        return detail::as_datagram_endpoint<typename std::invoke_result_t<F&>::element_type>(
            open_datagrams(std::move(factory), std::move(options)));
    }
    /// Over a datagram socket that exists already, taken over; connected ones stay so. Options that
    /// would say how to open one (addresses, family, reuse_port, allow_broadcast, v6_only) are
    /// refused with std::invalid_argument, and so is a socket that is no datagram socket.
    template <std::derived_from<DatagramProtocol> P, class... Arguments>
    Task<DatagramEndpoint<P>> create_datagram_endpoint(Descriptor socket,
                                                       DatagramOptions options = DatagramOptions(),
                                                       Arguments... arguments) {
        return detail::as_datagram_endpoint<P>(
            adopt_datagrams(detail::datagram_factory_of<P>(std::move(arguments)...),
                            std::move(socket), std::move(options)));
    }
    /// The same with a factory.
    template <detail::DatagramFactoryOf F>
    Task<DatagramEndpoint<typename std::invoke_result_t<F&>::element_type>>
    create_datagram_endpoint(F factory, Descriptor socket,
                             DatagramOptions options = DatagramOptions()) {
        return detail::as_datagram_endpoint<typename std::invoke_result_t<F&>::element_type>(
            adopt_datagrams(std::move(factory), std::move(socket), std::move(options)));
    }

protected:
    DatagramEndpoints() = default;
    ~DatagramEndpoints() = default;

private:
    Task<detail::MadeDatagramEndpoint> open_datagrams(detail::DatagramFactory factory,
                                                      DatagramOptions options);
    Task<detail::MadeDatagramEndpoint> adopt_datagrams(detail::DatagramFactory factory,
                                                       Descriptor socket, DatagramOptions options);
};

}  // namespace sluice::inline v0_1
