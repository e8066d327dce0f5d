// RecordRest: looking away from a socket whose kernel opens TLS records.
//
// Linux 6.1 says that such a socket is readable as soon as a part of a record has arrived, and then
// gives nothing before the rest has. A peer that stops in the middle of a record would keep the loop
// busy for ever. So the socket is left alone for as long as it has been in this state already: the
// checks become rarer and rarer, and a record that took its time waits for at most as long again.
// This file decides when; what is not watched meanwhile is its user's business.
#pragma once

#include <sluice/detail/loop_core.hpp>

namespace sluice::inline v0_1::detail {

class RecordRestUser {
public:
    /// The rest is over, look at the socket again.
    virtual void look_again() noexcept = 0;

protected:
    ~RecordRestUser() = default;
};

class RecordRest final : private Timer {
public:
    RecordRest(LoopCore& core, RecordRestUser& user) noexcept : core_(core), user_(user) {}
    ~RecordRest() { core_.cancel(*this); }

    /// The socket was said to be readable and gave nothing. True if it is to be left alone now.
    [[nodiscard]] bool got_nothing() noexcept;
    /// It gave something.
    void got_something() noexcept { misses_ = 0; }
    /// Is it being left alone?
    [[nodiscard]] bool resting() const noexcept { return scheduled(); }

private:
    void on_timer() noexcept override { user_.look_again(); }

    LoopCore& core_;
    RecordRestUser& user_;
    unsigned misses_ = 0;
    TimePoint since_{};
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/record_rest.ipp>
#endif
