// The served folder: opens files below it and never one outside, and tells what they are like. Knows the file system; knows
// no HTTP but the names of media types.
#pragma once

#include <sluice/descriptor.hpp>

#include "answer.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace file_server {

struct OpenedFile {
    sluice::Descriptor descriptor;
    FileFacts facts;
    Status status = Status::not_found;  // ok, or why there is no descriptor
};

class Folder {
public:
    /// Throws std::system_error if `path` is no folder that can be read.
    explicit Folder(const std::string& path);

    /// Opens a regular file. `path` comes from decode_path(). Symbolic links are followed as long as they lead to a place
    /// inside the folder.
    [[nodiscard]] OpenedFile open(const std::string& path);

private:
    [[nodiscard]] int open_beneath(const char* path);
    [[nodiscard]] int open_and_check(const char* path) const;

    sluice::Descriptor folder_;
    std::string real_path_;
    bool kernel_checks_ = true;
};

/// Reads `size` bytes at `offset` if they are all in the page cache, and appends them. False, with `text` as it was, if
/// reading might wait for a disk, or fails.
bool append_cached(std::string& text, int file, std::uint64_t offset, std::size_t size);

/// The Content-Type for a file's name.
std::string_view media_type(std::string_view path);

}  // namespace file_server
