// SendfileTest: the frame of the cases about files. It adds to ConformanceTest what became of each
// file, and that no read is under way any more when descriptors are counted.
#pragma once

#include "support/conformance.hpp"
#include "support/temp_file.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace sluice::test {

inline constexpr std::size_t mebibyte = 1024 * 1024;

/// One file that was queued, and what its callback was told.
struct Sending {
    unsigned calls = 0;
    SendfileResult result{.error = {}, .sent = 0};

    [[nodiscard]] bool done() const noexcept { return calls > 0; }
};

class SendfileTest : public ConformanceTest {
protected:
    void TearDown() override;

    /// Queues a file on `transport`, or on the one of the case. The result lives as long as the
    /// test. Checks that its callback does not come inside the call, and throws what that throws.
    Sending& send(Transport& to, int file, std::int64_t offset = 0,
                  std::optional<std::int64_t> count = {}, SendfileOptions options = {});
    Sending& send(int file, std::int64_t offset = 0, std::optional<std::int64_t> count = {},
                  SendfileOptions options = {}) {
        return send(transport(), file, offset, count, options);
    }
    /// Waits for its callback and checks that all `byte_count` bytes went.
    void expect_sent(const Sending& sending, std::uint64_t byte_count);
    /// Waits for its callback, the peer reading or not.
    bool wait_for(const Sending& sending, bool peer_reads);
    /// Runs a task to its end, the peer reading, and gives what it gives or throws what it throws.
    std::uint64_t finish(Task<std::uint64_t> task);
    /// Waits until no thread reads for this loop any more. Afterwards none will.
    void end_reads();
    /// The test sees to that itself.
    void abandon_reads() noexcept { reads_ended_ = true; }

    /// With chunks so small that a file is many of them.
    [[nodiscard]] static SendfileOptions chunks(std::size_t byte_count) {
        return {.fallback = true, .fallback_chunk_size = byte_count};
    }

private:
    std::deque<Sending> sendings_;
    bool reads_ended_ = false;
};

}  // namespace sluice::test
