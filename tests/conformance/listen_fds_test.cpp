// listen_fds(): what a process takes over that somebody else opened for it, and what it refuses.
//
// Descriptors 3 and up belong to this program, so each case runs in a child process that puts its own
// there and tells by a pipe what it was given.
#include <sluice/listen_fds.hpp>

#include "support/loop_fixture.hpp"
#include "support/raw_descriptors.hpp"

#include <array>
#include <cstdlib>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::test {
namespace {

/// "self" as a value stands for the child's own number.
using Variables = std::vector<std::pair<std::string, std::string>>;

/// Above everything that a case passes on.
constexpr int out_of_the_way = 100;

/// Runs `body` in a child where `passed` are descriptors 3, 4, ... and gives the text it gave.
std::string told_by_child(const Variables& variables, const std::vector<int>& passed,
                          const std::function<std::string()>& body) {
    const auto [reading, writing] = make_pipe();
    const pid_t child = ::fork();
    if (child == 0) {
        const int told = ::fcntl(writing, F_DUPFD_CLOEXEC, out_of_the_way);
        std::vector<int> copies;
        for (const int fd : passed) {
            copies.push_back(::fcntl(fd, F_DUPFD_CLOEXEC, out_of_the_way));
        }
        // What the test program has there must not look like something that was passed on.
        for (int fd = 3; fd < out_of_the_way; ++fd) {
            ::close(fd);
        }
        for (std::size_t index = 0; index < copies.size(); ++index) {
            ::dup2(copies[index], 3 + static_cast<int>(index));
            ::close(copies[index]);
        }
        for (const auto& [name, value] : variables) {
            ::setenv(name.c_str(),
                     value == "self" ? std::to_string(::getpid()).c_str() : value.c_str(), 1);
        }
        std::string text;
        try {
            text = body();
        } catch (const std::exception& error) {
            text = std::string("threw ") + error.what();
        }
        const bool written =
            ::write(told, text.data(), text.size()) == static_cast<ssize_t>(text.size());
        std::_Exit(written ? 0 : 1);
    }
    ::close(writing);
    std::string text;
    std::array<char, 4096> part{};
    for (ssize_t count = 0; (count = ::read(reading, part.data(), part.size())) > 0;) {
        text.append(part.data(), static_cast<std::size_t>(count));
    }
    ::close(reading);
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << text;
    return text;
}

const char* name_of(DescriptorKind kind) {
    constexpr std::array names{"listener", "stream", "datagram", "pipe", "other"};
    return names.at(static_cast<std::size_t>(kind));
}

std::string description_of(const std::vector<PassedDescriptor>& passed) {
    std::string text;
    for (const PassedDescriptor& one : passed) {
        text += "[" + std::to_string(one.descriptor.get()) + " " + one.name + " " +
                name_of(one.kind) + (one.address ? " " + one.address.to_string() : "") +
                (has_close_on_exec(one.descriptor.get()) ? "]" : " inherited]");
    }
    return text;
}

std::string given_to(const Variables& variables, const std::vector<int>& passed) {
    return told_by_child(variables, passed, [] { return description_of(listen_fds()); });
}

TEST(ListenFds, a_listening_socket_is_taken_over_with_its_name_kind_and_address) {
    const Peer listener = bound_socket("127.0.0.1", 0, 5);
    EXPECT_EQ(given_to({{"LISTEN_PID", "self"}, {"LISTEN_FDS", "1"}, {"LISTEN_FDNAMES", "web"}},
                       {listener.fd()}),
              "[3 web listener " + address_of(listener.fd()).to_string() + "]");
}

TEST(ListenFds, every_kind_is_told_apart_and_the_order_is_kept) {
    const Peer listener = bound_socket("127.0.0.1", 0, 5);
    const auto [one, other] = connected_peers();
    const int udp = make_socket(AF_INET, SOCK_DGRAM);
    const int packets = make_socket(AF_UNIX, SOCK_SEQPACKET);
    const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const auto [reading, writing] = make_pipe();
    EXPECT_EQ(given_to({{"LISTEN_PID", "self"},
                        {"LISTEN_FDS", "6"},
                        {"LISTEN_FDNAMES", "a:connection::d:e:f"}},
                       {listener.fd(), one.fd(), udp, reading, file, packets}),
              "[3 a listener " + address_of(listener.fd()).to_string() + "][4 connection stream " +
                  address_of(one.fd()).to_string() +
                  "][5  datagram 0.0.0.0:0][6 d pipe][7 e other][8 f other (unnamed unix socket)]");
    for (const int fd : {udp, packets, file, reading, writing}) {
        ::close(fd);
    }
}

TEST(ListenFds, without_names_each_is_called_unknown) {
    const Peer listener = bound_socket("127.0.0.1", 0, 5);
    const std::string given =
        given_to({{"LISTEN_PID", "self"}, {"LISTEN_FDS", "2"}}, {listener.fd(), listener.fd()});
    EXPECT_THAT(given, testing::HasSubstr("[3 unknown listener "));
    EXPECT_THAT(given, testing::HasSubstr("[4 unknown listener "));
}

TEST(ListenFds, nothing_is_taken_that_was_not_passed_to_this_process) {
    const Peer listener = bound_socket("127.0.0.1", 0, 5);
    const std::string parent = std::to_string(::getpid());
    for (const Variables& variables : {
             Variables{},
             Variables{{"LISTEN_FDS", "1"}},
             Variables{{"LISTEN_PID", "self"}},
             Variables{{"LISTEN_PID", parent}, {"LISTEN_FDS", "1"}},
             Variables{{"LISTEN_PID", parent}, {"LISTEN_FDS", "of no concern"}},
             Variables{{"LISTEN_PID", "self"}, {"LISTEN_FDS", "0"}},
         }) {
        EXPECT_EQ(told_by_child(variables, {listener.fd()},
                                [] {
                                    std::string text = description_of(listen_fds());
                                    return text + (descriptor_is_open(3) ? "open" : "closed");
                                }),
                  "open");
    }
}

TEST(ListenFds, a_second_call_gives_nothing_and_the_variables_are_gone) {
    const Peer listener = bound_socket("127.0.0.1", 0, 5);
    EXPECT_EQ(told_by_child(
                  {{"LISTEN_PID", "self"}, {"LISTEN_FDS", "1"}, {"LISTEN_FDNAMES", "web"}},
                  {listener.fd()},
                  [] {
                      const std::vector<PassedDescriptor> first = listen_fds();
                      const std::vector<PassedDescriptor> second = listen_fds();
                      std::string left;
                      for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
                          left += std::getenv(name) != nullptr ? name : "";
                      }
                      return std::to_string(first.size()) + std::to_string(second.size()) + left;
                  }),
              "10");
}

