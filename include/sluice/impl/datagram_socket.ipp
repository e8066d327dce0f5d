// DatagramSocket: construction, receiving, ending. How datagrams leave is in datagram_socket_send.ipp.
#pragma once

#include <sluice/detail/datagram_area.hpp>
#include <sluice/detail/datagram_socket.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_datagram.hpp>

#include <algorithm>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE Ref<DatagramSocket> DatagramSocket::create(LoopCore& core, Descriptor socket,
                                                         Family family, SocketAddress local,
                                                         DatagramPeer peer,
                                                         const DatagramOptions& options) {
    Ref<DatagramSocket> transport(
        new DatagramSocket(core, socket.get(), family, std::move(local), std::move(peer), options));
    static_cast<void>(socket.release());
    transport->self_ = transport;
    return transport;
}

SLUICE_INLINE DatagramSocket::DatagramSocket(LoopCore& core, int fd, Family family,
                                             SocketAddress local, DatagramPeer peer,
                                             const DatagramOptions& options)
    : DatagramTransport(core.owner()),
      core_(&core),
      fd_(fd),
      made_at_(options.made_at()),
      batch_(options.batch()),
      local_(std::move(local)),
      peer_(std::move(peer)),
      family_(family) {
    core.own_descriptor(fd);
    core.attach(*this);
    const bool udp = family_ == Family::ipv4 || family_ == Family::ipv6;
    slot_bytes_ = options.datagram_size().value_or(udp ? limits::datagram_bytes
                                                       : limits::datagram_unix_bytes);
    gro_ =
        udp && options.gro() && !sys::set_datagram_option(fd, family_, sys::DatagramOption::gro, 1);
    if (gro_) {
        // What is cut would be the datagrams at the end.
        slot_bytes_ = std::max(slot_bytes_, limits::datagram_bytes);
    }
    gso_ = udp && options.gso() && batch_ > 1 && sys::has_segmentation(fd);
    // What is larger than a packet would have to be cut into fragments, which the system does not do
    // with joined datagrams; it says so, and the limit falls.
    segment_limit_bytes_ = limits::datagram_joined_bytes;
    ancillary_ = udp && (gro_ || options.receive_ecn() || options.receive_ttl());
}

// ---- starting ----

SLUICE_INLINE void DatagramSocket::start(std::unique_ptr<DatagramProtocol> protocol,
                                         Callback on_started) {
    on_started_ = std::make_unique<Callback>(std::move(on_started));
    protocol_ = std::move(protocol);
    defer(start_pending);
}

SLUICE_INLINE void DatagramSocket::run_start() noexcept {
    ++core_->counters.connections_made;
    started_ = true;
    dispatch(*core_, site("protocol.connection_made()"),
             [this] { protocol_->connection_made(*this); });
    // Only now, so that a pause or a close inside connection_made holds.
    update_interest();
    tell_started();
}

SLUICE_INLINE void DatagramSocket::tell_started() noexcept {
    if (const std::unique_ptr<Callback> on_started = std::move(on_started_)) {
        (*on_started)();
    }
}

// ---- the loop's calls ----

SLUICE_INLINE void DatagramSocket::on_ready_phase() noexcept {
    const std::uint8_t actions = std::exchange(deferred_, std::uint8_t{0});
    if ((actions & lost_pending) != 0) {
        run_lost();
        return;
    }
    if ((actions & start_pending) != 0) {
        run_start();
    }
    if ((actions & errors_pending) != 0) {
        tell_errors();
    }
    if ((actions & limits_pending) != 0) {
        pause_if_above();
        resume_if_below();
    }
}

SLUICE_INLINE void DatagramSocket::defer(std::uint8_t action) noexcept {
    Ready::unlink();
    deferred_ = static_cast<std::uint8_t>(deferred_ | action);
    core_->schedule(static_cast<Ready&>(*this));
}

