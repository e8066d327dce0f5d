// Files for Windows: what they are and reading them. A file is its handle, not a descriptor of the C
// library; of a FILE that is _get_osfhandle(_fileno(file)).
#pragma once

#include <sluice/impl/sys_windows.ipp>
#include <sluice/impl/sys_windows_private_file.ipp>

#include <sluice/detail/sys.hpp>

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
    ::SetLastError(NO_ERROR);
    const DWORD type = ::GetFileType(file);
    const int type_error = type == FILE_TYPE_UNKNOWN ? last_error() : NO_ERROR;
    if (type_error != NO_ERROR) {
        return Result<FileStatus>::failure(type_error);
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
    // Of its own: whoever opened the file may read it at the same time, and has the file's signalled state
    // changed by that.
    const NativeHandlePtr done(::CreateEventW(nullptr, TRUE, FALSE, nullptr));
    if (done == nullptr) {
        return IoResult::failure(last_error());
    }
    OVERLAPPED where{};
    where.Offset = static_cast<DWORD>(static_cast<std::uint64_t>(offset));
    where.OffsetHigh = static_cast<DWORD>(static_cast<std::uint64_t>(offset) >> 32);
    // With the low bit set nothing comes to a completion port that the file may have.
    where.hEvent = reinterpret_cast<HANDLE>(reinterpret_cast<std::uintptr_t>(done.get()) | 1);
    DWORD count = 0;
    int error = ::ReadFile(native_handle(file), into.data(),
                           static_cast<DWORD>(clamped(into.size())), &count, &where) != 0
                    ? 0
                    : last_error();
    if (error == ERROR_IO_PENDING) {
        // The file was opened for overlapped operations. The memory is the system's until it is done.
        ::WaitForSingleObject(done.get(), INFINITE);
        error = ::GetOverlappedResult(native_handle(file), &where, &count, FALSE) != 0
                    ? 0
                    : last_error();
    }
    if (error == ERROR_HANDLE_EOF) {
        return IoResult(0);
    }
    return error == 0 ? IoResult(std::size_t{count}) : IoResult::failure(error);
}

}  // namespace sluice::inline v0_1::detail::sys
