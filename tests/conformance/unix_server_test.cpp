// create_unix_server: the file of the socket, from what was there before to who removes it. Group O
// of asyncio's behaviour.
#include "support/loop_fixture.hpp"
#include "support/raw_descriptors.hpp"
#include "support/temp_dir.hpp"

#include <filesystem>
#include <fstream>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using testing::HasSubstr;

bool exists(const std::string& path) {
    return std::filesystem::symlink_status(path).type() != std::filesystem::file_type::not_found;
}

unsigned permissions_of(const std::string& path) {
    return static_cast<unsigned>(std::filesystem::status(path).permissions());
}

/// A Unix socket of any type, bound to `path`.
Descriptor bound_at(const std::string& path, int type) {
    Descriptor socket(make_socket(AF_UNIX, type));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return socket;
}

/// The umask of the process while it lives.
class Umask {
public:
    explicit Umask(mode_t mask) : before_(::umask(mask)) {}
    Umask(const Umask&) = delete;
    Umask& operator=(const Umask&) = delete;
    ~Umask() { ::umask(before_); }

private:
    mode_t before_;
};

class UnixServers : public BackendTest {
protected:
    Ref<Server> serve_at(std::string path, ServerOptions options = ServerOptions()) {
        return run(loop().create_unix_server(recording_factory(), std::move(path), options));
    }
    std::optional<AddressError> refused(const std::string& path) {
        return caught<AddressError>([&] { serve_at(path); });
    }
    bool answers(const std::string& path) {
        const std::size_t before = connections().size();
        const Peer peer = Peer::connect_unix(path);
        return run_until([&] { return connections().size() == before + 1; });
    }

    TempDir directory_;
    std::string path_ = directory_ / "socket";
};
INSTANTIATE_TEST_SUITE_P(Every, UnixServers, testing::ValuesIn(backends()), backend_case_name);

// ---- what is there already ----

TEST_P(UnixServers, O291_the_file_of_a_socket_without_a_server_gives_way) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
        bound_at(path_, type).reset();
        ASSERT_TRUE(exists(path_));
        Ref<Server> server = serve_at(path_);
        EXPECT_TRUE(answers(path_));
        shut_down(server);
        EXPECT_FALSE(exists(path_));
    }
}

TEST_P(UnixServers, O292_a_file_that_is_no_socket_is_left_alone) {
    std::ofstream(path_) << "precious";
    const auto error = refused(path_);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::address_in_use);
    EXPECT_THAT(error->what(),
                HasSubstr("Address '" + path_ + "' is already in use by a file that is no socket"));
    std::string content;
    std::ifstream(path_) >> content;
    EXPECT_EQ(content, "precious");
    std::filesystem::remove(path_);

    std::filesystem::create_directory(path_);
    EXPECT_TRUE(refused(path_));
    EXPECT_TRUE(std::filesystem::is_directory(path_));
}

// Following it would remove, or bind, what somebody else has chosen.
TEST_P(UnixServers, a_symbolic_link_is_no_socket_even_if_it_leads_to_one) {
    const std::string target = directory_ / "target";
    bound_at(target, SOCK_STREAM).reset();
    std::filesystem::create_symlink(target, path_);
    EXPECT_TRUE(refused(path_));
    EXPECT_TRUE(exists(target));
    EXPECT_TRUE(std::filesystem::is_symlink(path_));
}

TEST_P(UnixServers, O293_a_live_server_keeps_its_path_and_the_error_names_it) {
    Ref<Server> server = serve_at(path_);
    const auto error = refused(path_);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::address_in_use);
    EXPECT_EQ(error->address(), path_);
    EXPECT_THAT(error->what(), HasSubstr("Address '" + path_ + "' is already in use by a server"));
    EXPECT_TRUE(run_until([&] { return server->connection_count() == 0; })) << "the probe stays";
    EXPECT_TRUE(answers(path_));
    shut_down(server);
}

