// Torture by the system: every call of every scenario fails once with every error its manual page
// lists.
//
// Expected each time: an end, cleanly, with nothing left open. What the error means to the caller
// is the conformance suite's business.
#include "torture/explore.hpp"
#include "torture/scenarios.hpp"
#include "torture/tls_contexts.hpp"

#include <cerrno>
#include <map>

#include <gtest/gtest.h>

namespace sluice::test {

namespace {

/// Errors per call, from the manual pages of the calls behind the seam; those that only a wrong
/// argument can cause are left out, except one of them, since a kernel module or a filter
/// (seccomp(2)) may answer anything.
const std::map<SimCall, std::vector<int>>& errors_of_calls() {
    static const std::map<SimCall, std::vector<int>> errors = {
        {SimCall::open_socket,
         {EACCES, EAFNOSUPPORT, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTONOSUPPORT}},
        {SimCall::set_option, {ENOPROTOOPT, EINVAL, EDOM}},
        {SimCall::set_nonblocking, {EACCES, EPERM}},
        {SimCall::bind, {EACCES, EADDRINUSE, EADDRNOTAVAIL, EINVAL}},
        {SimCall::listen, {EADDRINUSE, EOPNOTSUPP}},
        {SimCall::connect,
         {EACCES, EPERM, EADDRINUSE, EADDRNOTAVAIL, EAGAIN, ECONNREFUSED, ENETUNREACH, EHOSTUNREACH,
          ETIMEDOUT}},
        {SimCall::accept,
         {ECONNABORTED, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPROTO, ENETDOWN,
          EHOSTUNREACH, ETIMEDOUT}},
        {SimCall::take_error, {ENOBUFS, ECONNREFUSED}},
        {SimCall::socket_type, {ENOTSOCK, ENOBUFS}},
        {SimCall::is_listening, {ENOTSOCK}},
        {SimCall::local_address, {ENOBUFS}},
        {SimCall::peer_address, {ENOTCONN, ENOBUFS}},
        {SimCall::recv, {ECONNREFUSED, ECONNRESET, ENOMEM, ENOTCONN, ETIMEDOUT, EHOSTUNREACH}},
        {SimCall::send, {ECONNRESET, EPIPE, ENOBUFS, ENOMEM, ETIMEDOUT, EHOSTUNREACH, EACCES}},
        {SimCall::send_gathered,
         {ECONNRESET, EPIPE, ENOBUFS, ENOMEM, ETIMEDOUT, EHOSTUNREACH, EMSGSIZE}},
        {SimCall::shutdown_write, {ENOTCONN}},
        {SimCall::epoll_create, {EMFILE, ENFILE, ENOMEM}},
        {SimCall::epoll_add, {ENOMEM, ENOSPC, EPERM}},
        {SimCall::epoll_modify, {ENOMEM}},
        {SimCall::epoll_wait, {EINTR}},
        {SimCall::open_wake, {EMFILE, ENFILE, ENODEV, ENOMEM}},
        {SimCall::set_signal_handler, {EINVAL}},
        {SimCall::resolve, {ENOMEM, EMFILE}},
        {SimCall::name_of, {ENOMEM}},
        {SimCall::file_status, {EBADF, EIO, EOVERFLOW}},
        {SimCall::duplicate, {EMFILE, EPERM}},
        {SimCall::sendfile,
         {ECONNRESET, EPIPE, EINVAL, EIO, ENOMEM, ENOSYS, EOPNOTSUPP, ENOBUFS, ETIMEDOUT}},
        {SimCall::read_file, {EIO, EINVAL, ENOMEM, EISDIR}},
        {SimCall::receive_datagrams, {ECONNREFUSED, ENOMEM, ENOBUFS, EHOSTUNREACH}},
        {SimCall::send_datagrams,
         {EACCES, ECONNREFUSED, EINVAL, EIO, EMSGSIZE, ENETUNREACH, ENOBUFS, ENOMEM, EPERM}},
        {SimCall::set_datagram_option, {ENOPROTOOPT, EINVAL, EPERM}},
        {SimCall::change_membership, {EADDRINUSE, EADDRNOTAVAIL, ENOBUFS, ENODEV, ENOMEM}},
        {SimCall::path_status, {EACCES, ENOENT, ENOMEM, EIO}},
        {SimCall::remove_path, {EACCES, EBUSY, EIO, ENOENT, EROFS}},
        {SimCall::set_permissions, {EPERM, EIO, EROFS, EINVAL}},
        {SimCall::peer_credentials, {ENOBUFS}},
    };
    return errors;
}

class SystemCallTorture : public testing::TestWithParam<Scenario> {
public:
    /// Made by the process that ends in an orderly way and removes their files: those that are
    /// forked from it end without that.
    static void SetUpTestSuite() {
        torture_server_context();
        torture_client_context();
    }
};

TEST_P(SystemCallTorture, reaches_its_goal_when_nothing_fails) {
    SimKernel kernel(1);
    const Performance performance = perform(GetParam(), kernel);
    EXPECT_TRUE(performance.reached_goal);
    EXPECT_EQ(performance.error, "");
    EXPECT_EQ(performance.problem, "");
}

TEST_P(SystemCallTorture, ends_cleanly_whichever_system_call_fails) {
    std::uint64_t met = 0;
    for (const auto& entry : errors_of_calls()) {
        const SimCall call = entry.first;
        for (const int error : entry.second) {
            const Exploration found = explore([&](std::uint64_t number) -> Attempt {
                SimKernel kernel(1);
                kernel.fail_call(call, number, error);
                const Performance performance = perform(GetParam(), kernel);
                return {.hit = kernel.failure_hit(), .problem = performance.problem};
            });
            met += found.failures_met;
            for (const std::string& problem : found.problems) {
                ADD_FAILURE() << to_string(call) << " with errno " << error << ", " << problem;
            }
        }
    }
    RecordProperty("failures_met", std::to_string(met));
    EXPECT_GT(met, 0U) << "nothing was tortured";
}

INSTANTIATE_TEST_SUITE_P(Every, SystemCallTorture, testing::ValuesIn(scenarios()),
                         [](const testing::TestParamInfo<Scenario>& scenario) {
                             return std::string(scenario.param.name);
                         });

}  // namespace

}  // namespace sluice::test
