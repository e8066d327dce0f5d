// The texts of errors, and what else every user of the library meets when something is wrong.
#include <sluice/sluice.hpp>

#include "support/conformance.hpp"

#include <set>

namespace sluice::test {
namespace {

TEST(Errors, every_error_has_a_text_of_its_own) {
    std::set<std::string> texts;
    const int last = static_cast<int>(Error::write_timeout);
    for (int value = 1; value <= last; ++value) {
        const std::string text = std::error_code(value, error_category()).message();
        EXPECT_EQ(text.find("unknown"), std::string::npos) << value;
        EXPECT_TRUE(texts.insert(text).second) << text << " stands for two errors";
    }
    EXPECT_EQ(std::error_code(last + 1, error_category()).message(),
              "unknown error " + std::to_string(last + 1));
    EXPECT_STREQ(error_category().name(), "sluice");
}

TEST(Errors, what_the_system_knows_too_compares_equal_to_it) {
    EXPECT_EQ(make_error_code(Error::cancelled), std::errc::operation_canceled);
    EXPECT_EQ(make_error_code(Error::tls_handshake_timeout), std::errc::connection_aborted);
    EXPECT_EQ(make_error_code(Error::tls_shutdown_timeout), std::errc::timed_out);
    EXPECT_NE(make_error_code(Error::tls_truncated), std::errc::timed_out);
}

TEST(Errors, StopLoop_says_what_it_is) {
    EXPECT_STREQ(StopLoop().what(), "the event loop was asked to stop");
}

TEST(Version, the_library_is_as_old_as_its_headers) {
    EXPECT_STREQ(version(), SLUICE_VERSION_STRING);
}

class ServerAddress : public LoopTest {};

Task<Ref<Server>> serve_anywhere(EventLoop& loop) {
    auto creating = loop.create_server<RecordingProtocol>("127.0.0.1", 0, ServerOptions(), nullptr);
    Ref<Server> server = co_await creating;
    co_return server;
}

TEST_F(ServerAddress, is_that_of_the_first_socket_and_gone_when_closed) {
    const Ref<Server> server = loop().run_until_complete(serve_anywhere(loop()));
    EXPECT_EQ(server->local_address(), server->sockets().at(0).local_address());
    EXPECT_NE(server->local_address().port(), 0);
    server->close();
    EXPECT_THROW(static_cast<void>(server->local_address()), std::logic_error);
}

}  // namespace
}  // namespace sluice::test
