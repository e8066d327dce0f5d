// G11 of reliability.md: connections that come and go leave nothing behind, by the process's own
// size.
//
// A thousand rounds by default, a tenth of that with TLS. SLUICE_SOAK_ROUNDS asks for more, e.g.
// 1000000. Not built with a sanitizer, whose own memory grows; there LeakSanitizer looks for what is
// lost.
#include <sluice/limits.hpp>

#include "support/conformance.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include <unistd.h>

namespace sluice::test {
namespace {

std::size_t rounds_of(TransportKind transport) {
    const char* wanted = std::getenv("SLUICE_SOAK_ROUNDS");
    const std::size_t rounds = wanted == nullptr ? 1000 : std::strtoull(wanted, nullptr, 10);
    return is_plain(transport) ? rounds : rounds / 10;
}

/// proc(5): the second figure of statm is the pages in memory.
std::size_t resident_bytes() {
    std::size_t size = 0;
    std::size_t resident = 0;
    std::ifstream("/proc/self/statm") >> size >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

class Soak : public LoopTest, public testing::WithParamInterface<ConformanceCase> {
protected:
    Soak() : LoopTest(GetParam().backend) {}

    /// A connection that is accepted, echoes a message and ends in one of three ways.
    void live_once(std::size_t round) {
        Recorder recorder;
        TransportPair pair(loop(), GetParam().transport, GetParam().protocol, recorder);
        const auto serving = [&pair](auto&& done) {
            return [&pair, done] {
                pair.serve_peer();
                return done();
            };
        };
        recorder.on_data = [&](Bytes bytes) { recorder.transport().write(bytes); };
        pair.start({.via = Via::server});
        ASSERT_TRUE(run_until([&] { return pair.ready(); }));
        pair.peer().send("echo");
        ASSERT_TRUE(run_until([&] {
            pair.peer().receive_available();
            return pair.peer().received() == "echo";
        }));
        switch (round % 3) {
            case 0:
                pair.peer_resets();
                break;
            case 1:
                recorder.transport().close();
                break;
            default:
                recorder.transport().abort();
                break;
        }
        ASSERT_TRUE(run_until(serving([&] { return recorder.lost(); })));
        recorder.forget_transport();
        pair.close_server();
        run_idle();
        EXPECT_EQ(recorder.destroyed(), recorder.created());
    }
};

INSTANTIATE_TEST_SUITE_P(Every, Soak, testing::ValuesIn(conformance_cases(ProtocolKind::simple)),
                         case_name);

TEST_P(Soak, rel_G11_many_rounds_of_connecting_and_closing_leave_the_process_as_large_as_it_was) {
    const std::size_t rounds = rounds_of(GetParam().transport);
    // Each buffer of a ring is in memory once it has been used.
    const std::size_t first_rounds = GetParam().backend == Backend::io_uring
                                         ? std::max(rounds / 4, limits::ring_buffers)
                                         : rounds / 4;
    for (std::size_t round = 0; round < first_rounds && !HasFailure(); ++round) {
        live_once(round);
    }
    const std::size_t before = resident_bytes();
    for (std::size_t round = 0; round < rounds && !HasFailure(); ++round) {
        live_once(round);
    }
    const std::size_t after = resident_bytes();
    // A transport or an SSL object lost per round would show; what malloc keeps of OpenSSL's many
    // small blocks, a quarter of a mebibyte and then no more, would not.
    const std::size_t noise = (is_plain(GetParam().transport) ? 128 : 512) * 1024;
    EXPECT_LE(after, before + noise) << before << " bytes before, " << after << " after";
}

}  // namespace
}  // namespace sluice::test