TEST_P(UnixServers, a_live_socket_of_another_type_keeps_its_path) {
    const Descriptor datagrams = bound_at(path_, SOCK_DGRAM);
    EXPECT_TRUE(refused(path_));
    EXPECT_TRUE(exists(path_));
}

TEST_P(UnixServers, a_directory_that_is_missing_is_an_error_that_names_the_path) {
    const std::string inside = directory_ / "missing/socket";
    const auto error = refused(inside);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::no_such_file_or_directory);
    EXPECT_THAT(error->what(), HasSubstr(inside));
}

// ---- a socket that is given ----

TEST_P(UnixServers, O294_a_socket_of_another_family_or_type_is_refused_at_the_call) {
    const auto message_for = [&](Descriptor socket) {
        return message_of<std::invalid_argument>([&] {
            static_cast<void>(loop().create_unix_server(recording_factory(), std::move(socket)));
        });
    };
    EXPECT_THAT(message_for(Descriptor(bound_socket("127.0.0.1").release())),
                HasSubstr("is not a Unix socket"));
    EXPECT_THAT(message_for(bound_at(path_, SOCK_DGRAM)), HasSubstr("is not a stream socket"));
    EXPECT_THAT(message_for(Descriptor()), HasSubstr("is not an open socket"));
    const std::string other = directory_ / "other";
    EXPECT_THAT(message_of<std::invalid_argument>([&] {
                    static_cast<void>(loop().create_unix_server(recording_factory(),
                                                                bound_at(other, SOCK_STREAM),
                                                                ServerOptions().permissions(0600)));
                }),
                HasSubstr("only meaningful with a path"));
}

TEST_P(UnixServers, O298_a_server_on_a_given_socket_removes_the_path_as_well) {
    Ref<Server> server =
        run(loop().create_unix_server(recording_factory(), bound_at(path_, SOCK_STREAM)));
    EXPECT_EQ(server->local_address().path(), path_);
    EXPECT_TRUE(answers(path_));
    shut_down(server);
    EXPECT_FALSE(exists(path_));
}

TEST_P(UnixServers, create_server_on_a_given_socket_leaves_the_path_to_whoever_bound_it) {
    Ref<Server> server =
        run(loop().create_server(recording_factory(), bound_at(path_, SOCK_STREAM)));
    EXPECT_TRUE(answers(path_));
    shut_down(server);
    EXPECT_TRUE(exists(path_));
}

// ---- cleaning up ----

TEST_P(UnixServers, O297_closing_removes_the_path_at_once_and_connections_live_on) {
    Ref<Server> server = serve_at(path_);
    Peer peer = Peer::connect_unix(path_);
    ASSERT_TRUE(wait_for_connections(1));
    server->close();
    EXPECT_FALSE(exists(path_));
    peer.send("still here");
    EXPECT_TRUE(run_until([&] { return connections()[0]->received() == "still here"; }));
    shut_down(server);
}

TEST_P(UnixServers, the_end_of_the_loop_removes_the_path) {
    serve_at(path_);
    EXPECT_TRUE(exists(path_));
    destroy_loop();
    EXPECT_FALSE(exists(path_));
}

TEST_P(UnixServers, O299_a_path_that_has_gone_already_is_no_error) {
    Ref<Server> server = serve_at(path_);
    std::filesystem::remove(path_);
    shut_down(server);
    EXPECT_TRUE(take_reports().empty());
}

