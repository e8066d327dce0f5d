// TransportExtras: what few connections have, in one object that the others do without: limits on
// how long they may stand still, what a PROXY header said of them, where debug mode saw them made.
//
// A limit costs a message the storing of a time that the loop has read already. Its timer is not
// moved then: when it fires it looks at that time and sleeps on for the rest. This file knows no
// transport; whoever has one tells what moves.
#pragma once

#include <sluice/detail/loop_core.hpp>
#include <sluice/proxy_protocol.hpp>

#include <optional>
#include <source_location>

namespace sluice::inline v0_1::detail {

/// The two ways of standing still.
enum class Standstill : std::uint8_t {
    idle,     // nothing has been received and nothing sent
    writing,  // bytes are waiting and none has been taken
};

class StandstillUser {
public:
    /// Is it the peer's doing that nothing moves, or may be? Asked when the time is up.
    [[nodiscard]] virtual bool stands_still(Standstill kind) const noexcept = 0;
    /// It has lasted too long. The timer is off.
    virtual void stood_still(Standstill kind) noexcept = 0;
    /// The timer could not be set, for lack of memory.
    virtual void cannot_watch() noexcept = 0;

protected:
    ~StandstillUser() = default;
};

class StandstillTimer final : private Timer {
public:
    StandstillTimer(LoopCore& core, StandstillUser& user, Standstill kind) noexcept
        : core_(&core), user_(user), kind_(kind) {}
    ~StandstillTimer() { cancel(); }

    /// None: no limit. The time counts from now on. May throw std::bad_alloc.
    void set(std::optional<Duration> limit);
    [[nodiscard]] const std::optional<Duration>& limit() const noexcept { return limit_; }

    /// Something has moved.
    void moved() noexcept {
        if (limit_ && core_ != nullptr) {
            since_ = core_->iteration_time();
        }
    }
    /// There is something to watch now; nothing if there was before.
    void begin() noexcept;
    /// There is not any more.
    void end() noexcept { watching_ = false; }
    /// For ever: the connection is over, and so may the loop be.
    void cancel() noexcept;

private:
    void on_timer() noexcept override;
    void arm(TimePoint when) noexcept;

    LoopCore* core_;  // null once cancelled
    StandstillUser& user_;
    std::optional<Duration> limit_;
    TimePoint since_{};
    Standstill kind_;
    bool watching_ = false;
    bool suspected_ = false;
};

class TransportExtras {
public:
    TransportExtras(LoopCore& core, StandstillUser& user) noexcept
        : idle(core, user, Standstill::idle), writing(core, user, Standstill::writing) {}

    void cancel() noexcept {
        idle.cancel();
        writing.cancel();
    }

    StandstillTimer idle;
    StandstillTimer writing;
    ProxyHeader proxy;
    std::source_location made_at;  // in debug mode
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/transport_extras.ipp>
#endif
