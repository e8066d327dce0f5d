// Files sent by the library's ends: what the call must do at once, and what must hold when its
// callback comes.
//
// The bytes of a file are those that the stream has at that place, so that the receiver's check covers
// them, too.
#include <sluice/descriptor.hpp>
#include <sluice/error.hpp>

#include "simulation/library_end.hpp"
#include "simulation/library_end_scopes.hpp"

#include <algorithm>
#include <stdexcept>

namespace sluice::test {

void LibraryEnd::send_file(const Action& action) {
    const bool refused = transport_->is_closing() || eof_written_;
    const std::uint64_t offset = accepted_;
    if (!refused) {
        // Before the call, because what pause_writing writes comes after these bytes.
        accepted_ += action.size;
        ++files_open_;
    }
    try {
        const InCall call(*this, true);
        queue_file(action, offset);
        if (refused) {
            fail("misuse: sendfile() after the end did not throw");
        }
        return;
    } catch (const std::system_error& error) {
        if (error.code() != std::errc::too_many_files_open) {
            fail(std::string("misuse: sendfile() threw ") + error.what());
        }
    } catch (const std::logic_error& error) {
        if (!refused) {
            fail(std::string("misuse: sendfile() threw ") + error.what());
        }
    }
    if (!refused) {
        accepted_ = offset;
        --files_open_;
    }
}

void LibraryEnd::queue_file(const Action& action, std::uint64_t offset) {
    // It begins somewhere in the file, and the count is given or not.
    const std::uint64_t before = action.size % 97;
    const std::uint64_t size = action.size;
    const Descriptor file(world_.kernel().open_file(
        before + size, [pattern = outgoing_, before, offset](std::uint64_t from, MutableBytes to) {
            const std::vector<std::byte> bytes = pattern.make(offset + from - before, to.size());
            std::ranges::copy(bytes, to.begin());
        }));
    const bool counted = size != 0 && action.pieces % 2 == 1;
    const std::size_t chunk = 1 + action.size / action.pieces;
    transport_->sendfile(file.get(), static_cast<std::int64_t>(before),
                         counted ? std::optional(static_cast<std::int64_t>(size)) : std::nullopt,
                         {.fallback = true, .fallback_chunk_size = chunk},
                         [this, size](const SendfileResult& result) { file_ended(size, result); });
    if (action.pieces % 8 == 0 && files_open_ != 0) {
        file_cut_short_ = true;
        world_.kernel().resize_file(file.get(), before + size / 2);
    }
}

void LibraryEnd::file_ended(std::uint64_t size, const SendfileResult& result) {
    if (world_.over()) {
        fail("grammar: the end of a file is told after the loop was destroyed");
        return;
    }
    if (world_.call != nullptr || world_.callback_depth > 0) {
        fail("grammar: the end of a file is told inside a call or another callback");
    }
    if (files_open_-- == 0 || lost_) {
        fail("grammar: the end of a file is told twice or after connection_lost");
    }
    if (!result.error && result.sent != size) {
        fail("files: a success with " + std::to_string(result.sent) + " of " +
             std::to_string(size) + " bytes");
    }
    if (result.error && (result.sent >= size || !transport_->is_closing())) {
        fail("files: a failure with " + std::to_string(result.sent) + " of " +
             std::to_string(size) + " bytes");
    }
}

}  // namespace sluice::test
