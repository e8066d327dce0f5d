// Unix sockets: connecting, what is refused, TLS, who the peer is. Group O of asyncio's behaviour;
// the files of servers are in unix_server_test.cpp.
#include "support/loop_fixture.hpp"
#include "support/raw_descriptors.hpp"
#include "support/temp_dir.hpp"
#include "support/temp_file.hpp"
#include "support/transport_pair.hpp"

#include <array>
#include <cstring>
#include <filesystem>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class UnixSockets : public BackendTest {
protected:
    Ref<Server> serve_at(std::string path, ServerOptions options = ServerOptions()) {
        return run(loop().create_unix_server(recording_factory(), std::move(path), options));
    }
    // Our client; its recorder.
    Recorder& connect(std::string path, ConnectOptions options = ConnectOptions()) {
        Recorder& recorder = make_recorder();
        run(loop().create_unix_connection<RecordingProtocol>(std::move(path), std::move(options),
                                                             &recorder));
        return recorder;
    }
    // Both ways between our client and the server's newest connection, and then the end.
    void talk(Recorder& client) {
        client.transport().write("question");
        ASSERT_TRUE(run_until([&] {
            return !connections().empty() && connections().back()->received() == "question";
        }));
        connections().back()->transport().write("answer");
        ASSERT_TRUE(run_until([&] { return client.received() == "answer"; }));
        client.transport().close();
        ASSERT_TRUE(run_until([&] { return client.lost() && connections().back()->lost(); }));
        EXPECT_EQ(client.reason(), std::error_code());
        EXPECT_EQ(connections().back()->reason(), std::error_code());
    }
    // The AddressError of connecting in vain.
    std::optional<AddressError> refused(std::string path,
                                        ConnectOptions options = ConnectOptions()) {
        Recorder& recorder = make_recorder();
        return caught<AddressError>([&] {
            run(loop().create_unix_connection<RecordingProtocol>(std::move(path),
                                                                 std::move(options), &recorder));
        });
    }
    // What calling (not awaiting) says.
    std::string refused_at_once(std::string path, ConnectOptions options = ConnectOptions()) {
        return message_of<std::invalid_argument>([&] {
            static_cast<void>(loop().create_unix_connection<RecordingProtocol>(
                std::move(path), std::move(options), nullptr));
        });
    }

    TempDir directory_;
    std::string path_ = directory_ / "socket";
};
INSTANTIATE_TEST_SUITE_P(Every, UnixSockets, testing::ValuesIn(backends()), backend_case_name);

TEST_P(UnixSockets, O289_server_and_client_meet_at_a_path_an_abstract_name_and_a_filesystem_path) {
    const std::filesystem::path as_path = directory_ / "path-like";
    for (const std::string& place : {path_, free_abstract_name(), as_path.string()}) {
        SCOPED_TRACE(place);
        Ref<Server> server = serve_at(place);
        talk(connect(place));
        shut_down(server);
    }
    Ref<Server> server = run(loop().create_unix_server(recording_factory(), as_path));
    talk(connect(as_path));
    shut_down(server);
}

TEST_P(UnixSockets, O290_a_connected_socket_is_taken_over_by_create_connection) {
    auto [ours, theirs] = connected_peers({}, {}, Wire::unix_socket);
    Recorder& recorder = make_recorder();
    run(loop().create_connection<RecordingProtocol>(Descriptor(ours.release()), &recorder));
    EXPECT_EQ(recorder.transport().get_extra_info(extra::socket).family(), Family::unix_domain);
    recorder.transport().write("hello");
    ASSERT_TRUE(run_until([&] {
        theirs.receive_available();
        return theirs.received() == "hello";
    }));
    theirs.close();
    ASSERT_TRUE(run_until([&] { return recorder.lost(); }));
    EXPECT_EQ(recorder.trace(), "M E L(None)");
}

TEST_P(UnixSockets, O306_cancelling_the_adoption_closes_the_socket_once) {
    for (int i = 0; i < 100; ++i) {
        auto [ours, theirs] = connected_peers({}, {}, Wire::unix_socket);
        Recorder& recorder = make_recorder();
        auto task = loop().create_task(
            loop().create_connection<RecordingProtocol>(Descriptor(ours.release()), &recorder));
        if (i % 2 == 1) {
            loop().run_once();
        }
        task.cancel();
        ASSERT_TRUE(run_until([&] { return task.done(); }));
        // One that never ran keeps its arguments until nobody holds it.
        task = {};
        run_idle();
        theirs.receive_available();
        EXPECT_TRUE(theirs.saw_end()) << i;
    }
}

