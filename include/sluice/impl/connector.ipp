// Racing connection attempts.
#pragma once

#include <sluice/detail/connector.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/error.hpp>

#include <algorithm>

namespace sluice::inline v0_1::detail {

/// A non-blocking connect in progress.
class Connector::Attempt final : private Watcher {
public:
    Attempt(Connector& connector, Descriptor socket, SocketAddress remote)
        : connector_(connector), socket_(std::move(socket)), remote_(std::move(remote)) {}
    ~Attempt() { stop(); }

    std::error_code watch() noexcept {
        return connector_.core_.watch(*this, socket_.get(), Readiness::writable);
    }
    [[nodiscard]] int fd() const noexcept { return socket_.get(); }
    [[nodiscard]] const SocketAddress& remote() const noexcept { return remote_; }
    [[nodiscard]] Descriptor take_socket() noexcept {
        connector_.core_.unwatch(*this, socket_.get());
        return std::move(socket_);
    }
    void stop() noexcept {
        if (socket_) {
            take_socket().reset();
        }
    }

private:
    void on_ready(Readiness) noexcept override {
        connector_.attempt_ended(*this, sys::take_error(socket_.get()));
    }

    Connector& connector_;
    Descriptor socket_;
    SocketAddress remote_;
};

SLUICE_INLINE Connector::Connector(LoopCore& core, ConnectPlan plan, Callback on_done)
    : core_(core), plan_(std::move(plan)), on_done_(std::move(on_done)) {}

SLUICE_INLINE Connector::~Connector() {
    core_.cancel(*this);
}

SLUICE_INLINE void Connector::start() {
    start_next();
}

SLUICE_INLINE void Connector::on_ready_phase() noexcept {
    on_done_();
}

SLUICE_INLINE void Connector::on_timer() noexcept {
    try {
        start_next();
    } catch (const std::bad_alloc&) {
        finish({}, {});
    }
}

/// Starts attempts until one is in progress, has succeeded, or no address is left.
SLUICE_INLINE void Connector::start_next() {
    core_.cancel(*this);
    while (!finished_ && next_ < plan_.remote.size()) {
        const SocketAddress remote = plan_.remote[next_++];
        Descriptor socket = open_bound(remote);
        if (!socket) {
            continue;
        }
        const Result<int> connected = sys::connect(socket.get(), remote);
        if (connected.ok()) {
            finish(std::move(socket), remote);
            return;
        }
        if (!connected.blocked()) {
            record_failure(remote, connected.error(), "Connect call failed");
            continue;
        }
        attempts_.push_back(std::make_unique<Attempt>(*this, std::move(socket), remote));
        if (const std::error_code error = attempts_.back()->watch()) {
            attempts_.pop_back();
            record_failure(remote, error, "cannot watch the socket connecting to");
            continue;
        }
        arm_stagger();
        return;
    }
    const bool pending = std::ranges::any_of(
        attempts_, [](const auto& attempt) { return attempt->fd() != Descriptor::none; });
    if (!pending) {
        finish({}, {});
    }
}

SLUICE_INLINE void Connector::arm_stagger() {
    if (plan_.stagger && next_ < plan_.remote.size()) {
        core_.schedule(static_cast<Timer&>(*this), sys::now() + *plan_.stagger);
    }
}

SLUICE_INLINE void Connector::attempt_ended(Attempt& attempt, std::error_code error) noexcept {
    try {
        if (!error) {
            const SocketAddress remote = attempt.remote();
            finish(attempt.take_socket(), remote);
            return;
        }
        record_failure(attempt.remote(), error, "Connect call failed");
        // Only stopped, not destroyed: the attempt is the one that is calling.
        attempt.stop();
        start_next();
    } catch (const std::bad_alloc&) {
        finish({}, {});
    }
}

SLUICE_INLINE void Connector::record_failure(const SocketAddress& address, std::error_code error,
                                             std::string what) {
    failures_.push_back({address, error, std::move(what)});
}

/// A socket for `remote`, bound if the plan says so; none after recording why not.
SLUICE_INLINE Descriptor Connector::open_bound(const SocketAddress& remote) {
    const Result<int> opened = sys::open_socket(remote.family(), sys::SocketType::stream);
    if (!opened.ok()) {
        record_failure(remote, opened.error(), "cannot open a socket for");
        return {};
    }
    Descriptor socket(opened.value());
    if (!plan_.local.empty() && !bind_local(socket.get(), remote)) {
        return {};
    }
    return socket;
}

SLUICE_INLINE bool Connector::bind_local(int fd, const SocketAddress& remote) {
    bool tried = false;
    for (const SocketAddress& local : plan_.local) {
        if (local.family() != remote.family()) {
            continue;
        }
        tried = true;
        const std::error_code error = sys::bind(fd, local);
        if (!error) {
            return true;
        }
        record_failure(remote, error,
                       "error while attempting to bind on address " + local.to_string() + " for");
    }
    if (!tried) {
        record_failure(remote, Error::no_matching_local_address, "no matching local address for");
    }
    return false;
}

SLUICE_INLINE void Connector::finish(Descriptor socket, const SocketAddress& peer) noexcept {
    if (finished_) {
        return;
    }
    finished_ = true;
    core_.cancel(*this);
    for (const auto& attempt : attempts_) {
        attempt->stop();
    }
    socket_ = std::move(socket);
    peer_ = peer;
    core_.schedule(static_cast<Ready&>(*this));
}

SLUICE_INLINE std::vector<SocketAddress> interleave_families(
    const std::vector<SocketAddress>& addresses, std::size_t first_family_count) {
    // Families in the order of their first appearance, each with its addresses in the given order.
    std::vector<std::vector<SocketAddress>> families;
    for (const SocketAddress& address : addresses) {
        const auto same = std::ranges::find_if(families, [&](const auto& family) {
            return family.front().family() == address.family();
        });
        (same == families.end() ? families.emplace_back() : *same).push_back(address);
    }
    std::vector<SocketAddress> ordered;
    std::vector<std::size_t> used(families.size(), 0);
    if (!families.empty() && first_family_count > 1) {
        used[0] = std::min(first_family_count - 1, families[0].size());
        ordered.assign(families[0].begin(),
                       families[0].begin() + static_cast<std::ptrdiff_t>(used[0]));
    }
    while (ordered.size() < addresses.size()) {
        for (std::size_t family = 0; family < families.size(); ++family) {
            if (used[family] < families[family].size()) {
                ordered.push_back(families[family][used[family]++]);
            }
        }
    }
    return ordered;
}

}  // namespace sluice::inline v0_1::detail
