// SendfileTest. See sendfile_fixture.hpp.
#include "support/sendfile_fixture.hpp"

#include <memory>
#include <stdexcept>
#include <utility>

namespace sluice::test {

void SendfileTest::TearDown() {
    if (!reads_ended_) {
        end_reads();
    }
    ConformanceTest::TearDown();
    for (const Sending& sending : sendings_) {
        EXPECT_LE(sending.calls, 1U) << "a callback came twice";
    }
}

void SendfileTest::end_reads() {
    reads_ended_ = true;
    Task<bool> ending = loop().shutdown_default_executor();
    const TaskHandle<bool> handle = loop().create_task(std::move(ending));
    ASSERT_TRUE(run_until([&] { return handle.done(); }));
    run_idle();
}

Sending& SendfileTest::send(Transport& to, int file, std::int64_t offset,
                            std::optional<std::int64_t> count, SendfileOptions options) {
    Sending& sending = sendings_.emplace_back();
    const auto inside = std::make_shared<bool>(true);
    to.sendfile(file, offset, count, options, [&sending, inside](const SendfileResult& end) {
        EXPECT_FALSE(*inside) << "called inside sendfile()";
        ++sending.calls;
        sending.result = end;
    });
    *inside = false;
    return sending;
}

bool SendfileTest::wait_for(const Sending& sending, bool peer_reads) {
    return run_until([&] {
        if (peer_reads && peer().is_open()) {
            peer().receive_available();
        }
        return sending.done();
    });
}

void SendfileTest::expect_sent(const Sending& sending, std::uint64_t byte_count) {
    ASSERT_TRUE(wait_for(sending, true));
    EXPECT_EQ(sending.result.error, std::error_code()) << sending.result.error.message();
    EXPECT_EQ(sending.result.sent, byte_count);
}

std::uint64_t SendfileTest::finish(Task<std::uint64_t> task) {
    const TaskHandle<std::uint64_t> handle = loop().create_task(std::move(task));
    const bool ended = run_until([&] {
        peer().receive_available();
        return handle.done();
    });
    if (!ended) {
        throw std::runtime_error("the task did not end");
    }
    return handle.result();
}

}  // namespace sluice::test
