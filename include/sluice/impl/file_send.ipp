// FileSend: what may be sent, reading it in pieces, and telling how it ended.
#pragma once

#include <sluice/detail/dispatch.hpp>
#include <sluice/detail/file_send.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace sluice::inline v0_1::detail {

// ---- what may be sent ----

[[noreturn]] SLUICE_INLINE void refuse_file(std::error_code error, int file, const char* why) {
    throw std::system_error(error, "sendfile(): descriptor " + std::to_string(file) + " " + why);
}

SLUICE_INLINE FileRange file_range(int file, std::int64_t offset, std::optional<std::int64_t> count,
                                   const SendfileOptions& options) {
    if (offset < 0) {
        throw std::invalid_argument("sendfile(): offset " + std::to_string(offset) +
                                    " is negative");
    }
    if (count && *count <= 0) {
        throw std::invalid_argument("sendfile(): count " + std::to_string(*count) +
                                    " is not positive");
    }
    if (options.fallback_chunk_size == 0 ||
        options.fallback_chunk_size > limits::file_chunk_max_bytes) {
        throw std::invalid_argument(
            "sendfile(): fallback_chunk_size " + std::to_string(options.fallback_chunk_size) +
            " is not between 1 and " + std::to_string(limits::file_chunk_max_bytes));
    }
    const Result<sys::FileStatus> status = sys::file_status(file);
    if (!status.ok()) {
        refuse_file(status.error(), file, "is not open");
    }
    if (status.value().directory) {
        refuse_file(std::make_error_code(std::errc::is_a_directory), file, "is a directory");
    }
    if (!status.value().regular) {
        refuse_file(std::make_error_code(std::errc::invalid_argument), file, "is no regular file");
    }
    if (!status.value().readable) {
        refuse_file(std::make_error_code(std::errc::bad_file_descriptor), file,
                    "is not open for reading");
    }
    const std::int64_t there = std::max(status.value().size - offset, std::int64_t{0});
    const std::int64_t size = std::min(there, count.value_or(there));
    if (!std::in_range<std::ptrdiff_t>(size)) {
        refuse_file(std::make_error_code(std::errc::value_too_large), file,
                    "has more bytes than can be counted here");
    }
    return {.offset = offset, .size = static_cast<std::size_t>(size)};
}

SLUICE_INLINE FileSend::FileSend(LoopCore& core, FileUser& user, int file, FileRange range,
                                 const SendfileOptions& options, SendfileCallback done)
    : FileSegment(range.size),
      core_(core),
      user_(user),
      range_(range),
      options_(options),
      done_(std::move(done)) {
    if (range.size == 0) {
        return;
    }
    const Result<int> duplicate = sys::duplicate(file);
    if (!duplicate.ok()) {
        refuse_file(duplicate.error(), file, "cannot be duplicated");
    }
    file_ = Descriptor(duplicate.value());
}

// ---- pieces ----

/// One read, shared with the backend or the thread that makes it. Only `answer` and the bytes of `piece`
/// are theirs, until `done`.
struct FileSend::Read final : FileRead {
    struct Destroy {
        void operator()(WriteSegment* segment) const noexcept { WriteSegment::destroy(segment); }
    };

    void read_done(IoResult result) noexcept override {
        answer = result;
        if (!result.ok()) {
            // The kernel holds the file by itself; this may be kept for ever.
            file.reset();
        }
        finish();
    }
    void finish() noexcept {
        done = true;
        if (owner != nullptr) {
            owner->read_done();
        }
    }

    FileSend* owner = nullptr;  // null once nobody wants it any more
    Descriptor file;            // kept open for who reads when the owner has gone
    int number = Descriptor::none;
    std::int64_t offset = 0;
    std::unique_ptr<WriteSegment, Destroy> piece;
    IoResult answer = IoResult::would_block();
    bool from_disk = false;
    bool by_backend = false;
    bool done = false;
};

SLUICE_INLINE FileSend::~FileSend() = default;

