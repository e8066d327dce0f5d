// Standing in a line, leaving it, being called.
#pragma once

#include <sluice/detail/waiting_line.hpp>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE void Place::enter() noexcept {
    state_ = State::waiting;
    line_->waiting_.push_back(*this);
}

SLUICE_INLINE void Place::wake() {
    resumed();
    if (state_ == State::left) {
        throw Cancelled();
    }
}

SLUICE_INLINE void Place::settle() noexcept {
    ListNode<Place>::unlink();
    state_ = State::outside;
}

SLUICE_INLINE bool Place::cancel() noexcept {
    if (state_ != State::waiting) {
        return false;
    }
    ListNode<Place>::unlink();
    state_ = State::left;
    resume_soon();
    return true;
}

SLUICE_INLINE NewsPlace::~NewsPlace() {
    if (called() && line_exists()) {
        line().call_next();
    }
}

SLUICE_INLINE WaitingLine::~WaitingLine() {
    for (IntrusiveList<Place>* list : {&waiting_, &called_}) {
        while (!list->empty()) {
            list->pop_front().line_ = nullptr;
        }
    }
}

SLUICE_INLINE Place* WaitingLine::call_next() noexcept {
    if (waiting_.empty()) {
        return nullptr;
    }
    Place& place = waiting_.pop_front();
    place.state_ = Place::State::called;
    called_.push_back(place);
    place.resume_soon();
    return &place;
}

SLUICE_INLINE void WaitingLine::call_all() noexcept {
    while (call_next() != nullptr) {
    }
}

}  // namespace sluice::inline v0_1::detail
