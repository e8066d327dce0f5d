// Stage: the kernel and loop of one scenario, and the protocols that scenarios share.
//
// It runs a coroutine to its end and notices when nothing is left that could end it. Protocols count
// what happens to them, so that "made but never lost" is seen.
#pragma once

#include <sluice/event_loop.hpp>

#include "support/sys_sim.hpp"

#include <memory>
#include <string>
#include <vector>

namespace sluice::test {

struct HungError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Stage {
public:
    explicit Stage(SimKernel& sim) : kernel(sim) {}

    /// Drives the loop until the task is done, and gives what it ended with. Throws HungError when
    /// nothing is left to wait for, or it takes an hour.
    void play(Task<void> task);

    SimKernel& kernel;
    EventLoop loop;
    int made = 0;
    int lost = 0;
    std::uint64_t received = 0;
    bool goal = false;

private:
    void check_time() const;
};

/// What every protocol of the scenarios does: it keeps its transport and completes a future when it
/// is lost.
template <class Base>
class Actor : public Base {
public:
    explicit Actor(Stage& stage) : stage_(stage), lost_(stage.loop.create_future<void>()) {}

    void connection_made(Transport& transport) override {
        ++stage_.made;
        transport_ = &transport;
    }
    void connection_lost(std::error_code reason) override {
        ++stage_.lost;
        reason_ = reason;
        transport_ = nullptr;
        if (!lost_.done()) {
            lost_.set_result();
        }
    }
    /// For one that takes over from another: it is not told of a connection_made.
    void take_over(Transport& transport) noexcept { transport_ = &transport; }
    [[nodiscard]] const Future<void>& lost() const noexcept { return lost_; }
    [[nodiscard]] std::error_code reason() const noexcept { return reason_; }

protected:
    Stage& stage_;
    Transport* transport_ = nullptr;

private:
    Future<void> lost_;
    std::error_code reason_;
};

/// Sends back what it receives and closes when the peer has finished.
class EchoActor : public Actor<Protocol> {
public:
    using Actor::Actor;
    void data_received(Bytes data) override {
        stage_.received += data.size();
        transport_->write(data);
    }
};

/// The same with a buffer of its own.
class RoomyEchoActor : public Actor<BufferedProtocol> {
public:
    using Actor::Actor;
    MutableBytes get_buffer(std::size_t) override { return room_; }
    void buffer_updated(std::size_t count) override {
        stage_.received += count;
        transport_->write(Bytes(room_).first(count));
    }

private:
    std::array<std::byte, 700> room_{};
};

/// Counts what it receives and closes after `expected` bytes.
class SinkActor : public Actor<Protocol> {
public:
    SinkActor(Stage& stage, std::uint64_t expected) : Actor(stage), expected_(expected) {}
    void data_received(Bytes data) override {
        got_ += data.size();
        stage_.received += data.size();
        if (got_ >= expected_) {
            transport_->close();
        }
    }
    [[nodiscard]] std::uint64_t got() const noexcept { return got_; }

private:
    std::uint64_t expected_;
    std::uint64_t got_ = 0;
};

}  // namespace sluice::test
