// StreamReader: making one, and refusing a wrong argument.
#pragma once

#include <sluice/stream_reader.hpp>

#include <stdexcept>

namespace sluice::inline v0_1 {

SLUICE_INLINE StreamReader::StreamReader(std::size_t limit_bytes)
    : stream_(new detail::Stream(limit_bytes)) {}

SLUICE_INLINE void StreamReader::require_not_negative(std::ptrdiff_t count) {
    if (count < 0) {
        throw std::invalid_argument("readexactly(): the size cannot be negative, it is " +
                                    std::to_string(count));
    }
}

}  // namespace sluice::inline v0_1