TEST_P(UnixSockets, O307_a_missing_path_and_one_without_a_server_are_errors_that_name_the_path) {
    const auto missing = refused(path_);
    ASSERT_TRUE(missing);
    EXPECT_EQ(missing->code(), std::errc::no_such_file_or_directory);
    EXPECT_EQ(missing->address(), path_);
    EXPECT_THAT(missing->what(), HasSubstr("Connect call failed " + path_ + ": No such file"));

    // A server that ended without removing its file.
    shut_down(serve_at(path_, ServerOptions().cleanup_socket(false)));
    const auto stale = refused(path_);
    ASSERT_TRUE(stale);
    EXPECT_EQ(stale->code(), std::errc::connection_refused);
    EXPECT_THAT(stale->what(), HasSubstr(path_));

    const std::string abstract = free_abstract_name();
    const auto nobody = refused(abstract);
    ASSERT_TRUE(nobody);
    EXPECT_EQ(nobody->code(), std::errc::connection_refused);
    EXPECT_EQ(nobody->address(), "@" + abstract.substr(1));
}

TEST_P(UnixSockets, O295_a_path_that_can_be_none_is_refused_at_the_call) {
    EXPECT_THAT(refused_at_once(""), HasSubstr("create_unix_connection(): path is empty"));
    EXPECT_THAT(refused_at_once("\0literal"), HasSubstr("an abstract name needs its length"));
    EXPECT_THAT(refused_at_once(std::string("/tmp/a\0b", 8)),
                HasSubstr("path '/tmp/a...' contains a NUL character"));
    EXPECT_THAT(refused_at_once(std::string(108, 'p')), HasSubstr("path of 108 characters"));
    EXPECT_THAT(refused_at_once('\0' + std::string(108, 'p')), HasSubstr("109 characters"));
    EXPECT_THAT(message_of<std::invalid_argument>(
                    [&] { static_cast<void>(loop().create_unix_server(recording_factory(), "")); }),
                HasSubstr("create_unix_server(): path is empty"));
}

TEST_P(UnixSockets, the_longest_path_and_the_longest_abstract_name_work) {
    const std::string longest_path = directory_ / std::string(107 - (directory_ / "").size(), 'p');
    ASSERT_EQ(longest_path.size(), 107U);
    std::string longest_name = free_abstract_name();
    longest_name.resize(108, 'n');
    for (const std::string& place : {longest_path, longest_name}) {
        Ref<Server> server = serve_at(place);
        EXPECT_EQ(server->local_address().path(), place);
        Recorder& client = connect(place);
        EXPECT_EQ(client.transport().get_extra_info(extra::peername).path(), place);
        talk(client);
        shut_down(server);
    }
}

TEST_P(UnixSockets, options_about_ip_are_refused_at_the_call) {
    EXPECT_THAT(refused_at_once(path_, ConnectOptions().family(Family::ipv4)),
                HasSubstr("family is only meaningful with IP addresses"));
    EXPECT_THAT(refused_at_once(path_, ConnectOptions().local_address("127.0.0.1")),
                HasSubstr("local_address is only meaningful with IP addresses"));
    const auto server_with = [&](const ServerOptions& options) {
        return message_of<std::invalid_argument>([&] {
            static_cast<void>(loop().create_unix_server(recording_factory(), path_, options));
        });
    };
    EXPECT_THAT(server_with(ServerOptions().family(Family::ipv6)), HasSubstr("family"));
    EXPECT_THAT(server_with(ServerOptions().reuse_port(true)), HasSubstr("reuse_port"));
    EXPECT_THAT(message_of<std::invalid_argument>([&] {
                    static_cast<void>(loop().create_server(recording_factory(), "127.0.0.1", 0,
                                                           ServerOptions().permissions(0600)));
                }),
                HasSubstr("permissions are only meaningful with a path"));
}

// ---- a backlog that is full ----

