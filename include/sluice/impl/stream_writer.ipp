// StreamWriter: what does more than hand its arguments on.
#pragma once

#include <sluice/detail/running_loop.hpp>
#include <sluice/stream_writer.hpp>

#include <array>
#include <stdexcept>

namespace sluice::inline v0_1 {

SLUICE_INLINE void StreamWriter::throw_not_connected() {
    throw std::logic_error("StreamWriter: the connection is not made yet");
}

SLUICE_INLINE void StreamWriter::writelines(std::initializer_list<std::string_view> pieces) const {
    // What an expression lists is short; a longer list goes in several calls.
    std::array<Bytes, 16> some;
    const std::string_view* next = pieces.begin();
    while (next != pieces.end()) {
        std::size_t count = 0;
        while (count < some.size() && next != pieces.end()) {
            some[count++] = as_bytes(*next++);
        }
        transport().writelines(std::span<const Bytes>(some.data(), count));
    }
}

namespace detail {

SLUICE_INLINE Task<void> start_tls_of(StreamWriter writer, Ref<Stream> stream, TlsContext context,
                                      StartTlsOptions options) {
    EventLoop& loop = running_loop_for("StreamWriter::start_tls");
    co_await writer.drain();
    // From here to the upgrade nothing may arrive in between, hence no other await.
    const std::string buffered = stream->begin_replacing();
    std::string received(as_text(options.received()));
    received += buffered;
    Task<Ref<Transport>> upgrading;
    try {
        options.received(as_bytes(received));
        upgrading = loop.start_tls(stream->transport(), std::move(context), std::move(options));
    } catch (...) {
        // Refused: the connection goes on in plain text.
        stream->cancel_replacing(buffered);
        throw;
    }
    Ref<Transport> secure = co_await upgrading;
    stream->replace_transport(std::move(secure));
}

}  // namespace detail

SLUICE_INLINE Task<void> StreamWriter::start_tls(TlsContext context,
                                                 StartTlsOptions options) const {
    static_cast<void>(transport());
    return detail::start_tls_of(*this, stream_, std::move(context), std::move(options));
}

SLUICE_INLINE Task<std::uint64_t> StreamWriter::sendfile(int file, std::int64_t offset,
                                                         std::optional<std::int64_t> count,
                                                         SendfileOptions options) const {
    static_cast<void>(transport());
    return detail::running_loop_for("StreamWriter::sendfile")
        .sendfile(stream_->transport(), file, offset, count, options);
}

}  // namespace sluice::inline v0_1
