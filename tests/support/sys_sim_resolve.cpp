// Names of the simulated system: literals, the loopback, and what SimKernel::add_host was told.
//
// Answers are made outside of InSimKernel: getaddrinfo(3) too can run out of the program's memory.
#include <sluice/detail/sys.hpp>
#include <sluice/error.hpp>

#include "support/sys_sim_machine.hpp"

#include <charconv>

namespace sluice::inline v0_1::detail::sys {

using test::SimCall;
using test::SimMachine;

namespace {

std::optional<std::uint16_t> port_of(const std::string& service) {
    if (service.empty()) {
        return std::uint16_t{0};
    }
    if (service == "http") {
        return std::uint16_t{80};
    }
    std::uint16_t port = 0;
    const char* end = service.data() + service.size();
    const auto parsed = std::from_chars(service.data(), end, port);
    return parsed.ec == std::errc() && parsed.ptr == end ? std::optional(port) : std::nullopt;
}

void add_if_wanted(ResolveAnswer& answer, const ResolveRequest& request,
                   const SocketAddress& address, std::uint16_t port) {
    if (request.family == Family::unspecified || request.family == address.family()) {
        answer.addresses.push_back(address.with_port(port));
    }
}

void add_local(ResolveAnswer& answer, const ResolveRequest& request, std::uint16_t port) {
    const bool wildcard = request.passive && request.host.empty();
    add_if_wanted(answer, request, *SocketAddress::parse(wildcard ? "0.0.0.0" : "127.0.0.1", 0),
                  port);
    add_if_wanted(answer, request, *SocketAddress::parse(wildcard ? "::" : "::1", 0), port);
}

}  // namespace

ResolveAnswer resolve(const ResolveRequest& request) {
    SimMachine& machine = SimMachine::current();
    ResolveAnswer answer;
    if (const int error = machine.enter(SimCall::resolve)) {
        answer.error = {error, std::system_category()};
        return answer;
    }
    machine.trace("resolve(%s, %s)", request.host.c_str(), request.service.c_str());
    if (machine.fault(machine.random, machine.kernel.faults.resolver_failure)) {
        answer.error = Error::resolver_failed;
        return answer;
    }
    const std::optional<std::uint16_t> port = port_of(request.service);
    if (!port) {
        answer.error = Error::host_not_found;
        return answer;
    }
    const auto host = machine.hosts.find(request.host);
    if (request.host.empty() || request.host == "localhost") {
        add_local(answer, request, *port);
    } else if (const auto literal = SocketAddress::parse(request.host, *port)) {
        add_if_wanted(answer, request, *literal, *port);
    } else if (host != machine.hosts.end()) {
        machine.time += host->second.takes;
        answer.error = host->second.error;
        for (const SocketAddress& address : host->second.addresses) {
            add_if_wanted(answer, request, address, *port);
        }
    }
    if (!answer.error && answer.addresses.empty()) {
        answer.error = Error::host_not_found;
    }
    return answer;
}

NameAnswer name_of(const SocketAddress& address, bool numeric_host, bool numeric_service) {
    SimMachine& machine = SimMachine::current();
    NameAnswer answer;
    if (const int error = machine.enter(SimCall::name_of)) {
        answer.error = {error, std::system_category()};
        return answer;
    }
    const bool local = address.host() == "127.0.0.1" || address.host() == "::1";
    answer.host = local && !numeric_host ? "localhost" : address.host();
    answer.service =
        address.port() == 80 && !numeric_service ? "http" : std::to_string(address.port());
    return answer;
}

}  // namespace sluice::inline v0_1::detail::sys
