// Files of Unix sockets: whose they are, when they go, how a new one comes to be.
#pragma once

#include <sluice/detail/socket_file.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_unix.hpp>
#include <sluice/error.hpp>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE SocketFile::SocketFile(std::string path) noexcept {
    const Result<sys::PathStatus> found = sys::path_status(path);
    if (found.ok() && found.value().is_socket) {
        path_ = std::move(path);
        device_ = found.value().device;
        inode_ = found.value().inode;
        mine_ = true;
    }
}

SLUICE_INLINE std::error_code SocketFile::remove() noexcept {
    if (!std::exchange(mine_, false)) {
        return {};
    }
    const Result<sys::PathStatus> found = sys::path_status(path_);
    std::error_code error;
    if (!found.ok()) {
        error = found.error();
    } else if (found.value().device == device_ && found.value().inode == inode_) {
        error = sys::remove_path(path_);
    }
    return error == std::errc::no_such_file_or_directory ? std::error_code{} : error;
}

// ---- binding ----

/// Who has the address that is in use; empty if the place is free now.
SLUICE_INLINE std::string make_room(const SocketAddress& address) {
    const std::string path(address.path());
    const Result<sys::PathStatus> found = sys::path_status(path);
    if (!found.ok()) {
        return found.error() == std::errc::no_such_file_or_directory ? ""
                                                                     : " by what cannot be seen";
    }
    if (!found.value().is_socket) {
        return " by a file that is no socket";
    }
    SocketFile file(path);
    const Result<int> opened = sys::open_socket(Family::unix_domain, sys::SocketType::stream);
    if (!opened.ok()) {
        file.release();
        throw AddressError(opened.error(), "cannot find out whether anybody listens on " + path,
                           path);
    }
    const Descriptor probe(opened.value());
    const Result<int> connected = sys::connect(probe.get(), address);
    // Whatever its kind, a socket that has been closed refuses (unix(7)); one that is alive accepts,
    // has a full backlog, is of another type or not for us.
    const bool gone = !connected.ok() && !connected.blocked() &&
                      connected.error() == std::errc::connection_refused;
    if (!gone) {
        file.release();
        return " by a server";
    }
    if (const std::error_code error = file.remove()) {
        throw AddressError(error, "cannot remove the stale socket " + path, path);
    }
    return "";
}

SLUICE_INLINE void bind_with_permissions(int fd, const SocketAddress& address,
                                         std::optional<unsigned> permissions) {
    const std::string shown = address.to_string();
    std::error_code error;
    if (permissions) {
        // Linux gives the file the mode of the socket (net/unix/af_unix.c, unix_bind), so there is
        // no moment in which more people could connect.
        error = sys::set_socket_permissions(fd, *permissions);
    }
    if (!error) {
        error = sys::bind(fd, address);
    }
    if (error == std::errc::address_in_use) {
        const std::string occupant =
            is_abstract(address) ? std::string(" by a server") : make_room(address);
        if (occupant.empty()) {
            error = sys::bind(fd, address);
        }
        if (error == std::errc::address_in_use) {
            throw AddressError(error, "Address '" + shown + "' is already in use" + occupant,
                               shown);
        }
    }
    if (error) {
        throw AddressError(error, "error while attempting to bind on address " + shown, shown);
    }
}

SLUICE_INLINE Descriptor bind_unix_socket(const SocketAddress& address,
                                          std::optional<unsigned> permissions) {
    const std::string shown = address.to_string();
    std::string path(address.path());
    const Result<int> opened = sys::open_socket(Family::unix_domain, sys::SocketType::stream);
    if (!opened.ok()) {
        throw AddressError(opened.error(), "cannot open a socket for " + shown, shown);
    }
    Descriptor socket(opened.value());
    bind_with_permissions(socket.get(), address, permissions);
    if (permissions) {
        // The umask may have taken some away.
        SocketFile file(std::move(path));
        const Result<sys::PathStatus> made = sys::path_status(file.path());
        std::error_code error = made.ok() ? std::error_code{} : made.error();
        if (!error && made.value().permissions != *permissions) {
            error = sys::set_path_permissions(file.path(), *permissions);
        }
        if (error) {
            throw AddressError(error, "cannot set the permissions of " + shown, shown);
        }
        file.release();
    }
    return socket;
}

}  // namespace sluice::inline v0_1::detail
