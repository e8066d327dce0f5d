// What the simulated system calls on a descriptor have in common: how each begins, and which faults
// hit those that move bytes. Private to sys_sim_*.cpp.
#pragma once

#include "support/sys_sim_machine.hpp"

#include <cerrno>
#include <optional>
#include <span>

namespace sluice::test {

/// What most calls on a descriptor begin with. `error` is set when the call fails at once.
struct SimDescriptorCall {
    SimDescriptorCall(SimCall which, int fd)
        : machine(SimMachine::current()), error(machine.enter(which)) {
        socket = machine.find(fd, to_string(which));
        if (socket == nullptr) {
            error = EBADF;
            return;
        }
        machine.settle_connect(*socket);
        if (error != 0) {
            socket->errors_given.insert(error);
        }
    }
    bool fault(unsigned per_mille) { return machine.fault(socket->random, per_mille); }
    int fail(int code) {
        socket->errors_given.insert(code);
        return code;
    }

    SimMachine& machine;
    SimSocket* socket = nullptr;
    int error;
};

/// A fault of recv or send: would-block, or the end of the connection, at once or in a while.
inline std::optional<IoResult> disturb(SimDescriptorCall& call, std::span<const int> errors) {
    SimMachine& machine = call.machine;
    const SimFaults& faults = machine.kernel.faults;
    SimEndpoint& endpoint = *call.socket->endpoint;
    if (machine.fault(endpoint.random, faults.spurious_block)) {
        return IoResult::would_block();
    }
    if (endpoint.is_reset || !machine.fault(endpoint.random, faults.stream_error)) {
        return {};
    }
    const int error = machine.one_of(endpoint.random, errors);
    // Want of memory is a call's; a connection does not remember it.
    const bool of_the_call = error == ENOBUFS || error == ENOMEM;
    if (endpoint.random.chance(500) && !of_the_call) {
        endpoint.break_connection(error, machine.some_delay(endpoint.random));
        return {};
    }
    endpoint.break_connection(error, {});
    endpoint.settle();
    endpoint.error = 0;
    return IoResult::failure(call.fail(error));
}

/// The state in which bytes can move; an errno otherwise, EAGAIN for "not yet".
inline int movable(const SimDescriptorCall& call) {
    if (call.error != 0) {
        return call.error;
    }
    if (call.socket->kind == SimSocket::Kind::connecting) {
        return EAGAIN;
    }
    return call.socket->kind == SimSocket::Kind::stream ? 0 : ENOTCONN;
}

}  // namespace sluice::test
