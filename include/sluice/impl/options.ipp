// Validation of arguments: every message names the argument and the value.
#pragma once

#include <sluice/options.hpp>
#include <sluice/transport.hpp>

#include <algorithm>
#include <stdexcept>

namespace sluice::inline v0_1 {

SLUICE_INLINE void Port::refuse(const std::string& number) {
    throw std::invalid_argument("port " + number + " is not between 0 and 65535");
}

SLUICE_INLINE Port::Port(std::string_view text) {
    const bool digits = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
    if (!digits) {
        if (text.find('\0') != std::string_view::npos) {
            throw std::invalid_argument("port: a service name cannot contain NUL");
        }
        number_.reset();
        service_ = text;
        return;
    }
    long long number = 0;
    for (const char digit : text) {
        number = std::min(number * 10 + (digit - '0'), 1'000'000LL);
    }
    if (number > 65535) {
        refuse(std::string(text));
    }
    number_ = static_cast<std::uint16_t>(number);
}

SLUICE_INLINE std::string Port::to_string() const {
    return number_ ? std::to_string(*number_) : service_;
}

SLUICE_INLINE ConnectOptions& ConnectOptions::happy_eyeballs_delay(
    std::optional<std::chrono::nanoseconds> delay) {
    if (delay && delay->count() < 0) {
        throw std::invalid_argument("happy_eyeballs_delay of " + std::to_string(delay->count()) +
                                    " ns is negative");
    }
    happy_eyeballs_delay_ = delay;
    return *this;
}

SLUICE_INLINE ConnectOptions& ConnectOptions::interleave(int first_family_count) {
    if (first_family_count < 1) {
        throw std::invalid_argument("interleave must be at least 1, not " +
                                    std::to_string(first_family_count));
    }
    interleave_ = first_family_count;
    return *this;
}

SLUICE_INLINE ConnectOptions& ConnectOptions::timeout(std::chrono::nanoseconds limit) {
    timeout_ = detail::positive(limit, "timeout");
    return *this;
}

SLUICE_INLINE ServerOptions& ServerOptions::backlog(int connections) {
    if (connections < 1) {
        throw std::invalid_argument("backlog must be at least 1, not " +
                                    std::to_string(connections));
    }
    backlog_ = connections;
    return *this;
}

SLUICE_INLINE ServerOptions& ServerOptions::max_connections(std::size_t connections) {
    if (connections == 0) {
        throw std::invalid_argument("max_connections must be at least 1, not 0");
    }
    max_connections_ = connections;
    return *this;
}

SLUICE_INLINE ServerOptions& ServerOptions::permissions(unsigned mode) {
    if (mode > 0777U) {
        throw std::invalid_argument("permissions of " + std::to_string(mode) +
                                    " (decimal) are more than 0777 (octal)");
    }
    permissions_ = mode;
    return *this;
}

SLUICE_INLINE ServerOptions& ServerOptions::max_connections_per_address(std::size_t connections,
                                                                        unsigned ipv4_prefix,
                                                                        unsigned ipv6_prefix) {
    if (connections == 0) {
        throw std::invalid_argument("max_connections_per_address must be at least 1, not 0");
    }
    if (ipv4_prefix > 32 || ipv6_prefix > 128) {
        throw std::invalid_argument("max_connections_per_address: prefix of " +
                                    std::to_string(ipv4_prefix > 32 ? ipv4_prefix : ipv6_prefix) +
                                    " bits is longer than the address");
    }
    address_limit_ = {connections, ipv4_prefix, ipv6_prefix};
    return *this;
}

SLUICE_INLINE void detail::TimeLimits::apply(Transport& transport) const {
    try {
        if (idle) {
            transport.set_idle_timeout(idle);
        }
        if (write) {
            transport.set_write_timeout(write);
        }
    } catch (...) {
        // For lack of memory; nobody knows the connection yet.
        transport.abort();
        throw;
    }
}

SLUICE_INLINE std::chrono::nanoseconds detail::positive(std::chrono::nanoseconds time,
                                                        const char* what) {
    if (time.count() <= 0) {
        throw std::invalid_argument(std::string(what) + " of " + std::to_string(time.count()) +
                                    " ns is not positive");
    }
    return time;
}

SLUICE_INLINE void detail::check_host(std::string_view host, const char* argument) {
    if (host.empty()) {
        throw std::invalid_argument(std::string(argument) + " is empty");
    }
    if (host.size() > limits::host_name_bytes) {
        throw std::invalid_argument(std::string(argument) + " of " + std::to_string(host.size()) +
                                    " characters is longer than a host name can be (" +
                                    std::to_string(limits::host_name_bytes) + ")");
    }
    if (host.find('\0') != std::string_view::npos) {
        throw std::invalid_argument(std::string(argument) + " contains a NUL character");
    }
}

}  // namespace sluice::inline v0_1
