// Files for Windows that nobody but this user can read.
#pragma once

#include <sluice/impl/windows_handles.ipp>

#include <sluice/detail/sys.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <type_traits>

// Behind <windows.h>.
#include <aclapi.h>
#include <fcntl.h>
#include <io.h>

namespace sluice::inline v0_1::detail::sys {

struct CloseNativeHandle {
    void operator()(HANDLE handle) const noexcept { ::CloseHandle(handle); }
};
using NativeHandlePtr = std::unique_ptr<std::remove_pointer_t<HANDLE>, CloseNativeHandle>;

/// What a token says of somebody, with the memory of the identifier behind it.
template <class Information>
struct TokenAnswer {
    alignas(
        Information) std::array<std::byte, sizeof(Information) + SECURITY_MAX_SID_SIZE> memory{};

    /// 0, or the error.
    [[nodiscard]] int read(HANDLE token, TOKEN_INFORMATION_CLASS kind) noexcept {
        DWORD size = 0;
        return ::GetTokenInformation(token, kind, memory.data(), static_cast<DWORD>(memory.size()),
                                     &size) != 0
                   ? 0
                   : static_cast<int>(::GetLastError());
    }
    [[nodiscard]] Information& value() noexcept {
        return *reinterpret_cast<Information*>(memory.data());
    }
};

/// Whom this process runs for, and what that makes a file private.
class PrivateSecurity {
public:
    /// 0, or the error.
    [[nodiscard]] int prepare() noexcept;
    [[nodiscard]] SECURITY_DESCRIPTOR* descriptor() noexcept { return &descriptor_; }
    /// The error that speaks against writing secrets to it, or 0.
    [[nodiscard]] int check_owner(HANDLE file) noexcept;
    [[nodiscard]] int check_access(HANDLE file) noexcept;

private:
    [[nodiscard]] int read_token() noexcept;
    [[nodiscard]] bool is_own(PSID who) noexcept {
        return ::EqualSid(who, user_.value().User.Sid) != 0 ||
               ::EqualSid(who, owner_.value().Owner) != 0;
    }
    [[nodiscard]] bool admits_nobody_else(ACL* list) noexcept;

