// RawEnd: an end of a connection that is not the library but a simulated peer.
//
// It sends the pattern, checks what it receives, and stops reading, ends and resets as its plan
// says. It acts while the loop waits, as another process would.
#pragma once

#include "simulation/pattern.hpp"
#include "simulation/program.hpp"
#include "simulation/world.hpp"

namespace sluice::test {

class RawEnd {
public:
    RawEnd(World& world, std::size_t connection, std::size_t index, const EndPlan& plan);

    void connected(SimPeer peer);
    /// Reads whatever comes from now on.
    void drain();
    void close();

    [[nodiscard]] bool alive() const { return peer_ && peer_.open() && !peer_.broken(); }
    /// Has not finished, closed or broken: more might come from it.
    [[nodiscard]] bool finished() const noexcept { return finished_; }
    [[nodiscard]] bool was_connected() const noexcept { return static_cast<bool>(peer_); }
    [[nodiscard]] bool saw_eof() const { return peer_ && peer_.at_end(); }
    [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
    [[nodiscard]] std::uint64_t received() const noexcept { return received_; }

private:
    void perform(const Action& action);
    void read(bool on);
    void take();

    World& world_;
    std::size_t connection_;
    std::size_t index_;
    const EndPlan& plan_;
    Pattern outgoing_;
    Pattern incoming_;
    SimPeer peer_;
    bool finished_ = false;
    bool end_checked_ = false;
    std::uint64_t sent_ = 0;
    std::uint64_t received_ = 0;
};

}  // namespace sluice::test
