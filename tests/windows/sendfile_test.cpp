// What the IOCP backend does for transports that send files: TransmitFile, which completes when the file
// has been sent. What transports make of it is in conformance/sendfile_test.cpp.
#include <sluice/detail/iocp.hpp>
#include <sluice/detail/loop_core.hpp>
#include <sluice/detail/sendfile_completions.hpp>

#include "support/peer.hpp"
#include "support/recording_watcher.hpp"
#include "support/temp_file.hpp"
#include "windows/another_loop.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <io.h>

namespace {

/// What the system is said to be; none: what it is.
std::optional<bool> is_client;

}  // namespace

extern "C" {
// What the linker calls in place of sys::is_client_edition(), and that.
bool __real__ZN6sluice4v0_16detail3sys17is_client_editionEv();
bool __wrap__ZN6sluice4v0_16detail3sys17is_client_editionEv();

bool __wrap__ZN6sluice4v0_16detail3sys17is_client_editionEv() {
    return is_client ? *is_client : __real__ZN6sluice4v0_16detail3sys17is_client_editionEv();
}
}

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using detail::IoResult;
using detail::Readiness;

class IocpSendfile : public testing::Test {
protected:
    IocpSendfile() {
        // More than the system takes while the peer does not read.
        constexpr SocketBuffers small{.send_bytes = 16 * 1024, .receive_bytes = 16 * 1024};
        std::tie(ours_, theirs_) = connected_peers(small, small);
    }
    void SetUp() override {
        ASSERT_NE(core_.poller().sendfile_completions(), nullptr)
            << "an edition of Windows for clients; run.sh has Wine be one for servers";
    }
    void TearDown() override { core_.unwatch(watcher_, ours_.fd()); }

    std::error_code watch(Readiness interest = Readiness::writable) {
        return core_.watch(watcher_, ours_.fd(), interest);
    }
    IoResult send(std::int64_t offset, std::size_t count) {
        return core_.poller().sendfile_completions()->sendfile(ours_.fd(), source_, offset, count);
    }
    /// Begins, and waits for the result while the peer reads.
    IoResult send_all(std::int64_t offset, std::size_t count) {
        IoResult result = send(offset, count);
        while (result.blocked()) {
            core_.run_once(0ns);
            theirs_.receive_available();
            if (has(watcher_.take(), Readiness::writable)) {
                result = send(offset, count);
            }
        }
        return result;
    }

    static constexpr std::size_t file_bytes = 4 * 1024 * 1024;
    static constexpr std::int64_t file_end = file_bytes;
    std::string content_ = numbered();
    TempFile file_{content_};
    int source_ = file_.fd();
    detail::LoopCore core_{detail::make_iocp_poller()};
    RecordingWatcher watcher_;
    Peer ours_;
    Peer theirs_;

private:
    static std::string numbered() {
        std::string bytes;
        while (bytes.size() < file_bytes) {
            bytes += std::to_string(bytes.size()) + ' ';
        }
        bytes.resize(file_bytes);
        return bytes;
    }
};