SLUICE_INLINE void DatagramSocket::on_ready(Readiness events) noexcept {
    if (has(events, Readiness::readable)) {
        std::size_t turn = limits::datagram_turn;
        while (is_reading() && receive_batch(turn)) {
        }
    }
    if (has(events, Readiness::writable) && write_blocked_) {
        writable_again();
    }
}

SLUICE_INLINE void DatagramSocket::update_interest() noexcept {
    if (ending_) {
        return;
    }
    Readiness wanted = Readiness::none;
    if (is_reading()) {
        wanted = wanted | Readiness::readable;
    }
    if (write_blocked_ && !resting_) {
        wanted = wanted | Readiness::writable;
    }
    if (const std::error_code error = core_->watch(*this, fd_, wanted)) {
        end_with(error);
    }
}

// ---- receiving ----

/// One system call and what it brought; true if another one makes sense.
SLUICE_INLINE bool DatagramSocket::receive_batch(std::size_t& turn) noexcept try {
    DatagramArea& area = core_->datagram_area();
    const std::size_t most = std::min({batch_, turn, DatagramArea::slot_count(slot_bytes_)});
    const std::size_t asked = std::min(most, expected_);
    const IoResult received = sys::receive_datagrams(
        fd_, area.headers(), area.slots(slot_bytes_, ancillary_),
        std::span(area.received).first(asked), std::span(area.segment_bytes).first(asked));
    ++core_->counters.receive_calls;
    if (received.blocked()) {
        return false;
    }
    if (!received.ok()) {
        ++counters_.receive_errors;
        tell_error(received.error());
        return false;
    }
    const std::size_t count = received.value();
    // Twice what came last time, so that the headers of a whole batch are not prepared for one
    // datagram; and one more than came, or a second call would be needed to see that it was all.
    expected_ = std::min(batch_, std::max<std::size_t>(2, 2 * count));
    turn -= count;
    deliver(area, count);
    return count == asked && turn > 0;
} catch (const std::bad_alloc&) {
    end_with(std::make_error_code(std::errc::not_enough_memory));
    return false;
}

SLUICE_INLINE void DatagramSocket::deliver(DatagramArea& area, std::size_t count) noexcept {
    const std::span<const Datagram> received = std::span(area.received).first(count);
    if (!gro_) {
        deliver_batch(received);
        return;
    }
    std::size_t first = 0;
    for (std::size_t index = 0; index < count; ++index) {
        const std::size_t segment_bytes = area.segment_bytes[index];
        if (segment_bytes == 0 || segment_bytes >= received[index].data.size()) {
            continue;
        }
        deliver_batch(received.subspan(first, index - first));
        deliver_parts(area, received[index], segment_bytes);
        first = index + 1;
    }
    deliver_batch(received.subspan(first));
}

SLUICE_INLINE void DatagramSocket::deliver_parts(DatagramArea& area, const Datagram& joined,
                                                 std::size_t segment_bytes) noexcept {
    Bytes rest = joined.data;
    while (!rest.empty()) {
        std::size_t count = 0;
        for (; count < area.parts.size() && !rest.empty(); ++count) {
            Datagram& part = area.parts[count];
            part = joined;
            part.data = rest.first(std::min(segment_bytes, rest.size()));
            rest = rest.subspan(part.data.size());
            part.truncated = joined.truncated && rest.empty();
        }
        deliver_batch(std::span(area.parts).first(count));
    }
}

