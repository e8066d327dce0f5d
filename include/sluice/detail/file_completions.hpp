// FileCompletions: what a backend offers to whoever reads a file that is not in memory: a read that takes
// its time without holding the loop, or a thread.
//
// It calls no code of the user, and knows neither transports nor what the bytes are for.
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/detail/result.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

namespace sluice::inline v0_1::detail {

/// One read, with the memory and the descriptor that it needs. The backend shares it until the kernel
/// touches neither any more, whatever becomes of whoever asked for it.
class FileRead {
public:
    FileRead() noexcept = default;
    FileRead(const FileRead&) = delete;
    FileRead& operator=(const FileRead&) = delete;
    virtual ~FileRead() = default;

    /// From the loop, unless that is closed. 0 is the end of the file. `refused()` means that a thread
    /// is to read it, into other memory: this may still be the kernel's.
    virtual void read_done(IoResult answer) noexcept = 0;

    /// The backend does not read this file, or the loop has moved to another thread meanwhile.
    [[nodiscard]] static bool refused(std::error_code error) noexcept {
        return error == std::errc::operation_canceled ||
               error == std::errc::resource_unavailable_try_again;
    }
    /// Never to be destroyed.
    static void abandon(std::shared_ptr<FileRead> reading) noexcept {
        // In a list that a search for leaks can follow.
        static std::atomic<FileRead*> all = nullptr;
        FileRead& itself = *reading;
        itself.for_ever_ = std::move(reading);
        itself.abandoned_before_ = all.exchange(&itself);
    }

private:
    std::shared_ptr<FileRead> for_ever_;
    FileRead* abandoned_before_ = nullptr;
};

class FileCompletions {
public:
    FileCompletions() = default;
    FileCompletions(const FileCompletions&) = delete;
    FileCompletions& operator=(const FileCompletions&) = delete;

    /// Reads what is at `offset`. False if there is no memory for that.
    [[nodiscard]] virtual bool read(const std::shared_ptr<FileRead>& reading, int file,
                                    MutableBytes into, std::int64_t offset) noexcept = 0;
    /// Tells what the last wait found to be done. Called by the loop core.
    virtual void report_reads() noexcept = 0;

protected:
    ~FileCompletions() = default;
};

}  // namespace sluice::inline v0_1::detail
