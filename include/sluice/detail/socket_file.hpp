// SocketFile: the file by which a Unix socket is found, from bind(2) until somebody removes it; and
// binding to one.
//
// It knows paths and inodes; neither servers nor loops.
#pragma once

#include <sluice/address.hpp>
#include <sluice/descriptor.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace sluice::inline v0_1::detail {

/// Owns the file of a socket: it is removed with it, unless another file has taken its place. While
/// the socket is open its inode cannot be given to another file, so remove before closing.
class SocketFile {
public:
    /// No file.
    SocketFile() noexcept = default;
    /// What is at `path` now; no file if that is no socket.
    explicit SocketFile(std::string path) noexcept;
    SocketFile(SocketFile&& other) noexcept
        : path_(std::move(other.path_)),
          device_(other.device_),
          inode_(other.inode_),
          mine_(std::exchange(other.mine_, false)) {}
    SocketFile& operator=(SocketFile&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(device_, other.device_);
        std::swap(inode_, other.inode_);
        std::swap(mine_, other.mine_);
        return *this;
    }
    ~SocketFile() { static_cast<void>(remove()); }

    /// Removes the file, once; nothing when it has gone or is another one by now.
    std::error_code remove() noexcept;
    /// Leaves it where it is.
    void release() noexcept { mine_ = false; }
    /// Where it is or was; empty for no file.
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    std::string path_;
    std::uint64_t device_ = 0;
    std::uint64_t inode_ = 0;
    bool mine_ = false;
};

/// True for an abstract name, which has no file.
[[nodiscard]] inline bool is_abstract(const SocketAddress& address) noexcept {
    return address.path().empty() || address.path().front() == '\0';
}

/// A stream socket bound to `address`, whose file nobody but those with `permissions` can ever open.
/// A file of a socket on which nobody listens gives way. Throws AddressError.
Descriptor bind_unix_socket(const SocketAddress& address, std::optional<unsigned> permissions);

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/socket_file.ipp>
#endif
