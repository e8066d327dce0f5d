// sock_sendfile: a file to a borrowed socket, by the kernel or in pieces.
#pragma once

#include <sluice/impl/descriptor_use.ipp>

#include <sluice/detail/file_send.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/event_loop.hpp>
#include <sluice/socket_calls.hpp>

#include <algorithm>
#include <memory>
#include <vector>

namespace sluice::inline v0_1 {

namespace detail {

/// What of a file is being sent, and by whom: the kernel, or in pieces that are read here.
struct FileOnSocket {
    Descriptor file;
    FileRange range;
    SendfileOptions options;
    std::uint64_t sent = 0;
    bool backend_reads = true;  // if it can

    [[nodiscard]] std::int64_t offset() const noexcept {
        return range.offset + static_cast<std::int64_t>(sent);
    }
    [[nodiscard]] std::size_t rest() const noexcept {
        return range.size - static_cast<std::size_t>(sent);
    }
};

/// Shared: who still reads when the task is gone needs somewhere to read to, and a descriptor.
struct PieceReading final : FileRead {
    void read_done(IoResult answer) noexcept override {
        result = answer;
        if (!answer.ok()) {
            // The kernel holds the file by itself; this may be kept for ever.
            file.reset();
        }
        done.try_set_result();
    }

    std::vector<std::byte> piece;
    Descriptor file;
    Future<void> done;  // of a read by the backend
    bool by_backend = false;
    IoResult result = IoResult::would_block();
};

/// Reads from the disk: by the backend if it can, else on another thread.
SLUICE_INLINE Future<void> read_from_disk(EventLoop& loop, const FileOnSocket& sending,
                                          const std::shared_ptr<PieceReading>& reading) {
    const std::int64_t offset = sending.offset();
    FileCompletions* const backend =
        sending.backend_reads ? loop.core().file_completions() : nullptr;
    if (backend != nullptr) {
        reading->done = loop.create_future<void>();
        reading->by_backend = backend->read(reading, reading->file.get(), reading->piece, offset);
    }
    if (reading->by_backend) {
        return reading->done;
    }
    return loop.run_in_executor([reading, offset] {
        reading->result = sys::read_file(reading->file.get(), offset, reading->piece, true);
    });
}

/// Reads the next piece, from memory at once, else from the disk.
SLUICE_INLINE Task<std::shared_ptr<std::vector<std::byte>>> read_piece(EventLoop& loop,
                                                                       FileOnSocket& sending) {
    const auto reading = std::make_shared<PieceReading>();
    reading->piece.resize(std::min(sending.rest(), sending.options.fallback_chunk_size));
    reading->result = sys::read_file(sending.file.get(), sending.offset(), reading->piece, false);
    if (reading->result.blocked()) {
        const Result<int> copy = sys::duplicate(sending.file.get());
        if (!copy.ok()) {
            throw SendfileError(copy.error(), sending.sent);
        }
        reading->file = Descriptor(copy.value());
        const Future<void> done = read_from_disk(loop, sending, reading);
        co_await done;
    }
    if (reading->by_backend && !reading->result.ok() &&
        FileRead::refused(reading->result.error())) {
        sending.backend_reads = false;
        Task<std::shared_ptr<std::vector<std::byte>>> again = read_piece(loop, sending);
        std::shared_ptr<std::vector<std::byte>> piece = co_await again;
        co_return piece;
    }
    if (!reading->result.ok()) {
        throw SendfileError(reading->result.error(), sending.sent);
    }
    reading->piece.resize(reading->result.value());
    std::shared_ptr<std::vector<std::byte>> piece(reading, &reading->piece);
    co_return piece;
}

SLUICE_INLINE Task<void> send_in_pieces(EventLoop& loop, Borrowed socket, const DescriptorUse& use,
                                        FileOnSocket& sending) {
    while (sending.rest() != 0) {
        // Others have their turn between pieces.
        co_await use.ready();
        Task<std::shared_ptr<std::vector<std::byte>>> reading = read_piece(loop, sending);
        const std::shared_ptr<std::vector<std::byte>> piece = co_await reading;
        if (piece->empty()) {
            throw SendfileError(Error::file_truncated, sending.sent);
        }
        Bytes left = *piece;
        while (!left.empty()) {
            const IoResult sent = sys::send(socket.fd, left);
            if (sent.ok()) {
                left = left.subspan(sent.value());
                sending.sent += sent.value();
            } else if (!sent.blocked()) {
                throw SendfileError(sent.error(), sending.sent);
            } else {
                co_await use.ready();
            }
        }
    }
}

SLUICE_INLINE Task<std::uint64_t> send_file(EventLoop& loop, Borrowed socket,
                                            FileOnSocket sending) {
    const DescriptorUse use = socket.use(Readiness::writable);
    bool by_kernel = true;
    while (by_kernel && sending.rest() != 0) {
        const std::size_t most = std::min(sending.rest(), limits::file_turn_bytes);
        const IoResult sent = sys::sendfile(socket.fd, sending.file.get(), sending.offset(), most);
        if (sent.blocked()) {
            co_await use.ready();
        } else if (sent.ok() && sent.value() != 0) {
            sending.sent += sent.value();
            if (sending.rest() != 0) {
                // The socket is full, or it is the turn of others.
                co_await use.ready();
            }
        } else if (sent.ok()) {
            throw SendfileError(Error::file_truncated, sending.sent);
        } else {
            const std::error_code error = sent.error();
            by_kernel = sending.sent != 0 || (error != std::errc::invalid_argument &&
                                              error != std::errc::function_not_supported &&
                                              error != std::errc::operation_not_supported);
            if (by_kernel) {
                throw SendfileError(error, sending.sent);
            }
        }
    }
    if (!by_kernel) {
        if (!sending.options.fallback) {
            throw SendfileError(std::make_error_code(std::errc::operation_not_supported), 0);
        }
        Task<void> rest = send_in_pieces(loop, socket, use, sending);
        co_await rest;
    }
    co_return sending.sent;
}

}  // namespace detail

SLUICE_INLINE Task<std::uint64_t> SocketCalls::sock_sendfile(int socket, int file,
                                                             std::int64_t offset,
                                                             std::optional<std::int64_t> count,
                                                             SendfileOptions options) {
    auto& loop = static_cast<EventLoop&>(*this);
    detail::check_socket(loop, socket, "sock_sendfile");
    detail::FileOnSocket sending;
    sending.range = detail::file_range(file, offset, count, options);
    sending.options = options;
    const detail::Result<int> copy = detail::sys::duplicate(file);
    if (!copy.ok()) {
        detail::throw_socket_error(copy.error(), "sock_sendfile", file);
    }
    sending.file = Descriptor(copy.value());
    return detail::send_file(loop, {loop.core(), loop.state_->descriptors, socket, "sock_sendfile"},
                             std::move(sending));
}

}  // namespace sluice::inline v0_1
