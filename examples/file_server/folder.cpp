// Opens files below one folder: see folder.hpp.
#include "folder.hpp"

#include "http_fields.hpp"
#include "system.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace file_server {

namespace {

// O_NONBLOCK: opening a named pipe must not wait for its other end. It means nothing for regular files.
constexpr int open_flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

// A file may claim any time; what does not fit into nanoseconds since 1970 becomes the first or last that does.
std::int64_t in_nanoseconds(const timespec& time) {
    constexpr std::int64_t limit_s = 9'000'000'000;
    return std::clamp<std::int64_t>(time.tv_sec, -limit_s, limit_s) * 1'000'000'000 + time.tv_nsec;
}

struct MediaType {
    std::string_view extension;
    std::string_view type;
};

constexpr std::array<MediaType, 32> media_types = {{
    {"avif", "image/avif"},
    {"bin", "application/octet-stream"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/x-icon"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"md", "text/markdown; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"ogg", "audio/ogg"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"ttf", "font/ttf"},
    {"txt", "text/plain; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xml", "application/xml"},
    {"zip", "application/zip"},
}};

// Who asks for a name that does not exist and who asks for one outside learn the same.
Status status_for(int error) {
    switch (error) {
        case EACCES:
        case EPERM:
            return Status::forbidden;
        case ENOENT:
        case ENOTDIR:
        case ENAMETOOLONG:
        case ELOOP:
        case EXDEV:
        case ENXIO:
            return Status::not_found;
        default:
            return Status::unavailable;
    }
}

}  // namespace

Folder::Folder(const std::string& path)
    : folder_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr),
                                                           &std::free);
    if (!folder_ || !real) {
        throw std::system_error(errno, std::generic_category(), path);
    }
    real_path_ = real.get();
    if (!real_path_.ends_with('/')) {
        real_path_ += '/';
    }
}

OpenedFile Folder::open(const std::string& path) {
    OpenedFile file;
    const int fd = open_beneath(path.c_str());
    file.descriptor = sluice::Descriptor(fd);
    struct stat status{};
    if (fd < 0 || fstat(fd, &status) != 0) {
        file.status = status_for(errno);
        return file;
    }
    if (!S_ISREG(status.st_mode)) {
        return file;
    }
    file.status = Status::ok;
    file.facts.size = static_cast<std::uint64_t>(status.st_size);
    file.facts.modified_ns = in_nanoseconds(modified(status));
    file.facts.type = media_type(path);
    return file;
}

int Folder::open_beneath(const char* path) {
    if (kernel_checks_) {
        const int fd = open_inside(folder_.get(), path, open_flags);
        if (fd >= 0 || errno != ENOSYS) {
            return fd;
        }
        kernel_checks_ = false;
    }
    return open_and_check(path);
}

// Opens first and asks then where that has led: what the descriptor refers to does not change any more.
int Folder::open_and_check(const char* path) const {
    const int fd = openat(folder_.get(), path, open_flags);
    if (fd < 0) {
        return fd;
    }
    if (!place_of(fd).starts_with(real_path_)) {
        ::close(fd);
        errno = EXDEV;
        return -1;
    }
    return fd;
}

bool append_cached(std::string& text, int file, std::uint64_t offset, std::size_t size) {
    const std::size_t before = text.size();
    text.resize(before + size);
    if (read_cached(file, text.data() + before, size, offset) !=
        static_cast<std::ptrdiff_t>(size)) {
        text.resize(before);
        return false;
    }
    return true;
}

std::string_view media_type(std::string_view path) {
    const std::string_view name = path.substr(path.find_last_of('/') + 1);
    const std::size_t dot = name.find_last_of('.');
    const std::string_view extension = dot == std::string_view::npos ? "" : name.substr(dot + 1);
    const auto* const found = std::find_if(
        media_types.begin(), media_types.end(),
        [&](const MediaType& entry) { return equals_ignoring_case(entry.extension, extension); });
    return found == media_types.end() ? "application/octet-stream" : found->type;
}

}  // namespace file_server
