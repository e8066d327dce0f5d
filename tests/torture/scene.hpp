// The scene of the scenarios: addresses, simulated peers and bytes that several of them use.
//
// It knows the simulated kernel only. What a scenario wants of its peers is the scenario's business.
#pragma once

#include <sluice/address.hpp>

#include "support/sys_sim.hpp"

#include <cstddef>
#include <vector>

namespace sluice::test {

class Stage;

/// Where peers listen, or the server does.
extern const SocketAddress peer_place;
extern const SocketAddress other_place;

std::vector<std::byte> filled(std::size_t size);

/// A peer that sends back what it gets and finishes when the other end has.
void echo(SimPeer peer);

/// A peer that swallows everything and closes at the end.
void swallow(SimPeer peer);

/// Connects `count` peers that send a greeting and finish once it has come back.
void send_greetings(Stage& stage, int count);

}  // namespace sluice::test