SLUICE_INLINE void DatagramSocket::deliver_batch(std::span<const Datagram> batch) noexcept {
    std::size_t bytes = 0;
    for (const Datagram& datagram : batch) {
        bytes += datagram.data.size();
        counters_.truncated += datagram.truncated ? 1 : 0;
    }
    counters_.received += batch.size();
    counters_.received_bytes += bytes;
    core_->counters.bytes_received += bytes;
    while (!batch.empty() && !closing_) {
        DatagramProtocol* const asked = protocol_.get();
        asked->next_ = nullptr;
        bool returned = false;
        dispatch(*core_, site("protocol.datagrams_received()"), [&] {
            asked->datagrams_received(batch);
            returned = true;
        });
        // The form for single datagrams goes on with the next one, after an exception in the same
        // protocol, after set_protocol() in the new one.
        const Datagram* const next = asked->next_;
        const Datagram* const end = std::to_address(batch.end());
        const bool single =
            next != nullptr && !std::less<>()(next, batch.data()) && std::less<>()(next, end);
        if (!single || (returned && asked == protocol_.get())) {
            break;
        }
        batch = batch.subspan(static_cast<std::size_t>(next - batch.data()));
    }
}

SLUICE_INLINE void DatagramSocket::pause_reading() {
    if (lost_) {
        return;
    }
    core_->check_thread("DatagramTransport::pause_reading()");
    reading_paused_ = true;
    if (started_) {
        update_interest();
    }
}

SLUICE_INLINE void DatagramSocket::resume_reading() {
    if (lost_) {
        return;
    }
    core_->check_thread("DatagramTransport::resume_reading()");
    reading_paused_ = false;
    if (started_) {
        update_interest();
    }
}

// ---- the protocol ----

/// One that may be the one that is calling: it dies between iterations.
class RetiredDatagramProtocol final : public Retired {
public:
    std::unique_ptr<DatagramProtocol> protocol;
    void destroy() noexcept override { delete this; }
};

SLUICE_INLINE void DatagramSocket::set_protocol(std::unique_ptr<DatagramProtocol> protocol) {
    if (protocol == nullptr) {
        throw std::invalid_argument("set_protocol(): protocol is null");
    }
    if (lost_) {
        return;
    }
    core_->check_thread("DatagramTransport::set_protocol()");
    // Before anything changes, since it may throw, and the old one may be the one that is calling.
    auto retired = std::make_unique<RetiredDatagramProtocol>();
    protocol_->ended_ = true;
    retired->protocol = std::exchange(protocol_, std::move(protocol));
    protocol_->ended_ = closing_;
    core_->retire(*retired.release());
}

SLUICE_INLINE void DatagramSocket::tell_error(std::error_code error) noexcept {
    dispatch(*core_, site("protocol.error_received()"), [&] { protocol_->error_received(error); });
}

// ---- groups ----

SLUICE_INLINE void DatagramSocket::join_group(const SocketAddress& group,
                                              unsigned interface_index) {
    change_membership(true, group, interface_index);
}

SLUICE_INLINE void DatagramSocket::leave_group(const SocketAddress& group,
                                               unsigned interface_index) {
    change_membership(false, group, interface_index);
}

SLUICE_INLINE void DatagramSocket::change_membership(bool join, const SocketAddress& group,
                                                     unsigned interface_index) {
    const std::string method = join ? "join_group(): " : "leave_group(): ";
    const bool is_group =
        (group.family() == Family::ipv4 && (group.ip_bytes()[0] & 0xf0U) == 0xe0U) ||
        (group.family() == Family::ipv6 && group.ip_bytes()[0] == 0xffU);
    if (!is_group || group.family() != family_) {
        throw std::invalid_argument(method + group.host() +
                                    " is no multicast group of the socket's family");
    }
    if (lost_) {
        return;
    }
    core_->check_thread("DatagramTransport::join_group()");
    if (const std::error_code error = sys::change_membership(fd_, join, group, interface_index)) {
        throw std::system_error(
            error, method + group.host() + " on interface " + std::to_string(interface_index));
    }
}

// ---- ending ----

SLUICE_INLINE void DatagramSocket::close() {
    if (closing_) {
        return;
    }
    core_->check_thread("DatagramTransport::close()");
    if (!write_blocked_) {
        flush_queue();
    }
    closing_ = true;
    if (protocol_ != nullptr) {
        protocol_->ended_ = true;
    }
    update_interest();
    if (queue_.empty()) {
        end_with({});
    }
}

