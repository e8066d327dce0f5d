// Unix sockets on the simulated system: failures that a real one cannot be made to have, and waiting
// that costs no time.
#include "support/loop_fixture.hpp"
#include "support/sys_sim.hpp"

#include <cerrno>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct KernelFirst {
    SimKernel kernel;
};

// The kernel is a base, so that it exists before the loop of the other base and after it.
class SimUnix : private KernelFirst, public LoopTest {
protected:
    SimUnix() { before_ = kernel().open_descriptors(); }
    ~SimUnix() override { EXPECT_TRUE(kernel().violations().empty()); }
    SimKernel& kernel() noexcept { return KernelFirst::kernel; }

    Ref<Server> serve(ServerOptions options = ServerOptions()) {
        return run(loop().create_unix_server<RecordingProtocol>(path, options, &accepted_));
    }
    TaskHandle<Connection<RecordingProtocol>> connect(ConnectOptions options = ConnectOptions()) {
        return loop().create_task(
            loop().create_unix_connection<RecordingProtocol>(path, options, &told_));
    }

    static constexpr const char* path = "/run/service";
    Recorder& told_ = make_recorder();
    Recorder& accepted_ = make_recorder();
    std::size_t before_ = 0;
};

TEST_F(SimUnix, O303_a_path_that_cannot_be_removed_is_reported_and_whoever_waits_wakes) {
    Ref<Server> server = serve();
    auto waiting = loop().create_task(server->wait_closed());
    run_idle();
    kernel().fail_call(SimCall::remove_path, 1, EACCES);
    server->close();
    EXPECT_TRUE(run_until([&] { return waiting.done(); }));
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_THAT(reports[0].message,
                HasSubstr("cannot remove the file of a listening socket, /run/service"));
    EXPECT_EQ(reports[0].error, std::errc::permission_denied);
    EXPECT_TRUE(kernel().has_socket_file(path));
}

TEST_F(SimUnix, only_its_own_inode_is_removed) {
    Ref<Server> server = serve();
    kernel().replace_socket_file(path, true);
    server->close();
    EXPECT_TRUE(kernel().has_socket_file(path));
    EXPECT_EQ(kernel().calls(SimCall::remove_path), 0U);
}

TEST_F(SimUnix, a_server_that_cannot_listen_leaves_no_file_behind) {
    kernel().fail_call(SimCall::listen, 1, EADDRINUSE);
    EXPECT_THAT(message_of<AddressError>([&] { serve(); }),
                HasSubstr("cannot listen on /run/service"));
    EXPECT_FALSE(kernel().has_socket_file(path));
    EXPECT_EQ(kernel().open_descriptors(), before_) << kernel().describe_descriptors();
}

TEST_F(SimUnix, one_that_cannot_listen_leaves_no_file_behind_even_if_it_would_keep_it) {
    kernel().fail_call(SimCall::listen, 1, ENOBUFS);
    EXPECT_THAT(message_of<AddressError>([&] { serve(ServerOptions().cleanup_socket(false)); }),
                HasSubstr("cannot listen on /run/service"));
    EXPECT_FALSE(kernel().has_socket_file(path));
    EXPECT_EQ(kernel().open_descriptors(), before_) << kernel().describe_descriptors();
    const Ref<Server> server = serve(ServerOptions().cleanup_socket(false));
    server->close();
    EXPECT_TRUE(kernel().has_socket_file(path));
}

TEST_F(SimUnix, a_bind_that_fails_where_a_stale_file_was_is_an_error_with_nothing_left_behind) {
    kernel().replace_socket_file(path, true);
    kernel().fail_call(SimCall::bind, 2, ENOSPC);
    EXPECT_THAT(message_of<AddressError>([&] { serve(); }),
                HasSubstr("error while attempting to bind on address /run/service"));
    EXPECT_TRUE(kernel().failure_hit());
    EXPECT_FALSE(kernel().has_socket_file(path));
    EXPECT_EQ(kernel().open_descriptors(), before_) << kernel().describe_descriptors();
}

