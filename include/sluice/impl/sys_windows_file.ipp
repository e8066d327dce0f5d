// Files for Windows: what they are and reading them. A file is its handle, not a descriptor of the C
// library; of a FILE that is _get_osfhandle(_fileno(file)).
#pragma once

#include <sluice/impl/sys_windows.ipp>

#include <sluice/detail/sys.hpp>

#include <fcntl.h>
#include <io.h>
#include <sddl.h>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE int last_error() noexcept {
    return static_cast<int>(::GetLastError());
}

/// Whether reading is among the rights that the handle was opened with.
SLUICE_INLINE bool may_read(HANDLE file) noexcept {
    // A read of nothing, which leaves the position where it is.
    std::byte none{};
    DWORD count = 0;
    return ::ReadFile(file, &none, 0, &count, nullptr) != 0 ||
           ::GetLastError() != ERROR_ACCESS_DENIED;
}

SLUICE_INLINE Result<FileStatus> file_status(int fd) noexcept {
    // The lowest two bits of a handle are ignored by the system; here they tell of somebody who has
    // taken a descriptor of the C library for one.
    if (fd <= 0 || fd % 4 != 0) {
        return Result<FileStatus>::failure(ERROR_INVALID_HANDLE);
    }
    const HANDLE file = native_handle(fd);
    const DWORD type = ::GetFileType(file);
    if (type == FILE_TYPE_UNKNOWN && ::GetLastError() != NO_ERROR) {
        return Result<FileStatus>::failure(last_error());
    }
    FileStatus answer;
    if (type != FILE_TYPE_DISK) {
        return answer;
    }
    BY_HANDLE_FILE_INFORMATION information;
    if (::GetFileInformationByHandle(file, &information) == 0) {
        return Result<FileStatus>::failure(last_error());
    }
    answer.directory = (information.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    answer.regular = !answer.directory;
    answer.readable = answer.regular && may_read(file);
    answer.size = static_cast<std::int64_t>(std::uint64_t{information.nFileSizeHigh} << 32 |
                                            information.nFileSizeLow);
    return answer;
}

/// A file is opened anew, if it can be: reading at an offset moves the position, which is then nobody
/// else's.
SLUICE_INLINE Result<int> duplicate(int fd) noexcept {
    const HANDLE own = ::ReOpenFile(native_handle(fd), GENERIC_READ,
                                    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, 0);
    if (own != INVALID_HANDLE_VALUE) {
        return descriptor_of(own);
    }
    // No file, or opened for its owner alone.
    const HANDLE self = ::GetCurrentProcess();
    HANDLE copy = nullptr;
    if (::DuplicateHandle(self, native_handle(fd), self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS) ==
        0) {
        return Result<int>::failure(last_error());
    }
    return descriptor_of(copy);
}

SLUICE_INLINE IoResult sendfile(int, int, std::int64_t, std::size_t) noexcept {
    // TransmitFile completes later or blocks; it is no call for a socket that is ready.
    return IoResult::failure(WSAEOPNOTSUPP);
}

SLUICE_INLINE IoResult read_file(int file, std::int64_t offset, MutableBytes into,
                                 bool may_block) noexcept {
    if (!may_block) {
        return IoResult::would_block();  // Whether bytes are in memory Windows does not tell.
    }
    OVERLAPPED where{};
    where.Offset = static_cast<DWORD>(static_cast<std::uint64_t>(offset));
    where.OffsetHigh = static_cast<DWORD>(static_cast<std::uint64_t>(offset) >> 32);
    DWORD count = 0;
    if (::ReadFile(native_handle(file), into.data(), static_cast<DWORD>(clamped(into.size())),
                   &count, &where) != 0) {
        return std::size_t{count};
    }
    // A file that was opened for overlapped operations answers later.
    if (::GetLastError() == ERROR_IO_PENDING &&
        ::GetOverlappedResult(native_handle(file), &where, &count, TRUE) != 0) {
        return std::size_t{count};
    }
    return ::GetLastError() == ERROR_HANDLE_EOF ? IoResult(0) : IoResult::failure(last_error());
}

/// Lets nobody but its owner at the file; false if that is not possible.
SLUICE_INLINE bool make_private(HANDLE file) noexcept {
    // Protected (nothing is inherited): all to S-1-3-4, whoever is the owner.
    PSECURITY_DESCRIPTOR only_owner = nullptr;
    if (::ConvertStringSecurityDescriptorToSecurityDescriptorA(
            "D:P(A;;FA;;;S-1-3-4)", SDDL_REVISION_1, &only_owner, nullptr) == 0) {
        return false;
    }
    const bool done =
        ::SetKernelObjectSecurity(
            file, DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION, only_owner) != 0;
    ::LocalFree(only_owner);
    return done;
}

/// The error that speaks against writing to it, or 0.
SLUICE_INLINE int check_private(HANDLE file) noexcept {
    constexpr DWORD other = FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT;
    BY_HANDLE_FILE_INFORMATION information;
    if (::GetFileType(file) != FILE_TYPE_DISK) {
        return WSAEINVAL;
    }
    if (::GetFileInformationByHandle(file, &information) == 0) {
        return last_error();
    }
    if ((information.dwFileAttributes & other) != 0) {
        return WSAEINVAL;
    }
    return make_private(file) ? 0 : last_error();
}

SLUICE_INLINE Result<std::FILE*> open_private_file(const std::string& path) noexcept {
    // The flag opens a link itself, to be refused. WRITE_DAC is refused here unless the file is ours.
    const HANDLE opened = ::CreateFileA(
        path.c_str(), FILE_APPEND_DATA | WRITE_DAC, FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr,
        OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT, nullptr);
    if (opened == INVALID_HANDLE_VALUE) {
        return Result<std::FILE*>::failure(last_error());
    }
    if (const int error = check_private(opened); error != 0) {
        ::CloseHandle(opened);
        return Result<std::FILE*>::failure(error);
    }
    const int fd =
        ::_open_osfhandle(reinterpret_cast<std::intptr_t>(opened), _O_APPEND | _O_NOINHERIT);
    if (fd < 0) {
        ::CloseHandle(opened);
        return Result<std::FILE*>::failure(WSAEMFILE);
    }
    std::FILE* const file = ::_fdopen(fd, "a");
    if (file == nullptr) {
        ::_close(fd);
        return Result<std::FILE*>::failure(WSAEMFILE);
    }
    return file;
}

}  // namespace sluice::inline v0_1::detail::sys
