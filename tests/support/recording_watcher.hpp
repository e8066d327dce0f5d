// A watcher that notes what it is told, for tests of a backend by itself.
#pragma once

#include <sluice/detail/poller.hpp>

#include <utility>

namespace sluice::test {

class RecordingWatcher final : public detail::Watcher {
public:
    void on_ready(detail::Readiness events) noexcept override { ready_ = ready_ | events; }
    /// All it was told since the last call.
    detail::Readiness take() noexcept { return std::exchange(ready_, detail::Readiness::none); }

private:
    detail::Readiness ready_ = detail::Readiness::none;
};

}  // namespace sluice::test