    TokenAnswer<TOKEN_USER> user_;
    TokenAnswer<TOKEN_OWNER> owner_;  // of new files; an administrator's may be their group's
    alignas(ACL) std::array<std::byte, sizeof(ACL) + sizeof(ACCESS_ALLOWED_ACE) +
                                           SECURITY_MAX_SID_SIZE> list_{};
    SECURITY_DESCRIPTOR descriptor_{};
};

SLUICE_INLINE int PrivateSecurity::read_token() noexcept {
    HANDLE token = nullptr;
    if (::OpenProcessToken(::GetCurrentProcess(), TOKEN_QUERY, &token) == 0) {
        return static_cast<int>(::GetLastError());
    }
    const NativeHandlePtr owned(token);
    const int error = user_.read(token, TokenUser);
    return error != 0 ? error : owner_.read(token, TokenOwner);
}

SLUICE_INLINE int PrivateSecurity::prepare() noexcept {
    if (const int error = read_token(); error != 0) {
        return error;
    }
    const PSID user = user_.value().User.Sid;
    auto* const list = reinterpret_cast<ACL*>(list_.data());
    // All to the user; protected: the folder's own list adds nothing.
    if (::InitializeAcl(list, static_cast<DWORD>(list_.size()), ACL_REVISION) == 0 ||
        ::AddAccessAllowedAce(list, ACL_REVISION, FILE_ALL_ACCESS, user) == 0 ||
        ::InitializeSecurityDescriptor(&descriptor_, SECURITY_DESCRIPTOR_REVISION) == 0 ||
        ::SetSecurityDescriptorOwner(&descriptor_, user, FALSE) == 0 ||
        ::SetSecurityDescriptorDacl(&descriptor_, TRUE, list, FALSE) == 0 ||
        ::SetSecurityDescriptorControl(&descriptor_, SE_DACL_PROTECTED, SE_DACL_PROTECTED) == 0) {
        return static_cast<int>(::GetLastError());
    }
    return 0;
}

SLUICE_INLINE int PrivateSecurity::check_owner(HANDLE file) noexcept {
    constexpr DWORD other = FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT;
    BY_HANDLE_FILE_INFORMATION information;
    if (::GetFileType(file) != FILE_TYPE_DISK) {
        return WSAEINVAL;
    }
    if (::GetFileInformationByHandle(file, &information) == 0) {
        return static_cast<int>(::GetLastError());
    }
    if ((information.dwFileAttributes & other) != 0) {
        return WSAEINVAL;
    }
    PSID owner = nullptr;
    PSECURITY_DESCRIPTOR memory = nullptr;
    const DWORD error = ::GetSecurityInfo(file, SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION, &owner,
                                          nullptr, nullptr, nullptr, &memory);
    if (error != ERROR_SUCCESS) {
        return static_cast<int>(error);
    }
    const bool own = owner != nullptr && is_own(owner);
    ::LocalFree(memory);
    return own ? 0 : ERROR_ACCESS_DENIED;
}

SLUICE_INLINE int PrivateSecurity::check_access(HANDLE file) noexcept {
    ACL* list = nullptr;
    PSECURITY_DESCRIPTOR memory = nullptr;
    const DWORD error = ::GetSecurityInfo(file, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, nullptr,
                                          nullptr, &list, nullptr, &memory);
    if (error != ERROR_SUCCESS) {
        return static_cast<int>(error);
    }
    // Without a list everybody is admitted.
    const bool is_private = list != nullptr && admits_nobody_else(list);
    ::LocalFree(memory);
    return is_private ? 0 : ERROR_ACCESS_DENIED;
}

/// The system itself does not count; Wine has it in every list.
SLUICE_INLINE bool PrivateSecurity::admits_nobody_else(ACL* list) noexcept {
    for (DWORD index = 0; index < list->AceCount; ++index) {
        void* entry = nullptr;
        if (::GetAce(list, index, &entry) == 0) {
            return false;
        }
        auto* const allowed = static_cast<ACCESS_ALLOWED_ACE*>(entry);
        if (allowed->Header.AceType == ACCESS_DENIED_ACE_TYPE) {
            continue;
        }
        if (allowed->Header.AceType != ACCESS_ALLOWED_ACE_TYPE) {
            return false;
        }
        const PSID who = &allowed->SidStart;
        if (!is_own(who) && ::IsWellKnownSid(who, WinLocalSystemSid) == 0 &&
            ::IsWellKnownSid(who, WinCreatorOwnerRightsSid) == 0) {
            return false;
        }
    }
    return true;
}

/// The flag opens a link itself, to be refused.
SLUICE_INLINE HANDLE open_to_append(const std::string& path, DWORD rights, DWORD sharing,
                                    DWORD disposition, SECURITY_ATTRIBUTES* security) noexcept {
    return ::CreateFileA(path.c_str(), FILE_APPEND_DATA | READ_CONTROL | rights, sharing, security,
                         disposition, FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT,
                         nullptr);
}

/// Makes a file private that is there, if it is ours and nobody has it open, who would keep the rights
/// that he has opened it with. What has become of it, its next opening sees.
SLUICE_INLINE void make_private(const std::string& path, PrivateSecurity& security) noexcept {
    const HANDLE file = open_to_append(path, WRITE_DAC, 0, OPEN_EXISTING, nullptr);
    if (file == INVALID_HANDLE_VALUE) {
        return;
    }
    const NativeHandlePtr owned(file);
    if (security.check_owner(file) == 0) {
        ::SetKernelObjectSecurity(file,
                                  DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION,
                                  security.descriptor());
    }
}

/// A new file is private from its first moment.
SLUICE_INLINE Result<HANDLE> open_or_create_private(const std::string& path,
                                                    PrivateSecurity& security) noexcept {
    constexpr DWORD shared = FILE_SHARE_READ | FILE_SHARE_WRITE;
    SECURITY_ATTRIBUTES attributes{sizeof attributes, security.descriptor(), FALSE};
    HANDLE file = open_to_append(path, 0, shared, CREATE_NEW, &attributes);
    int error = file == INVALID_HANDLE_VALUE ? static_cast<int>(::GetLastError()) : 0;
    if (error == ERROR_FILE_EXISTS) {
        make_private(path, security);
        file = open_to_append(path, 0, shared, OPEN_EXISTING, nullptr);
        error = file == INVALID_HANDLE_VALUE ? static_cast<int>(::GetLastError()) : 0;
    }
    return error == 0 ? Result<HANDLE>(file) : Result<HANDLE>::failure(error);
}

SLUICE_INLINE Result<std::FILE*> open_private_file(const std::string& path) noexcept {
    PrivateSecurity security;
    if (const int error = security.prepare(); error != 0) {
        return Result<std::FILE*>::failure(error);
    }
    const Result<HANDLE> opened = open_or_create_private(path, security);
    if (!opened.ok()) {
        return Result<std::FILE*>::failure(opened.error().value());
    }
    NativeHandlePtr handle(opened.value());
    // A new one, too: there are volumes without owners and rights, and names that are devices.
    int error = security.check_owner(handle.get());
    if (error == 0) {
        error = security.check_access(handle.get());
    }
    if (error != 0) {
        return Result<std::FILE*>::failure(error);
    }
    const int fd =
        ::_open_osfhandle(reinterpret_cast<std::intptr_t>(handle.get()), _O_APPEND | _O_NOINHERIT);
    if (fd < 0) {
        return Result<std::FILE*>::failure(WSAEMFILE);
    }
    static_cast<void>(handle.release());  // closed with the descriptor
    std::FILE* const file = ::_fdopen(fd, "a");
    if (file == nullptr) {
        ::_close(fd);
        return Result<std::FILE*>::failure(WSAEMFILE);
    }
    return file;
}

}  // namespace sluice::inline v0_1::detail::sys
