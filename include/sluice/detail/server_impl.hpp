// ServerImpl: acceptors, the connections they made, and those who wait for the end of both.
#pragma once

#include <sluice/detail/acceptor.hpp>
#include <sluice/detail/address_counts.hpp>
#include <sluice/detail/connection_owner.hpp>
#include <sluice/detail/proxy_filter.hpp>
#include <sluice/detail/socket_file.hpp>
#include <sluice/detail/tls_transport.hpp>
#include <sluice/server.hpp>

#include <memory>
#include <vector>

namespace sluice::inline v0_1 {
class EventLoop;
}

namespace sluice::inline v0_1::detail {

class ServerImpl final : public Server,
                         public ConnectionOwner,
                         private AcceptHandler,
                         private ProxyHandler,
                         private Attached {
public:
    /// Takes over bound sockets.
    ServerImpl(EventLoop& loop, ConnectionFactory factory, std::vector<Descriptor> bound,
               const ServerOptions& options);
    ~ServerImpl() override;
    /// Removes this file when it closes.
    void own_file(SocketFile file) noexcept { file_ = std::move(file); }
    /// Leaves it where it is, after all.
    void release_file() noexcept { file_.release(); }

    [[nodiscard]] std::vector<SocketView> sockets() const override;
    [[nodiscard]] bool is_serving() const noexcept override { return serving_; }
    [[nodiscard]] ServerCounters counters() const noexcept override { return counters_; }
    void start_serving() override;
    Task<void> serve_forever() override;
    void close() override;
    void close_clients() override;
    void abort_clients() override;
    Task<void> wait_closed() override;
    Task<bool> drain(std::chrono::nanoseconds deadline) override;

    std::unique_ptr<StreamProtocol> make_protocol() override;
    void connection_gone(TrackedConnection& connection) noexcept override;
    void connection_replaced(TrackedConnection& before, TrackedConnection& now) noexcept override;

private:
    void on_accepted(Descriptor socket, const SocketAddress& local,
                     const SocketAddress& peer) noexcept override;
    void on_proxied(Descriptor socket, const SocketAddress& local, const SocketAddress& peer,
                    const ProxyHeader& header) noexcept override;
    void on_proxy_rejected() noexcept override;
    void on_detach() noexcept override;
    void unreferenced() noexcept override { delete this; }

    void await_proxy_header(Descriptor socket, const SocketAddress& local,
                            const SocketAddress& peer) noexcept;
    void serve_connection(Descriptor socket, const SocketAddress& local, const SocketAddress& peer,
                          const ProxyHeader& header) noexcept;
    [[nodiscard]] Ref<StreamTransport> make_transport(Descriptor socket, const SocketAddress& local,
                                                      const SocketAddress& peer,
                                                      const ProxyHeader& header);
    void report_not_made(const SocketAddress& peer) const noexcept;
    void track(TrackedConnection& connection) noexcept;
    void close_listeners() noexcept;
    void remove_file() noexcept;
    void forget_unproxied() noexcept;
    void tell_draining() noexcept;
    void finish_if_over() noexcept;
    void check_thread(const char* method) const;
    [[nodiscard]] Future<void> closed_future();
    static Task<void> serve_forever_of(Ref<ServerImpl> server);
    static Task<void> wait_closed_of(Ref<ServerImpl> server);
    static Task<bool> drain_of(Ref<ServerImpl> server, std::chrono::nanoseconds deadline);

    EventLoop* loop_;  // null once the loop is gone
    ConnectionFactory factory_;
    ServerOptions options_;
    std::optional<TlsPlan> tls_;
    std::vector<std::unique_ptr<Acceptor>> acceptors_;
    SocketFile file_;  // of a Unix socket
    std::optional<ProxyFilter> proxy_filter_;
    std::optional<AddressCounts> address_counts_;
    IntrusiveList<TrackedConnection> connections_;
    ServerCounters counters_;
    bool serving_ = false;
    bool closed_ = false;
    Future<void> serving_forever_;
    std::vector<Future<void>> waiting_for_close_;
    Ref<ServerImpl> held_by_loop_;  // until closed and without connections
};

}  // namespace sluice::inline v0_1::detail
