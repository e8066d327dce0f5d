// StreamTransport: how long it may stand still.
#pragma once

#include <sluice/detail/stream_transport.hpp>

#include <memory>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE TransportExtras& StreamTransport::extras() {
    if (extras_ == nullptr) {
        StandstillUser& user = *this;
        extras_ = std::make_unique<TransportExtras>(*core_, user);
    }
    return *extras_;
}

SLUICE_INLINE void StreamTransport::note_place(std::source_location where) {
    if (core_ != nullptr && core_->debug() && where.line() != 0) {
        extras().made_at = where;
    }
}

SLUICE_INLINE void StreamTransport::use_idle_timeout(std::optional<Duration> limit) {
    if (ended() || (!limit && extras_ == nullptr)) {
        return;
    }
    core_->check_thread("Transport::set_idle_timeout()");
    extras().idle.set(limit);
    extras().idle.begin();
}

SLUICE_INLINE void StreamTransport::use_write_timeout(std::optional<Duration> limit) {
    if (ended() || (!limit && extras_ == nullptr)) {
        return;
    }
    core_->check_thread("Transport::set_write_timeout()");
    extras().writing.set(limit);
    if (writing_stands_still()) {
        extras().writing.begin();
    }
}

SLUICE_INLINE bool StreamTransport::stands_still(Standstill kind) const noexcept {
    if (kind == Standstill::writing) {
        return writing_stands_still();
    }
    // Whoever does not want to hear cannot complain of silence.
    return !reading_paused_ || closing_;
}

SLUICE_INLINE void StreamTransport::stood_still(Standstill kind) noexcept {
    end_with(kind == Standstill::idle ? Error::idle_timeout : Error::write_timeout);
}

SLUICE_INLINE void StreamTransport::cannot_watch() noexcept {
    end_with(std::make_error_code(std::errc::not_enough_memory));
}

}  // namespace sluice::inline v0_1::detail
