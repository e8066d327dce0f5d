// The two borders between the library and the simulation's user code, as scopes.
//
// InCallback stands for a callback that is running, InCall for a call into a transport; together
// they know whether a callback may come just now. Private to library_end*.cpp.
#pragma once

#include "simulation/library_end.hpp"

namespace sluice::test {

class LibraryEnd::InCallback {
public:
    InCallback(LibraryEnd& end, Event event, unsigned generation);
    ~InCallback();
    InCallback(const InCallback&) = delete;
    InCallback& operator=(const InCallback&) = delete;

    /// Performs what the program wants done in this callback.
    void act();

private:
    LibraryEnd& end_;
    Event event_;
    UserCall* outer_call_;
    std::optional<Op> outer_throw_;
    const char* name_;
    unsigned nth_ = 0;
};

class LibraryEnd::InCall {
public:
    InCall(LibraryEnd& end, bool may_pause) : world_(end.world_), call_{&end, may_pause} {
        outer_ = std::exchange(world_.call, &call_);
    }
    ~InCall() { world_.call = outer_; }
    InCall(const InCall&) = delete;
    InCall& operator=(const InCall&) = delete;

private:
    World& world_;
    UserCall call_;
    UserCall* outer_;
};

}  // namespace sluice::test
