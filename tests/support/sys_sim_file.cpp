// The functions of detail/sys.hpp about files, simulated.
//
// A file is a size and a function that gives its bytes, so that one of many gigabytes costs nothing.
// Like a real one it may be cold, fail, and change its size at any time.
#include "support/sys_sim_call.hpp"

#include <algorithm>

namespace sluice::test {

namespace {

/// The most that one call moves: enough for every buffer here, and little for the host.
constexpr std::uint64_t most_bytes_at_once = 4 * 1024 * 1024;

SimFile* file_of(SimMachine& machine, int fd, const char* call) {
    SimSocket* descriptor = machine.find(fd, call);
    if (descriptor == nullptr) {
        return nullptr;
    }
    if (descriptor->file == nullptr) {
        machine.violation(std::string(call) + " of descriptor " + std::to_string(fd) +
                          ", which is no file");
    }
    return descriptor->file.get();
}

std::uint64_t bytes_left(const SimFile& file, std::int64_t offset) {
    const auto from = static_cast<std::uint64_t>(offset);
    return file.size - std::min(file.size, from);
}

/// EIO by chance.
bool fails(SimMachine& machine) {
    if (!machine.fault(machine.random, machine.kernel.faults.file_error)) {
        return false;
    }
    machine.file_errors_given.insert(EIO);
    return true;
}

}  // namespace

int SimKernel::open_file(std::uint64_t size,
                         std::function<void(std::uint64_t, MutableBytes)> fill) {
    const InSimKernel inside;
    auto descriptor = std::make_unique<SimSocket>();
    descriptor->kind = SimSocket::Kind::file;
    descriptor->file = std::make_shared<SimFile>();
    descriptor->file->size = size;
    descriptor->file->fill = std::move(fill);
    return machine_->add(std::move(descriptor));
}

void SimKernel::resize_file(int fd, std::uint64_t size) {
    if (SimFile* const file = file_of(*machine_, fd, "resize_file")) {
        file->size = size;
    }
}

}  // namespace sluice::test

namespace sluice::inline v0_1::detail::sys {

using test::InSimKernel;
using test::SimCall;
using test::SimDescriptorCall;
using test::SimFile;
using test::SimMachine;
using test::SimSocket;

Result<FileStatus> file_status(int fd) noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    const int error = machine.enter(SimCall::file_status);
    const SimSocket* const descriptor = machine.peek(fd);
    if (error != 0 || descriptor == nullptr) {
        return Result<FileStatus>::failure(error != 0 ? error : EBADF);
    }
    FileStatus status;
    status.readable = true;
    status.regular = descriptor->file != nullptr;
    status.size = status.regular ? static_cast<std::int64_t>(descriptor->file->size) : 0;
    return status;
}

Result<int> duplicate(int fd) noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    int error = machine.enter(SimCall::duplicate);
    if (error == 0 && machine.full()) {
        error = EMFILE;
    }
    const SimFile* const file = test::file_of(machine, fd, "duplicate");
    if (error != 0 || file == nullptr) {
        return Result<int>::failure(error != 0 ? error : EBADF);
    }
    auto copy = std::make_unique<SimSocket>();
    copy->kind = SimSocket::Kind::file;
    copy->file = machine.peek(fd)->file;
    return machine.add(std::move(copy));
}

IoResult sendfile(int fd, int file, std::int64_t offset, std::size_t count) noexcept {
    const InSimKernel inside;
    SimDescriptorCall call(SimCall::sendfile, fd);
    if (const int error = test::movable(call)) {
        return error == EAGAIN ? IoResult::would_block() : IoResult::failure(error);
    }
    SimMachine& machine = call.machine;
    SimFile* const source = test::file_of(machine, file, "sendfile");
    if (source == nullptr) {
        return IoResult::failure(EBADF);
    }
    constexpr int errors[] = {ECONNRESET, EPIPE, ETIMEDOUT, EHOSTUNREACH, ENOBUFS};
    test::SimEndpoint& endpoint = *call.socket->endpoint;
    if (const std::optional<IoResult> disturbed = test::disturb(call, errors)) {
        endpoint.refused_bytes = true;
        return *disturbed;
    }
    if (machine.fault(machine.random, machine.kernel.faults.unfit_file)) {
        // In the middle of a file it is an error like others.
        return IoResult::failure(call.fail(EINVAL));
    }
    if (test::fails(machine)) {
        return IoResult::failure(call.fail(EIO));
    }
    const std::uint64_t there = std::min<std::uint64_t>(count, test::bytes_left(*source, offset));
    std::size_t most = std::min(there, test::most_bytes_at_once);
    if (most == 0) {
        return 0U;
    }
    if (most > 1 && machine.fault(endpoint.random, machine.kernel.faults.short_write)) {
        most = endpoint.random.between(1, most - 1);
    }
    std::vector<std::byte> bytes(most);
    source->fill(static_cast<std::uint64_t>(offset), bytes);
    const Bytes piece(bytes);
    const IoResult sent = endpoint.transmit({&piece, 1}, most);
    endpoint.refused_bytes = sent.blocked() || (sent.ok() && sent.value() < count);
    machine.trace("sendfile(%d, %zu bytes at %lld) = %s %zu", fd, count,
                  static_cast<long long>(offset),
                  sent.ok()        ? ""
                  : sent.blocked() ? "would block"
                                   : "error",
                  sent.ok() ? sent.value() : 0);
    return sent;
}

IoResult read_file(int file, std::int64_t offset, MutableBytes into, bool may_block) noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    const int error = machine.enter(SimCall::read_file);
    SimFile* const source = test::file_of(machine, file, "read_file");
    if (error != 0 || source == nullptr) {
        machine.file_errors_given.insert(error);
        return IoResult::failure(error != 0 ? error : EBADF);
    }
    if (!may_block && machine.fault(machine.random, machine.kernel.faults.cold_file)) {
        return IoResult::would_block();
    }
    if (test::fails(machine)) {
        return IoResult::failure(EIO);
    }
    std::size_t most = std::min<std::uint64_t>(into.size(), test::bytes_left(*source, offset));
    if (most > 1 && machine.fault(machine.random, machine.kernel.faults.short_read)) {
        most = machine.random.between(1, most - 1);
    }
    source->fill(static_cast<std::uint64_t>(offset), into.first(most));
    machine.trace("read_file(%d, %zu bytes at %lld) = %zu", file, into.size(),
                  static_cast<long long>(offset), most);
    return most;
}

}  // namespace sluice::inline v0_1::detail::sys
