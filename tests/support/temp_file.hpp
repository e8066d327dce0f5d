// TempFile: a file on disk that has no name and goes with the object.
//
// It knows nothing of the library: what is sent of it is the test's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::test {

class TempFile {
public:
    /// With these bytes, open for reading and writing.
    explicit TempFile(std::string_view content = {});
    TempFile(const TempFile&) = delete;
    TempFile& operator=(const TempFile&) = delete;
    ~TempFile();

    [[nodiscard]] int fd() const noexcept { return fd_; }
    void close() noexcept;
    /// Shorter, or longer by a hole, which reads as zeros.
    void resize(std::int64_t size) const;
    void write_at(std::int64_t offset, std::string_view bytes) const;
    /// Where read(2) would go on.
    [[nodiscard]] std::int64_t position() const;
    void set_position(std::int64_t offset) const;
    /// How many descriptors of this process are open for it, its own included.
    [[nodiscard]] std::size_t descriptors() const;
    /// Another descriptor of the same file, opened anew with `flags` of open(2).
    [[nodiscard]] int reopen(int flags) const;

private:
    int fd_ = -1;
};

}  // namespace sluice::test
