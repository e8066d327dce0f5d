// FileSend: one file on its way, from sendfile() to the call that tells how it ended.
//
// It is the file's segment in a write queue, wherever that travels, and owns a duplicate of the
// descriptor. Where the kernel cannot send the file by itself it reads pieces of it: from the page
// cache at once, else by the backend or on one of the loop's threads, then with one piece ahead. It
// knows neither the transport nor what the bytes go through.
#pragma once

#include <sluice/descriptor.hpp>
#include <sluice/detail/loop_core.hpp>
#include <sluice/detail/write_queue.hpp>
#include <sluice/transport.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>

namespace sluice::inline v0_1::detail {

/// What of a file is to be sent.
struct FileRange {
    std::int64_t offset;
    std::size_t size;
};

/// The bytes of `file` that the arguments of sendfile() mean. Throws what that promises.
FileRange file_range(int file, std::int64_t offset, std::optional<std::int64_t> count,
                     const SendfileOptions& options);

/// A transport, to its files.
class FileUser {
public:
    /// Whoever asked for a piece may ask again. From the loop, where a callback may be running.
    virtual void file_ready() noexcept = 0;
    /// One of the files that it was asked to send has told how it ended. It must not be destroyed
    /// before all have, unless the loop is.
    virtual void file_done() noexcept = 0;

protected:
    ~FileUser() = default;
};

class FileSend final : public FileSegment, private Ready {
public:
    /// Throws std::system_error if there is no descriptor for the duplicate. A range of no bytes is
    /// not to be queued but to be complete().
    FileSend(LoopCore& core, FileUser& user, int file, FileRange range,
             const SendfileOptions& options, SendfileCallback done);
    FileSend(const FileSend&) = delete;
    FileSend& operator=(const FileSend&) = delete;
    ~FileSend();

    /// Ends it with success, from the loop. It owns itself from now on.
    void complete() noexcept { left_queue({}, 0); }

    [[nodiscard]] int file() const noexcept { return file_.get(); }
    /// Where the rest begins.
    [[nodiscard]] std::int64_t offset() const noexcept {
        return range_.offset + static_cast<std::int64_t>(taken());
    }
    [[nodiscard]] bool started() const noexcept { return taken() != 0; }

    /// It is sent in pieces.
    [[nodiscard]] bool in_pieces() const noexcept { return in_pieces_; }
    /// From now on. False if its options forbid that.
    [[nodiscard]] bool send_in_pieces() noexcept { return in_pieces_ = options_.fallback; }
    /// The next piece, for put_before_file(). Null with `error`: there will be none. Null without:
    /// `waiter` is told when asking again makes sense, and must be around then unless the file has
    /// left its queue.
    [[nodiscard]] WriteSegment* next_piece(FileUser& waiter, std::error_code& error) noexcept;

private:
    struct Read;

    [[nodiscard]] std::size_t taken() const noexcept { return range_.size - rest(); }
    void left_queue(std::error_code reason, std::size_t dropped) noexcept override;
    void on_ready_phase() noexcept override;
    void on_loop_closed() noexcept override { delete this; }

    [[nodiscard]] std::shared_ptr<Read> read(std::int64_t from, std::size_t most);
    void read_from_disk(const std::shared_ptr<Read>& reading);
    void read_ahead(std::size_t behind) noexcept;
    void read_done() noexcept;

    LoopCore& core_;
    FileUser& user_;
    Descriptor file_;
    FileRange range_;
    SendfileOptions options_;
    SendfileCallback done_;
    SendfileResult result_{.error = {}, .sent = 0};
    std::shared_ptr<Read> reading_;  // the piece after what has been taken
    FileUser* waiter_ = nullptr;
    bool in_pieces_ = false;
    bool backend_reads_ = true;  // if it can
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/file_send.ipp>
#endif
