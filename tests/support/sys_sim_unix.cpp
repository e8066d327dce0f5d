// The functions of detail/sys_unix.hpp, simulated: files of sockets as names with an inode, and peers
// that are all the same process.
//
// A file appears when a socket is bound (sys_sim_calls.cpp) and stays until it is removed.
#include <sluice/detail/sys_unix.hpp>

#include "support/sys_sim_call.hpp"
#include "support/sys_sim_machine.hpp"

#include <cerrno>

namespace sluice::inline v0_1::detail::sys {

using test::InSimKernel;
using test::SimCall;
using test::SimMachine;
using test::SimSocketFile;

namespace {

/// The file, or null and an error.
SimSocketFile* file_at(SimCall call, const std::string& path, int& error) {
    SimMachine& machine = SimMachine::current();
    error = machine.enter(call);
    const auto found = machine.socket_files.find(path);
    if (error == 0 && found == machine.socket_files.end()) {
        error = ENOENT;
    }
    machine.trace("%s(%s) = %d", to_string(call), path.c_str(), error);
    return error == 0 ? &found->second : nullptr;
}

}  // namespace

Result<PathStatus> path_status(const std::string& path) noexcept {
    const InSimKernel inside;
    int error = 0;
    const SimSocketFile* const file = file_at(SimCall::path_status, path, error);
    if (file == nullptr) {
        return Result<PathStatus>::failure(error);
    }
    PathStatus status;
    status.is_socket = true;
    status.permissions = file->permissions;
    status.device = 1;
    status.inode = file->inode;
    return status;
}

std::error_code remove_path(const std::string& path) noexcept {
    const InSimKernel inside;
    int error = 0;
    if (file_at(SimCall::remove_path, path, error) != nullptr) {
        SimMachine::current().socket_files.erase(path);
    }
    return {error, std::system_category()};
}

std::error_code set_path_permissions(const std::string& path, unsigned permissions) noexcept {
    const InSimKernel inside;
    int error = 0;
    if (SimSocketFile* const file = file_at(SimCall::set_permissions, path, error)) {
        file->permissions = permissions;
    }
    return {error, std::system_category()};
}

std::error_code set_socket_permissions(int fd, unsigned) noexcept {
    const InSimKernel inside;
    // What the umask leaves of them is nothing here, so that the path's have to be set as well.
    return {test::SimDescriptorCall(SimCall::set_permissions, fd).error, std::system_category()};
}

Result<PeerCredentials> peer_credentials(int fd) noexcept {
    const InSimKernel inside;
    const test::SimDescriptorCall call(SimCall::peer_credentials, fd);
    if (call.error != 0) {
        return Result<PeerCredentials>::failure(call.error);
    }
    PeerCredentials credentials;
    credentials.pid = 4711;
    credentials.uid = 1000;
    credentials.gid = 100;
    return credentials;
}

}  // namespace sluice::inline v0_1::detail::sys
