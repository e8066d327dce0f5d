// SendfileCompletions: what a backend offers to stream transports where the system's way to send a file
// completes later instead of taking what there is room for.
//
// A transport uses it in place of sendfile(2), and everything else stays what it is: its queue, its turns,
// what becomes of a file that cannot be sent so.
#pragma once

#include <sluice/detail/result.hpp>

#include <cstddef>
#include <cstdint>

namespace sluice::inline v0_1::detail {

class SendfileCompletions {
public:
    SendfileCompletions() = default;
    SendfileCompletions(const SendfileCompletions&) = delete;
    SendfileCompletions& operator=(const SendfileCompletions&) = delete;

    /// Begins to send `count` bytes of `file` from `offset` on. Would-block: call it again when `fd` is
    /// writable, which is when it has been done; that call tells its result, as sys::sendfile() does.
    /// Nothing else is to be sent until then. Who stops watching `fd` gives up what is under way.
    [[nodiscard]] virtual IoResult sendfile(int fd, int file, std::int64_t offset,
                                            std::size_t count) noexcept = 0;

protected:
    ~SendfileCompletions() = default;
};

}  // namespace sluice::inline v0_1::detail
