// AddressCounts: how many connections each network has, for a limit.
//
// A table with as many entries as networks have connections, so nobody can make it larger than the
// server's connections are. Which entries share a bucket depends on random bits, since whoever owns a
// /32 of IPv6 could otherwise choose addresses that all share one.
#pragma once

#include <sluice/address_range.hpp>
#include <sluice/options.hpp>

#include <cstring>
#include <unordered_map>

namespace sluice::inline v0_1::detail {

class AddressCounts {
public:
    AddressCounts(const AddressLimit& limit, std::uint64_t first_secret,
                  std::uint64_t second_secret)
        : limit_(limit), counts_(0, Hash{first_secret, second_secret}) {}

    /// One more connection. False if that is one too many, or there is no memory to count it. An
    /// address of no network is not limited.
    [[nodiscard]] bool add(const SocketAddress& address) noexcept {
        if (address.ip_bytes().empty()) {
            return true;
        }
        try {
            std::size_t& count = counts_[network_of(address)];
            if (count >= limit_.most) {
                return false;
            }
            ++count;
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }

    /// One that was added is gone.
    void remove(const SocketAddress& address) noexcept {
        if (address.ip_bytes().empty()) {
            return;
        }
        const auto found = counts_.find(network_of(address));
        SLUICE_ASSERT(found != counts_.end());
        if (--found->second == 0) {
            counts_.erase(found);
        }
    }

    [[nodiscard]] std::size_t size() const noexcept { return counts_.size(); }

private:
    struct Hash {
        std::uint64_t first;
        std::uint64_t second;

        // A product of 128 bits folded, as wyhash mixes: every bit of the address reaches every bit
        // of the result by way of bits that nobody outside knows.
        static std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
            __extension__ using Wide = unsigned __int128;
            const Wide product = static_cast<Wide>(a) * b;
            return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
        }
        std::size_t operator()(const AddressBytes& bytes) const noexcept {
            std::uint64_t high = 0;
            std::uint64_t low = 0;
            std::memcpy(&high, bytes.data(), sizeof high);
            std::memcpy(&low, bytes.data() + sizeof high, sizeof low);
            return mix(mix(high ^ first, second | 1) ^ low, first | 1);
        }
    };

    [[nodiscard]] AddressBytes network_of(const SocketAddress& address) const noexcept {
        const AddressBytes bytes = address_bytes(address);
        return masked(bytes,
                      is_ipv4(bytes) ? ipv4_offset_bits + limit_.ipv4_prefix : limit_.ipv6_prefix);
    }

    AddressLimit limit_;
    std::unordered_map<AddressBytes, std::size_t, Hash> counts_;
};

}  // namespace sluice::inline v0_1::detail
