// A ring's life over the fake ring: what refusals of its set-up lead to, and that everything under way ends
// with the loop or the transports, at any moment.
#include <sluice/event_loop.hpp>

#include "support/sys_sim.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>

namespace sluice::test {
namespace {

// ---- set-up ----

TEST(RingSetUp, that_the_kernel_refuses_leads_to_epoll) {
    for (const int error : {EPERM, ENOSYS, EACCES, EOPNOTSUPP, EINVAL}) {
        SimKernel kernel;
        kernel.fail_call(SimCall::ring_setup, 1, error);
        const EventLoop loop(Backend::io_uring);
        EXPECT_STREQ(loop.backend_name(), "epoll");
        EXPECT_THAT(loop.backend_report(), testing::HasSubstr("instead of io_uring: "));
    }
}

TEST(RingSetUp, that_fails_for_want_of_something_is_an_error) {
    for (const int error : {EMFILE, ENFILE, ENOMEM}) {
        SimKernel kernel;
        kernel.fail_call(SimCall::ring_setup, 1, error);
        try {
            const EventLoop loop(Backend::io_uring);
            ADD_FAILURE() << loop.backend_report();
        } catch (const std::system_error& failure) {
            EXPECT_EQ(failure.code().value(), error);
        }
        EXPECT_EQ(kernel.open_descriptors(), 0U);
    }
}

TEST(RingSetUp, without_buffers_leads_to_a_ring_that_waits_only) {
    SimKernel kernel;
    kernel.fail_call(SimCall::ring_buffers, 1, ENOMEM);
    const EventLoop loop(Backend::io_uring);
    EXPECT_STREQ(loop.backend_name(), "io_uring");
    EXPECT_THAT(loop.backend_report(), testing::HasSubstr("no multishot receive"));
}

// ---- the end ----

/// An echo server, its clients in the middle of everything, for as many iterations as are wanted.
class Scene {
public:
    Scene() : loop_(std::make_unique<EventLoop>(Backend::io_uring)) {
        kernel_.set_capacity(2000, 2000);
        kernel_.ring_sizes.completions = 8;
        kernel_.faults.ring_portion = 500;
        kernel_.faults.reorder = 500;
        const SocketAddress place = SocketAddress::parse("127.0.0.1", 9000).value();
        server_ = loop_->run_until_complete(
            loop_->create_server([this] { return make_echo(); }, "127.0.0.1", 9000));
        for (std::uint16_t number = 0; number < 4; ++number) {
            peers_.push_back(kernel_.connect_peer(
                place, SocketAddress::parse("10.0.0.1", static_cast<std::uint16_t>(40000 + number))
                           .value()));
            SimPeer& peer = peers_.back();
            peer.on_readable([](SimPeer readable) { static_cast<void>(readable.receive(300)); });
        }
    }

    void run(std::size_t iterations) {
        const std::string text(1500, 'x');
        for (std::size_t number = 0; number < iterations; ++number) {
            for (SimPeer& peer : peers_) {
                static_cast<void>(peer.send(as_bytes(text)));
            }
            loop_->run_once(std::chrono::microseconds(1));
        }
    }
    void abort_all() {
        for (const Ref<Transport>& transport : transports_) {
            transport->abort();
        }
    }
    void destroy() {
        server_.reset();
        loop_.reset();
        transports_.clear();
    }
    [[nodiscard]] std::size_t operations() const { return kernel_.ring_operations(); }
    [[nodiscard]] EventLoop& loop() { return *loop_; }
    [[nodiscard]] Server& server() { return *server_; }
    [[nodiscard]] SimKernel& kernel() { return kernel_; }

private:
    class Echo final : public Protocol {
    public:
        explicit Echo(Scene& scene) : scene_(scene) {}
        void connection_made(Transport& transport) override {
            transport_ = &transport;
            scene_.transports_.emplace_back(&transport);
        }
        void data_received(Bytes data) override { transport_->write(data); }
        void pause_writing() override { transport_->pause_reading(); }
        void resume_writing() override { transport_->resume_reading(); }

    private:
        Scene& scene_;
        Transport* transport_ = nullptr;
    };
    std::unique_ptr<Protocol> make_echo() { return std::make_unique<Echo>(*this); }

    SimKernel kernel_;
    std::unique_ptr<EventLoop> loop_;
    Ref<Server> server_;
    std::vector<SimPeer> peers_;
    std::vector<Ref<Transport>> transports_;
};

TEST(RingEnd, the_loop_may_be_destroyed_at_any_moment) {
    std::size_t most_operations = 0;
    for (std::size_t iterations = 0; iterations < 40; ++iterations) {
        Scene scene;
        scene.run(iterations);
        most_operations = std::max(most_operations, scene.operations());
        scene.destroy();
        EXPECT_THAT(scene.kernel().violations(), testing::IsEmpty()) << iterations;
        EXPECT_EQ(scene.kernel().open_descriptors(), 0U) << iterations;
    }
    EXPECT_GT(most_operations, 4U);
}

TEST(RingEnd, transports_may_be_aborted_at_any_moment) {
    for (std::size_t iterations = 0; iterations < 40; ++iterations) {
        Scene scene;
        scene.run(iterations);
        for (const bool inside : {true, false}) {
            if (inside) {
                scene.loop().call_soon([&] { scene.abort_all(); });
                scene.run(3);
            }
            scene.abort_all();
        }
        scene.server().close();
        scene.run(3);
        EXPECT_EQ(scene.operations(), 1U) << "that of the wake-up descriptor";
        EXPECT_EQ(scene.kernel().ring_buffers_lent(), 0U);
        scene.destroy();
        EXPECT_THAT(scene.kernel().violations(), testing::IsEmpty()) << iterations;
        EXPECT_EQ(scene.kernel().open_descriptors(), 0U) << iterations;
    }
}

}  // namespace
}  // namespace sluice::test
