// getaddrinfo and getnameinfo of Windows behind the sys seam, and the category of their errors.
#pragma once

#include <sluice/impl/sys_windows.ipp>

#include <sluice/detail/sys.hpp>
#include <sluice/error.hpp>

#include <memory>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE std::error_code resolver_error(int code) noexcept {
    switch (code) {
        case 0:
            return {};
        case EAI_MEMORY:
            return std::make_error_code(std::errc::not_enough_memory);
        case EAI_NONAME:
        case EAI_SERVICE:
        case WSANO_DATA:
            return Error::host_not_found;
        default:
            return Error::resolver_failed;
    }
}

SLUICE_INLINE ResolveAnswer resolve(const ResolveRequest& request) {
    start_sockets();
    addrinfo hints{};
    hints.ai_family = native(request.family);
    hints.ai_socktype = native(request.type);
    hints.ai_flags =
        (request.passive ? AI_PASSIVE : 0) | (request.numeric_host ? AI_NUMERICHOST : 0);
    addrinfo* found = nullptr;
    const char* host = request.host.empty() ? nullptr : request.host.c_str();
    const char* service = request.service.empty() ? "0" : request.service.c_str();
    const int code = ::getaddrinfo(host, service, &hints, &found);
    ResolveAnswer answer;
    answer.error = resolver_error(code);
    if (answer.error) {
        return answer;
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(
        found, [](addrinfo* list) { ::freeaddrinfo(list); });
    for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
        NativeAddress address;
        if (entry->ai_addrlen <= sizeof address.storage) {
            std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
            address.size = static_cast<int>(entry->ai_addrlen);
            if (const SocketAddress value = address.value()) {
                answer.addresses.push_back(value);
            }
        }
    }
    if (answer.addresses.empty()) {
        answer.error = Error::no_addresses;
    }
    return answer;
}

SLUICE_INLINE NameAnswer name_of(const SocketAddress& address, bool numeric_host,
                                 bool numeric_service) {
    start_sockets();
    const NativeAddress native_address(address);
    char host[NI_MAXHOST] = {};
    char service[NI_MAXSERV] = {};
    const int flags = (numeric_host ? NI_NUMERICHOST : 0) | (numeric_service ? NI_NUMERICSERV : 0);
    const int code = ::getnameinfo(native_address.get(), native_address.size, host, sizeof host,
                                   service, sizeof service, flags);
    return {.host = host, .service = service, .error = resolver_error(code)};
}

}  // namespace sluice::inline v0_1::detail::sys
