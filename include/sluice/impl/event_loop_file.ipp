// EventLoop: sendfile.
#pragma once

#include <sluice/impl/event_loop_state.hpp>

#include <sluice/event_loop.hpp>

#include <stdexcept>

namespace sluice::inline v0_1 {

namespace detail {

SLUICE_INLINE Task<std::uint64_t> sent_bytes(Future<SendfileResult> sending) {
    const SendfileResult result = co_await sending;
    if (result.error) {
        throw SendfileError(result.error, result.sent);
    }
    co_return result.sent;
}

}  // namespace detail

SLUICE_INLINE Task<std::uint64_t> EventLoop::sendfile(Ref<Transport> transport, int file,
                                                      std::int64_t offset,
                                                      std::optional<std::int64_t> count,
                                                      SendfileOptions options) {
    require_open("sendfile");
    if (!transport) {
        throw std::invalid_argument("sendfile(): transport is null");
    }
    const Future<SendfileResult> sending = create_future<SendfileResult>();
    // Made first: once the file is queued nothing may fail any more.
    Task<std::uint64_t> task = detail::sent_bytes(sending);
    SendfileCallback done = [sending](const SendfileResult& result) {
        sending.try_set_result(result);
    };
    const Ref<Transport> target = std::move(transport);
    target->sendfile(file, offset, count, options, std::move(done));
    return task;
}

}  // namespace sluice::inline v0_1