SLUICE_INLINE void DatagramSocket::abort() {
    if (lost_) {
        return;
    }
    core_->check_thread("DatagramTransport::abort()");
    errors_.clear();
    end_with({});
}

SLUICE_INLINE void DatagramSocket::end_with(std::error_code reason) noexcept {
    if (ending_) {
        return;
    }
    closing_ = true;
    ending_ = true;
    write_blocked_ = false;
    reason_ = reason;
    if (protocol_ != nullptr) {
        protocol_->ended_ = true;
    }
    if (!queue_.empty()) {
        counters_.dropped += queue_.count();
        queue_.clear(core_->datagram_area().storage_pool());
    }
    Dirty::unlink();
    core_->cancel(*this);
    core_->unwatch(*this, fd_);
    defer(lost_pending);
}

SLUICE_INLINE void DatagramSocket::run_lost() noexcept {
    closing_ = true;
    // An abort() inside a callback here must find the end already on its way.
    ending_ = true;
    if (started_) {
        tell_errors();
        dispatch(*core_, site("protocol.connection_lost()"),
                 [this] { protocol_->connection_lost(reason_); });
        ++core_->counters.connections_lost;
    }
    lost_ = true;
    release_socket();
    // Whoever waits for the start hears that there is none any more.
    tell_started();
    self_.reset();
}

SLUICE_INLINE void DatagramSocket::release_socket() noexcept {
    core_->cancel(*this);
    core_->unwatch(*this, fd_);
    core_->disown_descriptor(fd_);
    sys::close(std::exchange(fd_, -1));
}

SLUICE_INLINE void DatagramSocket::on_detach() noexcept {
    const Ref<DatagramSocket> self = std::move(self_);
    if (!lost_) {
        if (core_->debug() && !closing_) {
            core_->report_made([&]() -> ExceptionContext {
                return {.message = "a datagram transport was never closed: " + local_.to_string(),
                        .exception = {},
                        .error = {},
                        .protocol = protocol_.get(),
                        .where = made_at_};
            });
        }
        Ready::unlink();
        Dirty::unlink();
        if (!queue_.empty()) {
            queue_.clear(core_->datagram_area().storage_pool());
        }
        release_socket();
        on_started_.reset();
        closing_ = ending_ = lost_ = true;
        try {
            // It dies once every transport is detached; protocols may hold each other's.
            auto retired = std::make_unique<RetiredDatagramProtocol>();
            retired->protocol = std::move(protocol_);
            core_->retire(*retired.release());
        } catch (const std::bad_alloc&) {
            // Then it dies here.
            protocol_.reset();
        }
    }
    core_ = nullptr;
    disown();
}

SLUICE_INLINE void DatagramSocket::unreferenced() noexcept {
    if (core_ == nullptr) {
        delete this;
    } else {
        core_->retire(*this);
    }
}

SLUICE_INLINE void DatagramSocket::extra_info(std::uint32_t key, void* value) const {
    switch (key) {
        case extra::peername.id:
            *static_cast<SocketAddress*>(value) = peer_.connected ? peer_.address : SocketAddress();
            break;
        case extra::sockname.id:
            *static_cast<SocketAddress*>(value) = local_;
            break;
        case extra::socket.id:
            *static_cast<SocketView*>(value) = SocketView(fd_, local_);
            break;
        case extra::counters.id:
            *static_cast<TransportCounters*>(value) = {.bytes_received = counters_.received_bytes,
                                                       .bytes_sent = counters_.sent_bytes};
            break;
        case extra::datagram_counters.id:
            *static_cast<DatagramCounters*>(value) = counters_;
            break;
        case extra::gro.id:
            *static_cast<bool*>(value) = gro_;
            break;
        case extra::gso.id:
            *static_cast<bool*>(value) = gso_;
            break;
        default:
            break;
    }
}

}  // namespace sluice::inline v0_1::detail