// Another server found the same stale file and was faster.
TEST_F(SimUnix, a_server_that_comes_second_to_a_stale_file_leaves_the_first_ones_alone) {
    kernel().replace_socket_file(path, true);
    kernel().fail_call(SimCall::bind, 2, EADDRINUSE);
    EXPECT_THAT(message_of<AddressError>([&] { serve(); }),
                HasSubstr("Address '/run/service' is already in use"));
    EXPECT_EQ(kernel().calls(SimCall::remove_path), 1U) << "the stale one";
    EXPECT_EQ(kernel().open_descriptors(), before_) << kernel().describe_descriptors();
}

TEST_F(SimUnix, without_a_descriptor_for_the_question_a_file_counts_as_somebodys) {
    kernel().replace_socket_file(path, true);
    kernel().fail_call(SimCall::open_socket, 2, EMFILE);
    const auto error = caught<AddressError>([&] { serve(); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::too_many_files_open);
    EXPECT_TRUE(kernel().has_socket_file(path));
    EXPECT_EQ(kernel().open_descriptors(), before_) << kernel().describe_descriptors();
}

TEST_F(SimUnix, permissions_that_cannot_be_set_are_an_error_and_leave_no_file_behind) {
    for (const std::uint64_t nth : {1U, 2U}) {
        kernel().fail_call(SimCall::set_permissions, nth, EPERM);
        EXPECT_THAT(message_of<AddressError>([&] { serve(ServerOptions().permissions(0600)); }),
                    HasSubstr(path));
        EXPECT_TRUE(kernel().failure_hit());
        EXPECT_FALSE(kernel().has_socket_file(path));
        EXPECT_EQ(kernel().open_descriptors(), before_) << kernel().describe_descriptors();
    }
}

TEST_F(SimUnix, a_stale_file_that_cannot_be_removed_is_an_error_that_says_so) {
    kernel().replace_socket_file(path, true);
    kernel().fail_call(SimCall::remove_path, 1, EROFS);
    EXPECT_THAT(message_of<AddressError>([&] { serve(); }),
                HasSubstr("cannot remove the stale socket /run/service"));
    EXPECT_TRUE(kernel().has_socket_file(path));
    EXPECT_EQ(kernel().open_descriptors(), before_) << kernel().describe_descriptors();
}

TEST_F(SimUnix, a_full_backlog_is_tried_again_until_the_default_limit) {
    kernel().refuse(SocketAddress::unix_path(path), EAGAIN);
    auto task = connect();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    const auto error = caught<AddressError>([&] { static_cast<void>(task.result()); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::timed_out);
    EXPECT_THAT(error->what(), HasSubstr("the server's backlog is full"));
    EXPECT_GE(kernel().elapsed(), limits::unix_connect_time);
    EXPECT_LT(kernel().elapsed(), limits::unix_connect_time + 1s);
    // 1, 2, 4 ... 50, 50 ms: not a spin.
    EXPECT_LT(kernel().calls(SimCall::connect), 1300U);
    EXPECT_GT(kernel().calls(SimCall::connect), 1000U);
    EXPECT_EQ(kernel().open_descriptors(), before_) << kernel().describe_descriptors();
    EXPECT_EQ(loop().next_timeout(), std::nullopt) << "a timer is left";
}

TEST_F(SimUnix, another_error_is_not_tried_again) {
    for (const int error : {ECONNREFUSED, EACCES, EPROTOTYPE}) {
        kernel().refuse(SocketAddress::unix_path(path), error);
        const std::uint64_t calls = kernel().calls(SimCall::connect);
        auto task = connect();
        ASSERT_TRUE(run_until([&] { return task.done(); }));
        const auto thrown = caught<AddressError>([&] { static_cast<void>(task.result()); });
        ASSERT_TRUE(thrown);
        EXPECT_EQ(thrown->code(), std::error_code(error, std::system_category()));
        EXPECT_EQ(kernel().calls(SimCall::connect), calls + 1);
    }
}

TEST_F(SimUnix, credentials_that_the_system_does_not_give_are_nobody) {
    const Ref<Server> server = serve();
    auto task = connect();
    ASSERT_TRUE(run_until([&] { return task.done() && accepted_.made(); }));
    EXPECT_EQ(accepted_.transport().get_extra_info(extra::peer_credentials).uid, 1000U);
    kernel().fail_call(SimCall::peer_credentials, 1, ENOBUFS);
    EXPECT_FALSE(accepted_.transport().get_extra_info(extra::peer_credentials));
}

}  // namespace
}  // namespace sluice::test
