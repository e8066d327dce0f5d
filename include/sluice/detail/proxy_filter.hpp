// ProxyFilter: connections that have been accepted and have not yet said who is behind them.
//
// It reads the PROXY header and not a byte more, so that what follows is found by whoever comes next,
// a TLS engine or a protocol. It knows no transport and no server. A connection costs it a descriptor,
// a timer and what has come of its header.
#pragma once

#include <sluice/descriptor.hpp>
#include <sluice/detail/intrusive_list.hpp>
#include <sluice/detail/loop_core.hpp>
#include <sluice/proxy_protocol.hpp>

#include <cstdint>

namespace sluice::inline v0_1::detail {

class ProxyHandler {
public:
    /// Called from the loop, with the real addresses. No header where none was required. The filter
    /// may be closed here.
    virtual void on_proxied(Descriptor socket, const SocketAddress& local,
                            const SocketAddress& peer, const ProxyHeader& header) noexcept = 0;
    /// A connection was closed for its header. Called at most once for each.
    virtual void on_proxy_rejected() noexcept = 0;

protected:
    ~ProxyHandler() = default;
};

class ProxyFilter {
public:
    /// `options` and `handler` must outlive it.
    ProxyFilter(LoopCore& core, const ProxyProtocolOptions& options, ProxyHandler& handler) noexcept
        : core_(core), options_(options), handler_(handler) {}
    ProxyFilter(const ProxyFilter&) = delete;
    ProxyFilter& operator=(const ProxyFilter&) = delete;
    ~ProxyFilter() { static_cast<void>(close()); }

    /// Reads the header of a connection of a trusted source; the handler may be called at once. Throws
    /// std::bad_alloc, and the handler will not be called then.
    void await_header(Descriptor socket, const SocketAddress& local, const SocketAddress& peer);
    /// Closes what has not said everything yet, without telling the handler; how many that were.
    [[nodiscard]] std::size_t close() noexcept;

private:
    class Pending;

    LoopCore& core_;
    const ProxyProtocolOptions& options_;
    ProxyHandler& handler_;
    IntrusiveList<Pending> pending_;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/proxy_filter.ipp>
#endif