TEST_F(IocpSendfile, a_part_of_a_file_arrives_and_is_told_when_it_has_been_sent) {
    ASSERT_FALSE(watch());
    constexpr std::size_t count = 1'000'000;
    const IoResult sent = send_all(12'345, count);
    ASSERT_TRUE(sent.ok());
    EXPECT_EQ(sent.value(), count);
    while (theirs_.received().size() < count) {
        ASSERT_TRUE(wait_readable(theirs_.fd()));
        theirs_.receive_available();
    }
    EXPECT_TRUE(theirs_.received() == content_.substr(12'345, count));
}

TEST_F(IocpSendfile, what_is_under_way_is_not_writable_and_is_not_begun_again) {
    ASSERT_FALSE(watch());
    ASSERT_TRUE(send(0, file_bytes).blocked());
    for (int turn = 0; turn < 10; ++turn) {
        core_.run_once(0ns);
        EXPECT_EQ(watcher_.take(), Readiness::none);
        EXPECT_TRUE(send(0, file_bytes).blocked());
    }
    EXPECT_EQ(send_all(0, file_bytes).value(), file_bytes);
    theirs_.receive_available();
    EXPECT_TRUE(theirs_.received() == content_);
}

TEST_F(IocpSendfile, the_result_is_told_of_until_somebody_takes_it) {
    ASSERT_FALSE(watch());
    ASSERT_TRUE(send(0, 10).blocked());
    core_.run_once(std::nullopt);
    EXPECT_EQ(watcher_.take(), Readiness::writable);
    ASSERT_FALSE(watch(Readiness::readable));
    core_.run_once(0ns);
    EXPECT_EQ(watcher_.take(), Readiness::none);
    ASSERT_FALSE(watch());
    core_.run_once(0ns);
    EXPECT_EQ(watcher_.take(), Readiness::writable);
    EXPECT_EQ(send(0, 10).value(), 10U);
    // The next one is another.
    EXPECT_EQ(send_all(10, 5).value(), 5U);
}

TEST_F(IocpSendfile, room_is_told_of_again_once_the_result_has_been_taken) {
    ASSERT_FALSE(watch(Readiness::both));
    EXPECT_EQ(send_all(0, file_bytes).value(), file_bytes);
    // The poll that is under way meanwhile is for input alone.
    core_.run_once(std::nullopt);
    EXPECT_EQ(watcher_.take(), Readiness::writable);
}

TEST_F(IocpSendfile, bytes_that_arrive_meanwhile_are_told_of) {
    ASSERT_FALSE(watch(Readiness::writable | Readiness::received));
    ASSERT_TRUE(send(0, file_bytes).blocked());
    theirs_.send("x");
    core_.run_once(std::nullopt);
    EXPECT_EQ(watcher_.take(), Readiness::received);
}

TEST_F(IocpSendfile, behind_the_end_of_the_file_nothing_is_sent) {
    ASSERT_FALSE(watch());
    const IoResult sent = send_all(file_end, 1);
    ASSERT_TRUE(sent.ok());
    EXPECT_EQ(sent.value(), 0U);
}

TEST_F(IocpSendfile, a_file_that_is_shorter_than_asked_for_ends_there) {
    ASSERT_FALSE(watch());
    std::int64_t offset = file_end - 1000;
    for (std::size_t count = 1; count != 0;) {
        count = send_all(offset, 5000).value();
        offset += static_cast<std::int64_t>(count);
    }
    EXPECT_EQ(offset, file_end);
}

TEST_F(IocpSendfile, more_than_fits_its_count_is_not_a_little) {
    ASSERT_FALSE(watch());
    constexpr std::size_t many = (std::size_t{1} << 32) + 10;
    EXPECT_EQ(send_all(file_end - 1000, many).value(), 1000U);
}

TEST_F(IocpSendfile, what_fails_part_way_does_not_look_refused) {
    // Linux reads this file in steps of 8 bytes and calls other numbers invalid. To Wine it is a file on
    // drive Z.
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stepwise(
        std::fopen("Z:\\proc\\self\\pagemap", "rb"), std::fclose);
    if (stepwise == nullptr) {
        GTEST_SKIP() << "there is no such file but under Wine";
    }
    source_ = static_cast<int>(::_get_osfhandle(::_fileno(stepwise.get())));
    ASSERT_FALSE(watch());
    const IoResult failed = send_all(0, 1'000'001);
    ASSERT_FALSE(failed.ok());
    // As a refusal it would have the file sent once more, by other means.
    EXPECT_EQ(failed.error(), std::errc::io_error);
    EXPECT_FALSE(theirs_.received().empty());
}

TEST_F(IocpSendfile, a_reset_is_its_result) {
    ASSERT_FALSE(watch());
    ASSERT_TRUE(send(0, file_bytes).blocked());
    theirs_.reset();
    IoResult result = IoResult::would_block();
    while (result.blocked()) {
        core_.run_once(std::nullopt);
        result = send(0, file_bytes);
    }
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error(), std::errc::connection_reset);
}

TEST_F(IocpSendfile, who_stops_watching_gives_up_what_is_under_way) {
    ASSERT_FALSE(watch());
    ASSERT_TRUE(send(0, file_bytes).blocked());
    core_.run_once(0ns);
    core_.unwatch(watcher_, ours_.fd());
    core_.run_once(0ns);
    EXPECT_EQ(watcher_.take(), Readiness::none);
    ours_.close();
    while (!theirs_.saw_end() && theirs_.error() == 0) {
        ASSERT_TRUE(wait_readable(theirs_.fd()));
        theirs_.receive_available();
    }
    EXPECT_LT(theirs_.received().size(), file_bytes);
    EXPECT_TRUE(content_.starts_with(theirs_.received()));
}

TEST_F(IocpSendfile, a_backend_that_goes_gives_up_what_is_under_way) {
    std::unique_ptr<detail::Poller> poller = detail::make_iocp_poller();
    ASSERT_FALSE(poller->add(watcher_, ours_.fd(), Readiness::writable));
    ASSERT_TRUE(
        poller->sendfile_completions()->sendfile(ours_.fd(), file_.fd(), 0, file_bytes).blocked());
    // It waits for the end of what it has begun, which the peer will not bring about.
    poller.reset();
    ours_.close();
    while (!theirs_.saw_end() && theirs_.error() == 0) {
        ASSERT_TRUE(wait_readable(theirs_.fd()));
        theirs_.receive_available();
    }
    EXPECT_LT(theirs_.received().size(), file_bytes);
}

TEST_F(IocpSendfile, an_edition_for_clients_has_others_to_send_files) {
    is_client = true;
    EXPECT_EQ(detail::make_iocp_poller()->sendfile_completions(), nullptr);
    is_client = false;
    EXPECT_NE(detail::make_iocp_poller()->sendfile_completions(), nullptr);
    is_client.reset();
}

TEST_F(IocpSendfile, what_is_not_watched_has_to_become_writable_first) {
    EXPECT_TRUE(send(0, 10).blocked());
    ASSERT_FALSE(watch());
    core_.run_once(std::nullopt);
    EXPECT_EQ(watcher_.take(), Readiness::writable);
    EXPECT_EQ(send_all(0, 10).value(), 10U);
}

TEST_F(IocpSendfile, a_socket_that_completes_for_another_loop_is_not_for_it) {
    const auto other = let_another_loop_have(ours_.fd(), Readiness::received);
    ASSERT_FALSE(watch());
    const IoResult refused = send(0, 10);
    ASSERT_FALSE(refused.blocked());
    EXPECT_EQ(refused.error(), std::errc::operation_not_supported);
    // It goes on with polls.
    core_.run_once(std::nullopt);
    EXPECT_EQ(watcher_.take(), Readiness::writable);
}

}  // namespace
}  // namespace sluice::test