TEST_P(UnixServers, O300_what_has_taken_the_place_of_the_path_is_left_alone) {
    Ref<Server> first = serve_at(path_);
    std::filesystem::remove(path_);
    Ref<Server> second = serve_at(path_);
    first->close();
    EXPECT_TRUE(exists(path_));
    EXPECT_TRUE(answers(path_));
    shut_down(first);
    std::filesystem::remove(path_);
    std::ofstream(path_) << "precious";
    shut_down(second);
    EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_P(UnixServers, O301_without_cleanup_the_path_stays_and_the_next_server_takes_it_over) {
    shut_down(serve_at(path_, ServerOptions().cleanup_socket(false)));
    EXPECT_TRUE(exists(path_));
    Ref<Server> server = serve_at(path_);
    EXPECT_TRUE(answers(path_));
    shut_down(server);
    EXPECT_FALSE(exists(path_));
}

TEST_P(UnixServers, O302_an_abstract_name_has_no_file_and_vanishes_with_its_server) {
    const std::string name = free_abstract_name();
    Ref<Server> server = serve_at(name);
    EXPECT_EQ(server->local_address().path(), name);
    EXPECT_EQ(server->local_address().to_string(), "@" + name.substr(1));
    const auto error = refused(name);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::address_in_use);
    EXPECT_THAT(error->what(), HasSubstr("'@" + name.substr(1) + "' is already in use"));
    EXPECT_TRUE(answers(name));
    shut_down(server);
    EXPECT_THROW(Peer::connect_unix(name), std::system_error);
}

TEST_P(UnixServers, a_file_of_the_name_that_an_abstract_one_looks_like_is_not_touched) {
    const std::string name = '\0' + path_;
    std::ofstream(path_) << "precious";
    shut_down(serve_at(name));
    EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

// ---- options ----

TEST_P(UnixServers, the_permissions_of_the_path_are_those_asked_for_whatever_the_umask) {
    const Umask strict(0077);
    for (const unsigned mode : {0600U, 0660U, 0666U, 0777U, 0700U}) {
        Ref<Server> server = serve_at(path_, ServerOptions().permissions(mode));
        EXPECT_EQ(permissions_of(path_), mode);
        EXPECT_TRUE(answers(path_));
        shut_down(server);
    }
    Ref<Server> server = serve_at(path_);
    EXPECT_EQ(permissions_of(path_), 0700U) << "the umask's, if nothing was said";
    shut_down(server);
}

TEST_P(UnixServers, permissions_that_cannot_be_are_refused_with_the_value) {
    EXPECT_THAT(message_of<std::invalid_argument>([] { ServerOptions().permissions(01777); }),
                HasSubstr("1023"));
    EXPECT_THAT(
        message_of<std::invalid_argument>([&] {
            static_cast<void>(loop().create_unix_server(
                recording_factory(), std::string("\0name", 5), ServerOptions().permissions(0600)));
        }),
        HasSubstr("the abstract name @name has no permissions"));
}

TEST_P(UnixServers, a_server_that_does_not_serve_yet_is_bound_and_refuses) {
    Ref<Server> server = serve_at(path_, ServerOptions().start_serving(false));
    EXPECT_TRUE(exists(path_));
    EXPECT_FALSE(server->is_serving());
    EXPECT_THROW(Peer::connect_unix(path_), std::system_error);
    server->start_serving();
    EXPECT_TRUE(answers(path_));
    shut_down(server);
}

TEST_P(UnixServers, sockets_are_views_with_the_path_and_empty_once_closed) {
    Ref<Server> server = serve_at(path_);
    ASSERT_EQ(server->sockets().size(), 1U);
    EXPECT_EQ(server->sockets()[0].local_address().path(), path_);
    EXPECT_EQ(server->sockets()[0].family(), Family::unix_domain);
    EXPECT_TRUE(has_close_on_exec(server->sockets()[0].fd()));
    server->close();
    EXPECT_TRUE(server->sockets().empty());
    shut_down(server);
}

TEST_P(UnixServers, a_backlog_of_one_and_a_limit_of_connections_hold_as_over_tcp) {
    Ref<Server> server = serve_at(path_, ServerOptions().backlog(1).max_connections(1));
    const Peer first = Peer::connect_unix(path_);
    ASSERT_TRUE(wait_for_connections(1));
    Peer second = Peer::connect_unix(path_);
    ASSERT_TRUE(run_until([&] {
        second.receive_available();
        return second.saw_end();
    }));
    EXPECT_EQ(server->refused_count(), 1U);
    shut_down(server);
}

}  // namespace
}  // namespace sluice::test
