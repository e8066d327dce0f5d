// The io_uring backend without memory, over the fake ring. A program of its own, because it replaces
// operator new.
#include "support/counted_new.hpp"
#include "support/sim_server_fixture.hpp"

#include <cerrno>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class CompletionsMemory : public SimServerTest {
protected:
    CompletionsMemory() : SimServerTest(Backend::io_uring, {.buffers = 1}) {}
};

TEST_F(CompletionsMemory, bytes_that_cannot_be_kept_end_their_connection_and_leave_their_buffer) {
    serve(ServerOptions());
    SimPeer first = client();
    SimPeer second = client();
    pass(1ms);
    ASSERT_EQ(connections().size(), 2U);
    // Between the wait that receives and what it leads to.
    loop().call_soon([this] {
        EXPECT_EQ(kernel().ring_buffers_lent(), 1U);
        allocations_until_failure = 1;
        connection(0).transport().pause_reading();
        EXPECT_EQ(allocations_until_failure, 0U) << "nothing was allocated";
        allocations_until_failure = 0;
    });
    say(first, "lost");
    loop().run_once();
    EXPECT_EQ(kernel().ring_buffers_lent(), 0U);

    say(second, "hello");
    const std::uint64_t calls = kernel().calls(SimCall::ring_enter);
    pass(10ms);
    EXPECT_EQ(connection(1).received(), "hello");
    EXPECT_LT(kernel().calls(SimCall::ring_enter) - calls, 50U) << "it spins";

    EXPECT_FALSE(connection(0).lost()) << "it does not read";
    say(first, "more");
    connection(0).transport().resume_reading();
    pass(1ms);
    EXPECT_EQ(connection(0).received(), "");
    EXPECT_TRUE(connection(0).lost());
    EXPECT_EQ(connection(0).reason(), std::errc::not_enough_memory);
}

}  // namespace
}  // namespace sluice::test
