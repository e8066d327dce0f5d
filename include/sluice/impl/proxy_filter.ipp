// Reading PROXY headers from sockets.
#pragma once

#include <sluice/detail/proxy_filter.hpp>
#include <sluice/detail/proxy_header.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_accept.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <vector>

namespace sluice::inline v0_1::detail {

/// One connection.
///
/// Peeking tells where the header ends, then that much is taken: reading alone would read too much of
/// what follows version 1, which does not say how long it is; peeking alone would leave the beginning
/// of a header in the socket, which then stays readable, and the loop would spin.
class ProxyFilter::Pending final : private Watcher,
                                   private Timer,
                                   private Retired,
                                   public ListNode<Pending> {
public:
    Pending(ProxyFilter& filter, Descriptor socket, const SocketAddress& local,
            const SocketAddress& peer)
        : filter_(filter),
          core_(filter.core_),
          socket_(std::move(socket)),
          local_(local),
          peer_(peer),
          deadline_(time_after(sys::now(), filter.options_.timeout())) {
        core_.own_descriptor(socket_.get());
    }

    void begin() noexcept { look(); }
    /// Closes it. It is deleted between iterations, as everything that the loop may be calling.
    void close() noexcept { leave().reset(); }

private:
    enum class Next : std::uint8_t {
        over,        // served, or closed
        more,        // when there is more to read
        look_again,  // in a moment: what is there must stay there, and keeps the socket readable
    };

    void on_ready(Readiness) noexcept override { look(); }
    void on_timer() noexcept override;
    void destroy() noexcept override { delete this; }

    void look() noexcept;
    [[nodiscard]] Next read_header();
    [[nodiscard]] Next judge(const ProxyParsing& parsing, std::size_t before, MutableBytes fresh,
                             ProxyHeaderData& data);
    [[nodiscard]] bool take(std::size_t before, std::size_t count, MutableBytes space);
    void wait(Next next) noexcept;
    [[nodiscard]] Descriptor leave() noexcept;
    Next reject() noexcept;
    Next serve(const ProxyHeader& header) noexcept;
    [[nodiscard]] bool gone() const noexcept { return !socket_; }

    ProxyFilter& filter_;
    LoopCore& core_;
    Descriptor socket_;
    SocketAddress local_;
    SocketAddress peer_;
    TimePoint deadline_;
    Duration
        look_again_{};  // the time between the last two looks; zero while the socket is watched
    std::vector<std::byte> taken_;
};

SLUICE_INLINE void ProxyFilter::await_header(Descriptor socket, const SocketAddress& local,
                                             const SocketAddress& peer) {
    auto* const pending = new Pending(*this, std::move(socket), local, peer);
    pending_.push_back(*pending);
    pending->begin();
}

SLUICE_INLINE std::size_t ProxyFilter::close() noexcept {
    std::size_t count = 0;
    while (!pending_.empty()) {
        pending_.front().close();
        ++count;
    }
    return count;
}

SLUICE_INLINE void ProxyFilter::Pending::look() noexcept {
    try {
        wait(read_header());
    } catch (const std::bad_alloc&) {
        reject();
    }
}

SLUICE_INLINE ProxyFilter::Pending::Next ProxyFilter::Pending::read_header() {
    std::array<std::byte, limits::proxy_header_bytes> space;
    const std::size_t most = filter_.options_.max_header_bytes();
    const std::size_t before = taken_.size();
    const IoResult peeked =
        sys::peek(socket_.get(), MutableBytes(space).first(std::min(space.size(), most - before)));
    if (peeked.blocked()) {
        return Next::more;
    }
    if (!peeked.ok() || peeked.value() == 0) {
        const bool has_said_nothing = peeked.ok() && before == 0;
        return has_said_nothing && filter_.options_.optional() ? serve({}) : reject();
    }
    // Most headers come in one piece and are never copied.
    const MutableBytes fresh = MutableBytes(space).first(peeked.value());
    Bytes seen = fresh;
    if (before != 0) {
        taken_.insert(taken_.end(), fresh.begin(), fresh.end());
        seen = taken_;
    }
    ProxyHeaderData data;
    const ProxyParsing parsing = parse_proxy_header(seen, most, data);
    return judge(parsing, before, fresh, data);
}

SLUICE_INLINE ProxyFilter::Pending::Next ProxyFilter::Pending::judge(const ProxyParsing& parsing,
                                                                     std::size_t before,
                                                                     MutableBytes fresh,
                                                                     ProxyHeaderData& data) {
    const bool optional = filter_.options_.optional();
    switch (parsing.verdict) {
        case ProxyVerdict::complete:
            if (!take(before, parsing.size - before, fresh)) {
                return gone() ? Next::over : Next::more;
            }
            data.real_peer = peer_;
            data.real_local = local_;
            return serve(ProxyHeader(std::make_shared<ProxyHeaderData>(std::move(data))));
        case ProxyVerdict::undecided:
            if (optional) {
                return Next::look_again;
            }
            [[fallthrough]];
        case ProxyVerdict::incomplete:
            static_cast<void>(take(before, fresh.size(), fresh));
            return gone() ? Next::over : Next::more;
        case ProxyVerdict::absent:
            return optional ? serve({}) : reject();
        case ProxyVerdict::malformed:
        case ProxyVerdict::too_long:
            break;
    }
    return reject();
}

/// Takes the first `count` bytes of what was peeked into `space`, which go behind the `before` bytes
/// taken already. False if the system gave fewer: the rest will be read like a new piece.
SLUICE_INLINE bool ProxyFilter::Pending::take(std::size_t before, std::size_t count,
                                              MutableBytes space) {
    taken_.resize(before);
    const IoResult received = sys::recv(socket_.get(), space.first(count));
    if (!received.ok() || received.value() == 0) {
        if (!received.blocked()) {
            reject();
        }
        return false;
    }
    taken_.insert(taken_.end(), space.begin(),
                  space.begin() + static_cast<std::ptrdiff_t>(received.value()));
    return received.value() == count;
}

SLUICE_INLINE void ProxyFilter::Pending::wait(Next next) noexcept {
    if (next == Next::over) {
        return;
    }
    TimePoint when = deadline_;
    const bool was_watched = scheduled() && look_again_ == Duration::zero();
    if (next == Next::look_again) {
        look_again_ = std::clamp<Duration>(look_again_ * 2, limits::proxy_look_again_time,
                                           limits::proxy_look_again_max);
        core_.unwatch(*this, socket_.get());
        when = std::min(when, time_after(sys::now(), look_again_));
    } else {
        look_again_ = {};
        if (was_watched) {
            return;
        }
        if (core_.watch(*this, socket_.get(), Readiness::readable)) {
            reject();
            return;
        }
    }
    core_.cancel(*this);
    try {
        core_.schedule(*this, when);
    } catch (const std::bad_alloc&) {
        reject();
    }
}

SLUICE_INLINE void ProxyFilter::Pending::on_timer() noexcept {
    // Also when the time is up: the loop may have been held up, with the header waiting in the kernel.
    look();
    if (gone() || sys::now() < deadline_) {
        return;
    }
    if (filter_.options_.optional() && taken_.empty()) {
        serve({});
    } else {
        reject();
    }
}

/// Off every list; the descriptor is the caller's.
SLUICE_INLINE Descriptor ProxyFilter::Pending::leave() noexcept {
    core_.unwatch(*this, socket_.get());
    core_.cancel(*this);
    core_.disown_descriptor(socket_.get());
    ListNode<Pending>::unlink();
    core_.retire(*this);
    return std::move(socket_);
}

SLUICE_INLINE ProxyFilter::Pending::Next ProxyFilter::Pending::reject() noexcept {
    leave().reset();
    filter_.handler_.on_proxy_rejected();
    return Next::over;
}

SLUICE_INLINE ProxyFilter::Pending::Next ProxyFilter::Pending::serve(
    const ProxyHeader& header) noexcept {
    Descriptor socket = leave();
    filter_.handler_.on_proxied(std::move(socket), local_, peer_, header);
    return Next::over;
}

}  // namespace sluice::inline v0_1::detail