/// A listener whose queue is full.
class FullListener {
public:
    explicit FullListener(const std::string& path) : path_(path) {
        fd_ = Peer(make_socket(AF_UNIX, SOCK_STREAM, IoMode::nonblocking));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path);
        EXPECT_EQ(::bind(fd_.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(::listen(fd_.fd(), 0), 0);
        try {
            for (;;) {
                waiting_.push_back(Peer::connect_unix(path));
            }
        } catch (const std::system_error& error) {
            EXPECT_EQ(error.code(), std::errc::resource_unavailable_try_again);
        }
    }
    Peer accept() { return Peer(::accept(fd_.fd(), nullptr, nullptr)); }
    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

private:
    std::string path_;
    Peer fd_;
    std::vector<Peer> waiting_;
};

TEST_P(UnixSockets, connecting_to_a_full_backlog_succeeds_once_there_is_room) {
    FullListener listener(path_);
    Recorder& recorder = make_recorder();
    auto task = loop().create_task(
        loop().create_unix_connection<RecordingProtocol>(path_, ConnectOptions(), &recorder));
    ASSERT_TRUE(run_until([&] { return loop().next_timeout().has_value(); }));
    run_idle();
    EXPECT_FALSE(task.done());
    std::vector<Peer> accepted;
    for (std::size_t i = 0; i < listener.waiting(); ++i) {
        accepted.push_back(listener.accept());
    }
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_EQ(task.exception(), nullptr);
    EXPECT_EQ(recorder.trace(), "M");
}

TEST_P(UnixSockets, connecting_to_a_full_backlog_ends_with_the_timeout_and_says_why) {
    const FullListener listener(path_);
    const auto error = refused(path_, ConnectOptions().timeout(20ms));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::timed_out);
    EXPECT_THAT(error->what(), HasSubstr(path_ + " took too long, the server's backlog is full"));
    EXPECT_EQ(loop().next_timeout(), std::nullopt) << "a timer is left";
}

TEST_P(UnixSockets, connecting_to_a_full_backlog_can_be_cancelled) {
    const FullListener listener(path_);
    Recorder& recorder = make_recorder();
    auto task = loop().create_task(
        loop().create_unix_connection<RecordingProtocol>(path_, ConnectOptions(), &recorder));
    ASSERT_TRUE(run_until([&] { return loop().next_timeout().has_value(); }));
    task.cancel();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(loop().next_timeout(), std::nullopt) << "a timer is left";
}

// ---- TLS ----

TEST_P(UnixSockets, O296_tls_needs_a_server_hostname_and_that_needs_tls) {
    EXPECT_THAT(refused_at_once(path_, ConnectOptions().tls(test_client_context())),
                HasSubstr("create_unix_connection"));
    EXPECT_THAT(refused_at_once(path_, ConnectOptions().server_hostname("example.test")),
                HasSubstr("only meaningful with tls"));
    EXPECT_THAT(refused_at_once(path_, ConnectOptions().tls_handshake_timeout(1s)),
                HasSubstr("only meaningful with tls"));
    EXPECT_THAT(message_of<std::invalid_argument>([&] {
                    static_cast<void>(loop().create_unix_server(
                        recording_factory(), path_, ServerOptions().tls(test_client_context())));
                }),
                HasSubstr("needs a server's TlsContext"));
}

TEST_P(UnixSockets, O304_tls_works_over_a_unix_socket) {
    Ref<Server> server = serve_at(path_, ServerOptions().tls(test_server_context()));
    Recorder& client =
        connect(path_, ConnectOptions().tls(test_client_context()).server_hostname("example.test"));
    const TlsInfo info = client.transport().get_extra_info(extra::tls);
    EXPECT_EQ(info.version(), "TLSv1.3");
    EXPECT_EQ(client.transport().get_extra_info(extra::peername).path(), path_);
    EXPECT_EQ(client.transport().get_extra_info(extra::peer_credentials).pid, ::getpid());
    talk(client);
    shut_down(server);
}

TEST_P(UnixSockets, a_certificate_for_another_name_is_rejected_over_a_unix_socket_as_well) {
    Ref<Server> server = serve_at(path_, ServerOptions().tls(test_server_context()));
    Recorder& recorder = make_recorder();
    const auto error = caught<TlsError>([&] {
        run(loop().create_unix_connection<RecordingProtocol>(
            path_, ConnectOptions().tls(test_client_context()).server_hostname("other.test"),
            &recorder));
    });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Error::tls_certificate_rejected);
    shut_down(server);
}

