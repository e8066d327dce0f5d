// A socket whose operations complete for another loop: it has one completion port for life.
#pragma once

#include <sluice/detail/iocp.hpp>

#include "support/recording_watcher.hpp"

#include <array>
#include <chrono>
#include <memory>

#include <gtest/gtest.h>

namespace sluice::test {

/// The poller of the loop that has `fd` now, and no longer watches it.
inline std::unique_ptr<detail::Poller> let_another_loop_have(int fd, detail::Readiness interest) {
    std::unique_ptr<detail::Poller> other = detail::make_iocp_poller();
    std::array<detail::ReadyEvent, 4> batch{};
    RecordingWatcher watcher;
    EXPECT_FALSE(other->add(watcher, fd, interest));
    EXPECT_EQ(other->wait(std::chrono::nanoseconds(0), batch), 0U);
    other->remove(fd);
    return other;
}

}  // namespace sluice::test
