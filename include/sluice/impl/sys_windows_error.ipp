// Error numbers of Windows, those of sockets included, as codes that compare with std::errc. Of the
// standard libraries only MSVC's does that by itself for std::system_category(), hence a category of our
// own, with the numbers and the texts of Windows.
#pragma once

#include <sluice/impl/windows_headers.ipp>

#include <sluice/detail/result.hpp>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <string_view>

namespace sluice::inline v0_1::detail {

struct WindowsError {
    int number;
    std::errc meaning;
};

inline constexpr WindowsError windows_errors[] = {
    {ERROR_FILE_NOT_FOUND, std::errc::no_such_file_or_directory},
    {ERROR_PATH_NOT_FOUND, std::errc::no_such_file_or_directory},
    {ERROR_TOO_MANY_OPEN_FILES, std::errc::too_many_files_open},
    {ERROR_ACCESS_DENIED, std::errc::permission_denied},
    {ERROR_INVALID_HANDLE, std::errc::bad_file_descriptor},
    {ERROR_NOT_ENOUGH_MEMORY, std::errc::not_enough_memory},
    {ERROR_OUTOFMEMORY, std::errc::not_enough_memory},
    {ERROR_READ_FAULT, std::errc::io_error},
    {ERROR_SHARING_VIOLATION, std::errc::permission_denied},
    {ERROR_NOT_SUPPORTED, std::errc::operation_not_supported},
    {ERROR_NETNAME_DELETED, std::errc::connection_reset},
    {ERROR_FILE_EXISTS, std::errc::file_exists},
    {ERROR_INVALID_PARAMETER, std::errc::invalid_argument},
    {ERROR_BROKEN_PIPE, std::errc::broken_pipe},
    {ERROR_SEM_TIMEOUT, std::errc::timed_out},
    {ERROR_NO_DATA, std::errc::broken_pipe},
    {ERROR_MORE_DATA, std::errc::message_size},
    {ERROR_OPERATION_ABORTED, std::errc::operation_canceled},
    {ERROR_CONNECTION_REFUSED, std::errc::connection_refused},
    {ERROR_NETWORK_UNREACHABLE, std::errc::network_unreachable},
    {ERROR_HOST_UNREACHABLE, std::errc::host_unreachable},
    {ERROR_PORT_UNREACHABLE, std::errc::connection_refused},
    {ERROR_CONNECTION_ABORTED, std::errc::connection_aborted},
    {ERROR_NO_SYSTEM_RESOURCES, std::errc::no_buffer_space},
    {ERROR_WORKING_SET_QUOTA, std::errc::not_enough_memory},
    {ERROR_COMMITMENT_LIMIT, std::errc::not_enough_memory},
    {ERROR_NOT_ENOUGH_QUOTA, std::errc::not_enough_memory},

    {WSAEINTR, std::errc::interrupted},
    {WSAEBADF, std::errc::bad_file_descriptor},
    {WSAEACCES, std::errc::permission_denied},
    {WSAEFAULT, std::errc::bad_address},
    {WSAEINVAL, std::errc::invalid_argument},
    {WSAEMFILE, std::errc::too_many_files_open},
    {WSAEWOULDBLOCK, std::errc::operation_would_block},
    {WSAEINPROGRESS, std::errc::operation_in_progress},
    {WSAEALREADY, std::errc::connection_already_in_progress},
    {WSAENOTSOCK, std::errc::not_a_socket},
    {WSAEDESTADDRREQ, std::errc::destination_address_required},
    {WSAEMSGSIZE, std::errc::message_size},
    {WSAEPROTOTYPE, std::errc::wrong_protocol_type},
    {WSAENOPROTOOPT, std::errc::no_protocol_option},
    {WSAEPROTONOSUPPORT, std::errc::protocol_not_supported},
    {WSAEOPNOTSUPP, std::errc::operation_not_supported},
    {WSAEAFNOSUPPORT, std::errc::address_family_not_supported},
    {WSAEADDRINUSE, std::errc::address_in_use},
    {WSAEADDRNOTAVAIL, std::errc::address_not_available},
    {WSAENETDOWN, std::errc::network_down},
    {WSAENETUNREACH, std::errc::network_unreachable},
    {WSAENETRESET, std::errc::network_reset},
    {WSAECONNABORTED, std::errc::connection_aborted},
    {WSAECONNRESET, std::errc::connection_reset},
    {WSAENOBUFS, std::errc::no_buffer_space},
    {WSAEISCONN, std::errc::already_connected},
    {WSAENOTCONN, std::errc::not_connected},
    // Sending behind one's own shutdown(): POSIX has EPIPE for it.
    {WSAESHUTDOWN, std::errc::broken_pipe},
    {WSAETIMEDOUT, std::errc::timed_out},
    {WSAECONNREFUSED, std::errc::connection_refused},
    {WSAEHOSTUNREACH, std::errc::host_unreachable},
};
static_assert(std::ranges::is_sorted(windows_errors, {}, &WindowsError::number));

class WindowsCategory final : public std::error_category {
public:
    const char* name() const noexcept override { return "windows"; }

    std::string message(int number) const override {
        std::array<char, 512> text{};
        DWORD length = ::FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS,
                                        nullptr, static_cast<DWORD>(number), 0, text.data(),
                                        static_cast<DWORD>(text.size()), nullptr);
        // It ends with a full stop and a line break, which do not belong into the middle of a text.
        while (length != 0 &&
               std::string_view("\r\n. ").find(text[length - 1]) != std::string_view::npos) {
            --length;
        }
        return length != 0 ? std::string(text.data(), length)
                           : "Windows error " + std::to_string(number);
    }

    std::error_condition default_error_condition(int number) const noexcept override {
        const auto* const found =
            std::ranges::lower_bound(windows_errors, number, {}, &WindowsError::number);
        if (found != std::end(windows_errors) && found->number == number) {
            return std::make_error_condition(found->meaning);
        }
        return {number, *this};
    }
};

SLUICE_INLINE std::error_code system_error(int error_number) noexcept {
    static const WindowsCategory category;
    return {error_number, category};
}

}  // namespace sluice::inline v0_1::detail
