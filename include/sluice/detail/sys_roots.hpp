// The part of the system seam that knows whom the system trusts.
#pragma once

#include <sluice/config.hpp>

#include <string>
#include <vector>

namespace sluice::inline v0_1::detail::sys {

#ifdef _WIN32
/// The certificates (DER) of the authorities that the system lets vouch for servers.
std::vector<std::string> trusted_roots();
#else
/// None: OpenSSL finds them by itself, in the files where the system has them.
inline std::vector<std::string> trusted_roots() {
    return {};
}
#endif

}  // namespace sluice::inline v0_1::detail::sys

#if defined(SLUICE_HEADER_ONLY) && defined(_WIN32)
#include <sluice/impl/sys_windows_roots.ipp>
#endif
