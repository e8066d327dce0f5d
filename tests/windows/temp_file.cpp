// TempFile on Windows: a handle of a file that goes with it. See support/temp_file.hpp.
#include "support/temp_file.hpp"

#include <array>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <windows.h>

namespace sluice::test {

namespace {

HANDLE handle_of(int fd) {
    return reinterpret_cast<HANDLE>(static_cast<std::intptr_t>(fd));
}

int checked_handle(HANDLE made, const char* what) {
    if (made == INVALID_HANDLE_VALUE) {
        throw std::system_error(static_cast<int>(::GetLastError()), std::system_category(), what);
    }
    return static_cast<int>(reinterpret_cast<std::intptr_t>(made));
}

void require(BOOL success, const char* what) {
    if (success == FALSE) {
        throw std::system_error(static_cast<int>(::GetLastError()), std::system_category(), what);
    }
}

}  // namespace

TempFile::TempFile(std::string_view content) {
    std::array<char, MAX_PATH> folder{};
    std::array<char, MAX_PATH> name{};
    ::GetTempPathA(folder.size(), folder.data());
    require(::GetTempFileNameA(folder.data(), "slu", 0, name.data()) != 0, "GetTempFileName");
    fd_ = checked_handle(
        ::CreateFileA(name.data(), GENERIC_READ | GENERIC_WRITE,
                      FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                      CREATE_ALWAYS, FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, nullptr),
        "CreateFile");
    write_at(0, content);
    set_position(0);
}

TempFile::~TempFile() {
    close();
}

void TempFile::close() noexcept {
    if (fd_ >= 0) {
        ::CloseHandle(handle_of(std::exchange(fd_, -1)));
    }
}

void TempFile::resize(std::int64_t size) const {
    const std::int64_t before = position();
    set_position(size);
    require(::SetEndOfFile(handle_of(fd_)), "SetEndOfFile");
    set_position(before);
}

void TempFile::write_at(std::int64_t offset, std::string_view bytes) const {
    while (!bytes.empty()) {
        OVERLAPPED where{};
        where.Offset = static_cast<DWORD>(offset);
        where.OffsetHigh = static_cast<DWORD>(offset >> 32);
        DWORD count = 0;
        require(::WriteFile(handle_of(fd_), bytes.data(), static_cast<DWORD>(bytes.size()), &count,
                            &where),
                "WriteFile");
        bytes.remove_prefix(count);
        offset += count;
    }
}

std::int64_t TempFile::position() const {
    LARGE_INTEGER position{};
    require(::SetFilePointerEx(handle_of(fd_), {}, &position, FILE_CURRENT), "SetFilePointerEx");
    return position.QuadPart;
}

void TempFile::set_position(std::int64_t offset) const {
    LARGE_INTEGER position{};
    position.QuadPart = offset;
    require(::SetFilePointerEx(handle_of(fd_), position, nullptr, FILE_BEGIN), "SetFilePointerEx");
}

std::size_t TempFile::descriptors() const {
    BY_HANDLE_FILE_INFORMATION own;
    require(::GetFileInformationByHandle(handle_of(fd_), &own), "GetFileInformationByHandle");
    std::size_t count = 0;
    constexpr int step = 4;
    constexpr int highest = 1 << 16;
    for (int number = step; number < highest; number += step) {
        BY_HANDLE_FILE_INFORMATION other;
        if (::GetFileType(handle_of(number)) == FILE_TYPE_DISK &&
            ::GetFileInformationByHandle(handle_of(number), &other) != 0 &&
            other.nFileIndexLow == own.nFileIndexLow &&
            other.nFileIndexHigh == own.nFileIndexHigh &&
            other.dwVolumeSerialNumber == own.dwVolumeSerialNumber) {
            ++count;
        }
    }
    return count;
}

int TempFile::reopen(int flags) const {
    const DWORD access = (flags & O_WRONLY) != 0 ? GENERIC_WRITE : GENERIC_READ;
    return checked_handle(::ReOpenFile(handle_of(fd_), access,
                                       FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, 0),
                          "ReOpenFile");
}

}  // namespace sluice::test
