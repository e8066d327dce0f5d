// IoUringPoller: what it does for whoever reads files.
#pragma once

#include <sluice/detail/io_uring_poller.hpp>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE bool IoUringPoller::read(const std::shared_ptr<FileRead>& reading, int file,
                                       MutableBytes into, std::int64_t offset) noexcept {
    auto place = std::ranges::find(readings_, Reading::free, &FileReading::state);
    if (place == readings_.end()) {
        try {
            place = readings_.emplace(readings_.end());
        } catch (const std::bad_alloc&) {
            return false;
        }
    }
    *place = {.reading = reading,
              .into = into,
              .offset = offset,
              .file = file,
              .result = 0,
              .state = Reading::asked_for};
    if (embedded_ && reads_asked_for_ == 0) {
        wake();
    }
    ++reads_asked_for_;
    return true;
}

/// False if the kernel does not take all of them now.
SLUICE_INLINE bool IoUringPoller::hand_over_reads() noexcept {
    for (std::size_t place = 0; reads_asked_for_ != 0 && place < readings_.size(); ++place) {
        FileReading& each = readings_[place];
        if (each.state != Reading::asked_for) {
            continue;
        }
        if (!ring_.read(each.file, each.into, static_cast<std::uint64_t>(each.offset),
                        read_bits | place)) {
            return false;
        }
        each.state = Reading::under_way;
        --reads_asked_for_;
        ++reads_under_way_;
    }
    return true;
}

SLUICE_INLINE void IoUringPoller::note_read(std::size_t place, std::int32_t result) noexcept {
    FileReading& reading = readings_[place];
    reading.state = Reading::done;
    reading.result = result;
    --reads_under_way_;
    ++reads_done_;
}

SLUICE_INLINE void IoUringPoller::report_reads() noexcept {
    for (std::size_t place = 0; reads_done_ != 0 && place < readings_.size(); ++place) {
        FileReading& each = readings_[place];
        if (each.state != Reading::done) {
            continue;
        }
        each.state = Reading::free;
        --reads_done_;
        const std::int32_t result = each.result == -EINTR ? -ECANCELED : each.result;
        // It may ask for another one, which moves them.
        const std::shared_ptr<FileRead> reading = std::move(each.reading);
        reading->read_done(result < 0 ? IoResult::failure(-result)
                                      : IoResult(static_cast<std::size_t>(result)));
    }
}

/// Waits until nothing that was to be read into is the kernel's any more, if that is to be had soon.
SLUICE_INLINE void IoUringPoller::finish_reads() noexcept {
    for (std::size_t place = 0; reads_under_way_ != 0 && place < readings_.size(); ++place) {
        if (readings_[place].state == Reading::under_way) {
            static_cast<void>(ring_.cancel(read_bits | place, cancel_token));
        }
    }
    for (unsigned round = 0; reads_under_way_ != 0 && round < limits::ring_end_rounds; ++round) {
        // EEXIST: it is another thread's ring, whose completions show only there.
        if (ring_.submit_and_wait(limits::ring_end_time)) {
            break;
        }
        std::size_t collected = 0;
        take_completions({}, collected);
    }
}

/// For those that are under way in a ring that goes: where the kernel may still write is never freed.
SLUICE_INLINE void IoUringPoller::give_up_reads() noexcept {
    for (FileReading& each : readings_) {
        if (each.state == Reading::under_way) {
            FileRead::abandon(each.reading);
            each.state = Reading::done;
            each.result = -ECANCELED;
            --reads_under_way_;
            ++reads_done_;
        }
    }
}

}  // namespace sluice::inline v0_1::detail
