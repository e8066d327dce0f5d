// Connection: what create_connection gives, what it throws, and how a factory of protocols is
// written down.
#pragma once

#include <sluice/detail/connection_owner.hpp>
#include <sluice/error.hpp>
#include <sluice/protocol.hpp>
#include <sluice/ref.hpp>
#include <sluice/task.hpp>
#include <sluice/transport.hpp>

#include <concepts>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace sluice::inline v0_1 {

/// What create_connection gives: the transport, and the protocol, which lives as long as the
/// transport does, at most until the loop is closed.
template <class P>
class Connection {
public:
    /// Made by the loop.
    Connection(Ref<Transport> made_transport, P* made_protocol) noexcept
        : transport(std::move(made_transport)), protocol(made_protocol) {}

    Ref<Transport> transport;  ///< Never null.
    P* protocol;               ///< Owned by the transport.
};

/// Thrown by create_connection with all_errors: every failed attempt, in order.
class SLUICE_API ConnectErrors : public AddressError {
public:
    /// `errors` must not be empty.
    ConnectErrors(std::vector<AddressError> errors, const std::string& host);
    ~ConnectErrors() override;
    /// Every failed attempt, in the order they were made.
    [[nodiscard]] const std::vector<AddressError>& errors() const noexcept { return errors_; }

private:
    std::vector<AddressError> errors_;
};

namespace detail {

struct MadeConnection {
    Ref<Transport> transport;
    StreamProtocol* protocol = nullptr;
};

/// Callables that make a protocol.
template <class F>
concept FactoryOf =
    std::invocable<F&> &&
    std::is_convertible_v<std::invoke_result_t<F&>, std::unique_ptr<StreamProtocol>>;

template <class F>
using ProtocolOf = typename std::invoke_result_t<F&>::element_type;

/// A factory that builds P from copies of `arguments`, for as many connections as come.
template <class P, class... Arguments>
ConnectionFactory factory_of(Arguments&&... arguments) {
    return [stored = std::tuple<std::decay_t<Arguments>...>(
                std::forward<Arguments>(arguments)...)]() -> std::unique_ptr<StreamProtocol> {
        return std::apply([](const auto&... values) { return std::make_unique<P>(values...); },
                          stored);
    };
}

template <class P>
Task<Connection<P>> as_connection(Task<MadeConnection> connecting) {
    MadeConnection made = co_await connecting;
    Connection<P> connection(std::move(made.transport), static_cast<P*>(made.protocol));
    co_return connection;
}

}  // namespace detail
}  // namespace sluice::inline v0_1