TEST(ListenFds, whoever_gets_them_owns_them) {
    const Peer listener = bound_socket("127.0.0.1", 0, 5);
    EXPECT_EQ(told_by_child({{"LISTEN_PID", "self"}, {"LISTEN_FDS", "1"}}, {listener.fd()},
                            [] {
                                listen_fds();
                                return std::string(descriptor_is_open(3) ? "open" : "closed");
                            }),
              "closed");
}

TEST(ListenFds, wrong_values_are_named_and_nothing_is_closed) {
    const Peer listener = bound_socket("127.0.0.1", 0, 5);
    const struct {
        Variables variables;
        std::vector<std::string> said;
    } cases[] = {
        {{{"LISTEN_PID", "12a"}, {"LISTEN_FDS", "1"}}, {"LISTEN_PID", "'12a'"}},
        {{{"LISTEN_PID", ""}, {"LISTEN_FDS", "1"}}, {"LISTEN_PID", "''"}},
        {{{"LISTEN_PID", "-1"}, {"LISTEN_FDS", "1"}}, {"LISTEN_PID", "'-1'"}},
        {{{"LISTEN_PID", "99999999999999999999"}, {"LISTEN_FDS", "1"}}, {"LISTEN_PID", "999'"}},
        {{{"LISTEN_PID", "self"}, {"LISTEN_FDS", "one"}}, {"LISTEN_FDS", "'one'"}},
        {{{"LISTEN_PID", "self"}, {"LISTEN_FDS", "-1"}}, {"LISTEN_FDS", "'-1'"}},
        {{{"LISTEN_PID", "self"}, {"LISTEN_FDS", "1 "}}, {"LISTEN_FDS", "'1 '"}},
        {{{"LISTEN_PID", "self"}, {"LISTEN_FDS", "2147483647"}}, {"LISTEN_FDS", "2147483647"}},
        {{{"LISTEN_PID", "self"}, {"LISTEN_FDS", "2147483644"}}, {"descriptor 4", "2147483644"}},
        {{{"LISTEN_PID", "self"}, {"LISTEN_FDS", "2"}}, {"descriptor 4", "LISTEN_FDS=2"}},
        {{{"LISTEN_PID", "self"}, {"LISTEN_FDS", "1"}, {"LISTEN_FDNAMES", "a:b"}},
         {"LISTEN_FDNAMES", "'a:b'", "2 names for 1"}},
    };
    for (const auto& one : cases) {
        const std::string told = told_by_child(one.variables, {listener.fd()}, [] {
            std::string text;
            try {
                text = description_of(listen_fds());
            } catch (const std::exception& error) {
                text = std::string("threw ") + error.what();
            }
            return text + (descriptor_is_open(3) ? ", open" : ", closed") +
                   (std::getenv("LISTEN_FDS") != nullptr ? ", variable left" : "");
        });
        EXPECT_THAT(told, testing::StartsWith("threw listen_fds(): "));
        EXPECT_THAT(told, testing::EndsWith(", open"));
        for (const std::string& said : one.said) {
            EXPECT_THAT(told, testing::HasSubstr(said));
        }
    }
}

/// Says hello, and ends the loop when the client has gone.
class OneClient : public Protocol {
public:
    explicit OneClient(EventLoop* loop) : loop_(*loop) {}
    void connection_made(Transport& transport) override { transport.write("hello"); }
    void data_received(Bytes) override {}
    void connection_lost(std::error_code) override { loop_.stop(); }

private:
    EventLoop& loop_;
};

TEST(ListenFds, a_child_serves_on_the_socket_it_inherited) {
    const Peer listener = bound_socket("127.0.0.1", 0, 5);
    // It waits in the queue until the child accepts it, and has said all before the child looks.
    Peer client = Peer::connect(address_of(listener.fd()).port());
    client.shutdown_write();
    EXPECT_EQ(
        told_by_child({{"LISTEN_PID", "self"}, {"LISTEN_FDS", "1"}, {"LISTEN_FDNAMES", "web"}},
                      {listener.fd()},
                      [] {
                          std::vector<PassedDescriptor> passed = listen_fds();
                          EventLoop loop;
                          const Ref<Server> server =
                              loop.run_until_complete(loop.create_server<OneClient>(
                                  std::move(passed.at(0).descriptor), ServerOptions(), &loop));
                          loop.run_forever();
                          server->close();
                          return std::to_string(server->counters().accepted) + " served";
                      }),
        "1 served");
    ASSERT_TRUE(wait_readable(client.fd()));
    client.receive_available();
    EXPECT_EQ(client.received(), "hello");
}

}  // namespace
}  // namespace sluice::test
