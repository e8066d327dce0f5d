// TempFile: made in the system's folder for such files, and unlinked at once.
#include "support/temp_file.hpp"

#include "support/peer.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sluice::test {

namespace {

void require(bool success, const char* what) {
    if (!success) {
        throw std::system_error(errno, std::system_category(), what);
    }
}

}  // namespace

TempFile::TempFile(std::string_view content) {
    std::string name = testing::TempDir() + "/sluice-XXXXXX";
    fd_ = ::mkostemp(name.data(), O_CLOEXEC);
    require(fd_ >= 0, "mkostemp");
    ::unlink(name.c_str());
    write_at(0, content);
}

TempFile::~TempFile() {
    close();
}

void TempFile::close() noexcept {
    if (fd_ >= 0) {
        ::close(std::exchange(fd_, -1));
    }
}

void TempFile::resize(std::int64_t size) const {
    require(::ftruncate(fd_, size) == 0, "ftruncate");
}

void TempFile::write_at(std::int64_t offset, std::string_view bytes) const {
    while (!bytes.empty()) {
        const ssize_t count = ::pwrite(fd_, bytes.data(), bytes.size(), offset);
        require(count > 0, "pwrite");
        bytes.remove_prefix(static_cast<std::size_t>(count));
        offset += count;
    }
}

std::int64_t TempFile::position() const {
    return ::lseek(fd_, 0, SEEK_CUR);
}

void TempFile::set_position(std::int64_t offset) const {
    require(::lseek(fd_, offset, SEEK_SET) == offset, "lseek");
}

std::size_t TempFile::descriptors() const {
    struct stat own{};
    require(::fstat(fd_, &own) == 0, "fstat");
    const std::vector<int> open = open_descriptors();
    return static_cast<std::size_t>(std::ranges::count_if(open, [&own](int fd) {
        // By its path: another thread may be closing it, and using a number at that time is a race.
        const std::string path = "/dev/fd/" + std::to_string(fd);
        struct stat other{};
        return ::stat(path.c_str(), &other) == 0 && other.st_ino == own.st_ino &&
               other.st_dev == own.st_dev;
    }));
}

int TempFile::reopen(int flags) const {
    const int fd = ::open(("/dev/fd/" + std::to_string(fd_)).c_str(), flags | O_CLOEXEC);
    require(fd >= 0, "open");
    return fd;
}

}  // namespace sluice::test