// Kernel TLS is TCP's: elsewhere the option only says why it did nothing.
TEST_P(UnixSockets, kernel_tls_asked_for_on_a_unix_socket_goes_on_without) {
    Ref<Server> server =
        serve_at(path_, ServerOptions().tls(test_server_context(TransportKind::ktls)));
    Recorder& client = connect(path_, ConnectOptions()
                                          .tls(test_client_context(TransportKind::ktls))
                                          .server_hostname("example.test"));
    const TlsInfo info = client.transport().get_extra_info(extra::tls);
    EXPECT_FALSE(info.ktls_send());
    EXPECT_NE(info.ktls_reason(), "");
    talk(client);
    shut_down(server);
}

// ---- the peer ----

TEST_P(UnixSockets, both_ends_know_the_process_at_the_other_until_connection_lost_has_returned) {
    Ref<Server> server = serve_at(path_);
    Recorder& client = connect(path_);
    ASSERT_TRUE(wait_for_connections(1));
    const PeerCredentials self{::getpid(), ::geteuid(), ::getegid()};
    EXPECT_EQ(client.transport().get_extra_info(extra::peer_credentials), self);
    Recorder& accepted = *connections()[0];
    EXPECT_EQ(accepted.transport().get_extra_info(extra::peer_credentials), self);
    PeerCredentials at_the_end;
    accepted.on_lost = [&](std::error_code) {
        at_the_end = accepted.transport().get_extra_info(extra::peer_credentials);
    };
    talk(client);
    run_idle();
    EXPECT_EQ(at_the_end, self);
    const PeerCredentials later = accepted.transport().get_extra_info(extra::peer_credentials);
    EXPECT_FALSE(later);
    EXPECT_EQ(later.uid, PeerCredentials::nobody) << "nobody must not look like root";
    shut_down(server);
}

TEST_P(UnixSockets, a_tcp_connection_has_no_peer_credentials) {
    Ref<Server> server = serve();
    const Peer peer = connect_to("127.0.0.1", port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    EXPECT_FALSE(connections()[0]->transport().get_extra_info(extra::peer_credentials));
    shut_down(server);
}

// A path of 108 characters has no room for a NUL, and the kernel takes it all the same (unix(7)).
TEST_P(UnixSockets, a_peer_with_a_name_longer_than_any_of_ours_is_served_without_a_name) {
    Ref<Server> server = serve_at(path_);
    const std::string longest = directory_ / std::string(108 - (directory_ / "").size(), 'p');
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_EQ(longest.copy(address.sun_path, sizeof address.sun_path), sizeof address.sun_path);
    std::string abstract = free_abstract_name();
    abstract.resize(108, 'n');
    for (const bool is_abstract : {false, true}) {
        Peer peer(make_socket(AF_UNIX, SOCK_STREAM));
        if (is_abstract) {
            abstract.copy(address.sun_path, sizeof address.sun_path);
        }
        ASSERT_EQ(::bind(peer.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
                  0);
        sockaddr_un to{};
        to.sun_family = AF_UNIX;
        path_.copy(to.sun_path, sizeof to.sun_path);
        ASSERT_EQ(::connect(peer.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
        ASSERT_TRUE(wait_for_connections(is_abstract ? 2 : 1));
        const SocketAddress name =
            connections().back()->transport().get_extra_info(extra::peername);
        EXPECT_EQ(name, SocketAddress::unix_path(is_abstract ? abstract : ""));
    }
    shut_down(server);
}

TEST_P(UnixSockets, rel_I7_descriptors_that_a_peer_sends_uninvited_are_closed) {
    Ref<Server> server = serve_at(path_);
    const Peer peer = Peer::connect_unix(path_);
    ASSERT_TRUE(wait_for_connections(1));
    const std::vector<int> before = open_descriptors();
    const TempFile gift("a gift");
    std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    char text[] = "take this";
    iovec vector{text, sizeof text - 1};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int sent = gift.fd();
    std::memcpy(CMSG_DATA(header), &sent, sizeof sent);
    ASSERT_EQ(::sendmsg(peer.fd(), &message, 0), 9);
    ASSERT_TRUE(run_until([&] { return connections()[0]->received() == "take this"; }));
    EXPECT_EQ(gift.descriptors(), 1U);
    EXPECT_EQ(open_descriptors().size(), before.size() + 1);
    shut_down(server);
}

}  // namespace
}  // namespace sluice::test