SLUICE_INLINE WriteSegment* FileSend::next_piece(FileUser& waiter,
                                                 std::error_code& error) noexcept {
    try {
        if (reading_ == nullptr) {
            reading_ = read(offset(), rest());
        }
    } catch (const std::logic_error&) {
        // The executor was shut down, and this file is not in memory.
        error = std::make_error_code(std::errc::operation_canceled);
        return nullptr;
    } catch (...) {
        error = error_of(std::current_exception());
        return nullptr;
    }
    if (!reading_->done) {
        waiter_ = &waiter;
        return nullptr;
    }
    const std::shared_ptr<Read> finished = std::move(reading_);
    if (finished->answer.blocked()) {
        // Although it might: a file system of somebody's own (fuse(4)) answered with EAGAIN.
        error = std::make_error_code(std::errc::resource_unavailable_try_again);
        return nullptr;
    }
    if (!finished->answer.ok()) {
        error = finished->answer.error();
        if (finished->by_backend && FileRead::refused(error)) {
            backend_reads_ = false;
            error.clear();
            return next_piece(waiter, error);
        }
        return nullptr;
    }
    const std::size_t count = finished->answer.value();
    if (count == 0) {
        error = Error::file_truncated;
        return nullptr;
    }
    finished->piece->filled(count);
    if (finished->from_disk && count < rest()) {
        // From a disk: the next piece comes while this one is being sent.
        read_ahead(count);
    }
    return finished->piece.release();
}

/// Reads at most `most` bytes, now if they are in memory. Throws std::bad_alloc, and what
/// Workers::submit() throws.
SLUICE_INLINE std::shared_ptr<FileSend::Read> FileSend::read(std::int64_t from, std::size_t most) {
    auto reading = std::make_shared<Read>();
    reading->number = file_.get();
    reading->offset = from;
    reading->piece.reset(WriteSegment::with_capacity(std::min(most, options_.fallback_chunk_size)));
    reading->answer = sys::read_file(file_.get(), from, reading->piece->space(), false);
    reading->done = !reading->answer.blocked();
    if (!reading->done) {
        read_from_disk(reading);
    }
    return reading;
}

/// By the backend if it can, else on a thread.
SLUICE_INLINE void FileSend::read_from_disk(const std::shared_ptr<Read>& reading) {
    reading->owner = this;
    reading->from_disk = true;
    FileCompletions* const backend = backend_reads_ ? core_.file_completions() : nullptr;
    reading->by_backend =
        backend != nullptr &&
        backend->read(reading, reading->number, reading->piece->space(), reading->offset);
    if (reading->by_backend) {
        return;
    }
    if (core_.workers() == nullptr) {
        throw std::system_error(std::make_error_code(std::errc::operation_not_supported));
    }
    core_.workers()->submit([reading = reading, remote = core_.remote()]() mutable {
        reading->answer =
            sys::read_file(reading->number, reading->offset, reading->piece->space(), true);
        Callback finish([reading = std::move(reading)] { reading->finish(); });
        // Refused by a loop that is closed; then it is nobody's any more.
        remote->post(finish);
    });
}

/// Begins to read what comes after the `behind` bytes that are about to be taken.
SLUICE_INLINE void FileSend::read_ahead(std::size_t behind) noexcept {
    try {
        reading_ = read(offset() + static_cast<std::int64_t>(behind), rest() - behind);
    } catch (...) {
        // It will be read when it is needed, or fail then.
        reading_.reset();
    }
}

SLUICE_INLINE void FileSend::read_done() noexcept {
    if (FileUser* const waiter = std::exchange(waiter_, nullptr)) {
        waiter->file_ready();
    }
}

// ---- the end ----

SLUICE_INLINE void FileSend::left_queue(std::error_code reason, std::size_t dropped) noexcept {
    // Nothing stands before a file that has begun but pieces of it; before another it is not its own.
    result_.sent = taken() - std::min(taken(), dropped);
    if (result_.sent != range_.size) {
        result_.error = reason ? reason : std::make_error_code(std::errc::connection_aborted);
    }
    waiter_ = nullptr;
    if (reading_ != nullptr && !reading_->done) {
        reading_->owner = nullptr;
        reading_->file = std::move(file_);
    }
    reading_.reset();
    file_.reset();
    core_.schedule(*this);
}

SLUICE_INLINE void FileSend::on_ready_phase() noexcept {
    const std::unique_ptr<FileSend> self(this);
    dispatch(core_, {.name = "sendfile() callback"}, [this] {
        // What it captured goes where it could have been called.
        if (const SendfileCallback done = std::move(done_)) {
            done(result_);
        }
    });
    user_.file_done();
}

}  // namespace sluice::inline v0_1::detail
