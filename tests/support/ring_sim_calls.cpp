// The functions of detail/ring.hpp, over the rings of the simulated system. Linked in place of
// src/ring.cpp.
#include <sluice/detail/ring.hpp>

#include "support/ring_sim.hpp"

#include <cerrno>
#include <span>

namespace sluice::inline v0_1::detail {

using test::InSimKernel;
using test::SimCall;
using test::SimMachine;
using test::SimRing;
using test::SimRingEntry;
using test::SimSocket;

namespace {

std::error_code system_error_of(int code) noexcept {
    return {code, std::system_category()};
}

/// The errno with which a call that needs memory or descriptors fails, or 0.
int shortage(SimMachine& machine, SimCall call, std::span<const int> errors) {
    const int error = machine.enter(call);
    const bool short_of = machine.fault(machine.random, machine.kernel.faults.ring_shortage);
    return error == 0 && short_of ? machine.one_of(machine.random, errors) : error;
}

}  // namespace

struct Ring::State {
    SimRing ring;
};

Ring::Ring() noexcept = default;

Ring::~Ring() {
    close();
}

std::error_code Ring::open() noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    constexpr int errors[] = {EMFILE, ENFILE, ENOMEM};
    int error = shortage(machine, SimCall::ring_setup, errors);
    error = error == 0 && machine.full() ? EMFILE : error;
    if (error != 0) {
        machine.trace("ring_setup() failed: %d", error);
        return system_error_of(error);
    }
    auto socket = std::make_unique<SimSocket>();
    socket->kind = SimSocket::Kind::ring;
    const int fd = machine.add(std::move(socket));
    state_.reset(new State{SimRing(machine, fd)});
    machine.trace("ring_setup() = %d", fd);
    return {};
}

void Ring::close() noexcept {
    const InSimKernel inside;
    state_.reset();
}

std::error_code Ring::start() noexcept {
    const InSimKernel inside;
    constexpr int errors[] = {ENOMEM, EAGAIN};
    const int error = shortage(SimMachine::current(), SimCall::ring_start, errors);
    if (error == 0) {
        state_->ring.start();
    }
    return system_error_of(error);
}

RingMode Ring::mode() const noexcept {
    return RingMode::deferred;
}

int Ring::fd() const noexcept {
    return state_->ring.fd();
}

// ---- queueing ----

bool Ring::poll(int fd, std::uint32_t events, std::uint64_t token) noexcept {
    return state_->ring.queue(
        {.kind = SimRingEntry::Kind::poll, .fd = fd, .token = token, .events = events});
}

bool Ring::update_poll(std::uint64_t token, std::uint32_t events,
                       std::uint64_t own_token) noexcept {
    return state_->ring.queue({.kind = SimRingEntry::Kind::update,
                               .token = token,
                               .own_token = own_token,
                               .events = events});
}

bool Ring::cancel(std::uint64_t token, std::uint64_t own_token) noexcept {
    return state_->ring.queue(
        {.kind = SimRingEntry::Kind::cancel, .token = token, .own_token = own_token});
}

bool Ring::receive(int fd, std::uint64_t token) noexcept {
    return state_->ring.queue({.kind = SimRingEntry::Kind::receive, .fd = fd, .token = token});
}

bool Ring::send(int fd, Bytes bytes, std::uint64_t token) noexcept {
    return state_->ring.queue(
        {.kind = SimRingEntry::Kind::send, .fd = fd, .token = token, .bytes = bytes});
}

bool Ring::accept(int listener, std::uint64_t token) noexcept {
    return state_->ring.queue({.kind = SimRingEntry::Kind::accept, .fd = listener, .token = token});
}

bool Ring::read(int fd, MutableBytes into, std::uint64_t offset, std::uint64_t token) noexcept {
    return state_->ring.queue({.kind = SimRingEntry::Kind::read,
                               .fd = fd,
                               .token = token,
                               .into = into,
                               .offset = offset});
}

std::size_t Ring::queued() const noexcept {
    return state_->ring.queued();
}

void Ring::forget_queued() noexcept {
    state_->ring.forget_queued();
}

// ---- provided buffers ----

std::error_code Ring::provide_buffers() noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    constexpr int errors[] = {ENOMEM};
    if (const int error = shortage(machine, SimCall::ring_buffers, errors)) {
        // What connections hear that count on them.
        machine.errors_given_to_all.insert(ENOMEM);
        return system_error_of(error);
    }
    state_->ring.provide_buffers();
    return {};
}

bool Ring::has_buffers() const noexcept {
    return state_ != nullptr && state_->ring.has_buffers();
}

std::byte* Ring::buffer(std::int32_t number) const noexcept {
    return state_->ring.buffer(number);
}

void Ring::give_back(std::int32_t number) noexcept {
    const InSimKernel inside;
    state_->ring.give_back(number);
}

bool Ring::keeps_back() const noexcept {
    return state_->ring.keeps_back();
}

// ---- system calls ----

std::error_code Ring::submit() noexcept {
    const InSimKernel inside;
    return system_error_of(state_->ring.submit());
}

std::error_code Ring::submit_and_wait(Duration timeout) noexcept {
    const InSimKernel inside;
    return system_error_of(state_->ring.submit_and_wait(timeout));
}

void Ring::sleep(Duration duration) noexcept {
    SimMachine::current().time += duration;
}

std::size_t Ring::take(std::span<RingCompletion> into) noexcept {
    const InSimKernel inside;
    return state_->ring.take(into);
}

}  // namespace sluice::inline v0_1::detail
