// The setters of DatagramOptions that refuse numbers.
#pragma once

#include <sluice/datagram_options.hpp>

#include <stdexcept>
#include <string>

namespace sluice::inline v0_1 {

SLUICE_INLINE DatagramOptions& DatagramOptions::datagram_size(std::size_t bytes) {
    if (bytes == 0 || bytes > limits::datagram_area_bytes) {
        throw std::invalid_argument("datagram_size of " + std::to_string(bytes) +
                                    " bytes is not between 1 and " +
                                    std::to_string(limits::datagram_area_bytes));
    }
    datagram_size_ = bytes;
    return *this;
}

SLUICE_INLINE DatagramOptions& DatagramOptions::batch(std::size_t datagrams) {
    if (datagrams == 0 || datagrams > limits::datagram_batch) {
        throw std::invalid_argument("batch of " + std::to_string(datagrams) +
                                    " datagrams is not between 1 and " +
                                    std::to_string(limits::datagram_batch));
    }
    batch_ = datagrams;
    return *this;
}

namespace detail {

SLUICE_INLINE int checked_hops(int hops, int least, const char* what) {
    if (hops < least || hops > 255) {
        throw std::invalid_argument(std::string(what) + " of " + std::to_string(hops) +
                                    " is not between " + std::to_string(least) + " and 255");
    }
    return hops;
}

}  // namespace detail

SLUICE_INLINE DatagramOptions& DatagramOptions::ttl(int hops) {
    ttl_ = detail::checked_hops(hops, 1, "ttl");
    return *this;
}

SLUICE_INLINE DatagramOptions& DatagramOptions::multicast_ttl(int hops) {
    multicast_ttl_ = detail::checked_hops(hops, 0, "multicast_ttl");
    return *this;
}

}  // namespace sluice::inline v0_1
