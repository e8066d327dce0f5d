// What users write without knowing that GCC 12 miscompiles some coroutine forms (a temporary of an
// awaited call destroyed twice, conditions over co_await): it must work with the library's types.
// Every object is counted; under AddressSanitizer a double destruction shows as well.
//
// The style of this file is deliberately not the project's: awaits stand inside conditions, calls
// and declarations, since that is what is tested.
#include "support/loop_fixture.hpp"

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

// Knows the addresses of all living objects, so that a second destruction of one of a balanced
// number is noticed too.
class Counted {
public:
    explicit Counted(std::string value) : value_(std::move(value)) { born(); }
    Counted(const Counted& other) : value_(other.value_) { born(); }
    Counted(Counted&& other) noexcept : value_(std::move(other.value_)) { born(); }
    Counted& operator=(const Counted&) = default;
    Counted& operator=(Counted&&) noexcept = default;
    ~Counted() {
        if (alive().erase(this) != 1) {
            ++mistakes();
        }
    }
    [[nodiscard]] const std::string& value() const noexcept { return value_; }

    static std::set<const Counted*>& alive() {
        static std::set<const Counted*> objects;
        return objects;
    }
    static int& mistakes() {
        static int count = 0;
        return count;
    }

private:
    void born() {
        if (!alive().insert(this).second) {
            ++mistakes();
        }
    }
    std::string value_;
};

const std::string long_text = "a string that is much too long for the small string optimisation";

class Greeter : public Protocol {
public:
    Greeter() = default;
    explicit Greeter(Counted greeting) : greeting_(std::move(greeting)) {}
    Greeter(std::string text, int repeat) : greeting_(std::move(text)), repeat_(repeat) {}
    void connection_made(Transport& transport) override {
        for (int i = 0; i < repeat_; ++i) {
            transport.write(greeting_.value());
        }
        transport.close();
    }
    void data_received(Bytes) override {}

private:
    Counted greeting_{"hello"};
    int repeat_ = 1;
};

class Collector : public Protocol {
public:
    Collector() = default;
    explicit Collector(Future<std::string> done) : done_(std::move(done)) {}
    void data_received(Bytes data) override { text_ += as_text(data); }
    void connection_lost(std::error_code) override {
        if (done_ && !done_.done()) {
            done_.set_result(text_);
        }
    }
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
    Future<std::string> done_;
    std::string text_;
};

class Natural : public BackendTest {
protected:
    void TearDown() override {
        BackendTest::TearDown();
        EXPECT_EQ(Counted::mistakes(), 0) << "an object was destroyed twice or never made";
        EXPECT_TRUE(Counted::alive().empty()) << Counted::alive().size() << " objects are left";
    }
    template <class... Arguments>
    std::uint16_t greeter(Arguments... arguments) {
        server_ = run(loop().create_server<Greeter>("127.0.0.1", 0, ServerOptions(),
                                                    std::move(arguments)...));
        return port_of(server_);
    }
    void release_resources() override { server_.reset(); }

private:
    Ref<Server> server_;
};
INSTANTIATE_TEST_SUITE_P(Every, Natural, testing::ValuesIn(backends()), backend_case_name);

Task<void> connect_plainly(EventLoop& loop, std::uint16_t port, std::string& seen) {
    auto connection =
        co_await loop.create_connection<Collector>("localhost", port, ConnectOptions().timeout(5s));
    while (!connection.transport->is_closing()) {
        co_await sleep(1ms);
    }
    seen = connection.protocol->text();
}

TEST_P(Natural, connecting_with_options_built_in_the_call) {
    std::string seen;
    run(connect_plainly(loop(), greeter(), seen));
    EXPECT_EQ(seen, "hello");
}

Task<std::string> structured_bindings(EventLoop& loop, std::uint16_t port) {
    auto [transport, protocol] = co_await loop.create_connection<Collector>(
        "localhost", port,
        ConnectOptions().timeout(5s).local_address("127.0.0.1").happy_eyeballs_delay(10ms));
    while (!transport->is_closing()) {
        co_await sleep(1ms);
    }
    co_return protocol->text();
}

TEST_P(Natural, structured_bindings_of_the_result) {
    const std::uint16_t port = greeter(Counted(long_text));
    EXPECT_EQ(run(structured_bindings(loop(), port)), long_text);
}

Task<std::string> arguments_of_many_kinds(EventLoop& loop, std::uint16_t port) {
    std::string host = "127.0.0.1";
    Future<std::string> done = loop.create_future<std::string>();
    co_await loop.create_connection<Collector>(std::string("127.0.") + "0.1", std::to_string(port),
                                               ConnectOptions(), done);
    co_return co_await done;
}

TEST_P(Natural, temporary_strings_as_arguments_and_co_return_of_an_await) {
    const std::uint16_t port = greeter(long_text, 3);
    EXPECT_EQ(run(arguments_of_many_kinds(loop(), port)), long_text + long_text + long_text);
}

Task<std::string> counted_argument(EventLoop& loop) {
    auto server = co_await loop.create_server<Greeter>(
        "127.0.0.1", 0, ServerOptions().backlog(5).keep_alive(true), Counted(long_text + "!"));
    Future<std::string> done = loop.create_future<std::string>();
    const auto connection = co_await loop.create_connection<Collector>(
        "127.0.0.1", server->sockets().at(0).local_address().port(), ConnectOptions(), done);
    auto text = co_await done;
    server->close();
    co_await server->wait_closed();
    co_return text;
}

TEST_P(Natural, a_counted_temporary_as_an_argument_of_an_awaited_call) {
    EXPECT_EQ(run(counted_argument(loop())), long_text + "!");
}

Task<int> host_lists(EventLoop& loop) {
    std::vector<std::string> hosts{"127.0.0.1", "127.0.0.2"};
    auto server = co_await loop.create_server<Greeter>(hosts, 0, ServerOptions(), long_text, 2);
    auto other = co_await loop.create_server<Greeter>(std::vector<std::string>(2, "127.0.0.3"), "0",
                                                      ServerOptions().reuse_port(true));
    const int count = static_cast<int>(server->sockets().size() * 10 + other->sockets().size());
    server->close();
    other->close();
    co_return count;
}

TEST_P(Natural, a_list_of_hosts_named_or_temporary) {
    EXPECT_EQ(run(host_lists(loop())), 21);
}

Task<std::string> errors_around_awaits(EventLoop& loop, std::uint16_t closed_port) {
    std::string log;
    for (int attempt = 0; attempt < 3; ++attempt) {
        try {
            auto [transport, protocol] = co_await loop.create_connection<Collector>(
                "localhost", closed_port, ConnectOptions().timeout(5s).family(Family::ipv4));
            log += "connected";
        } catch (const AddressError& error) {
            log += error.code() == std::errc::connection_refused ? "refused " : error.what();
        }
        co_await sleep(std::chrono::milliseconds(attempt));
    }
    co_return log;
}

TEST_P(Natural, try_and_catch_around_awaits_in_a_loop) {
    const ClosedPort closed;
    EXPECT_EQ(run(errors_around_awaits(loop(), closed.port())), "refused refused refused ");
}

Task<bool> is_even(int number) {
    co_await sleep(0ns);
    co_return number % 2 == 0;
}

Task<int> next_number(int& state) {
    co_await sleep(0ns);
    co_return ++state;
}

Task<std::string> named(const Counted& counted) {
    co_return counted.value();
}

// GCC 12 generates a wrong frame for some `if` and `switch` over an await (platforms.md); with the
// library's own awaiters, which are not empty, these are the forms users can rely on.
Task<std::string> conditions() {
    std::string log;
    int state = 0;
    for (int i = 0; i < 4; ++i) {
        if (co_await is_even(i)) {
            log += 'e';
        } else {
            log += 'o';
        }
    }
    while (co_await next_number(state) < 4) {
        log += std::to_string(state);
    }
    if (const int number = co_await next_number(state); number == 5) {
        log += "five";
    }
    if (!(co_await is_even(1)) && co_await is_even(2)) {
        log += "both";
    }
    for (int k = co_await next_number(state); k < 9; k = co_await next_number(state)) {
        log += static_cast<char>('0' + k);
    }
    co_return log;
}

TEST_P(Natural, awaits_in_conditions_of_if_while_and_for) {
    EXPECT_EQ(run(conditions()), "eoeo123fiveboth678");
}

Task<std::string> sleeps_everywhere(EventLoop& loop) {
    std::string log;
    const auto start = loop.time();
    do {
        co_await sleep(1ms);
        log += '.';
    } while (loop.time() < start + 2ms);
    for (const auto delay : {1us, 2us, 3us}) {
        co_await sleep(delay);
    }
    for (int i = 0; i < 3; ++i, co_await sleep(0ns)) {
        log += static_cast<char>('a' + i);
    }
    co_return log;
}

TEST_P(Natural, sleeps_inside_every_kind_of_loop) {
    EXPECT_THAT(run(sleeps_everywhere(loop())), testing::EndsWith("abc"));
}

Task<Counted> make_counted(std::string text) {
    co_await sleep(0ns);
    co_return Counted(text);
}

Task<Counted> pass_on(Counted first, std::string second) {
    co_await sleep(0ns);
    co_return Counted(first.value() + second);
}

Task<std::string> temporaries() {
    auto value = co_await make_counted(long_text);
    auto joined = co_await pass_on(Counted("x"), std::string("y"));
    const Counted again = co_await pass_on(co_await make_counted("inner "), "outer");
    auto copy = co_await pass_on(value, value.value().substr(0, 1));
    const auto size = (co_await make_counted("12345")).value().size();
    const std::string text = co_await named(Counted("named"));
    co_return joined.value() + "|" + again.value() + "|" + copy.value().substr(0, 3) + "|" +
        std::to_string(size) + "|" + text;
}

TEST_P(Natural, temporaries_and_nested_awaits_as_arguments_of_coroutines) {
    EXPECT_EQ(run(temporaries()), "xy|inner outer|a s|5|named");
}

Task<std::string> throwing_arguments(EventLoop& loop) {
    std::string log;
    try {
        co_await loop.create_connection<Greeter>("", 80, ConnectOptions(), Counted(long_text));
    } catch (const std::invalid_argument&) {
        log += "host ";
    }
    try {
        co_await loop.create_connection<Greeter>("127.0.0.1", 99999, ConnectOptions(),
                                                 Counted(long_text));
    } catch (const std::invalid_argument&) {
        log += "port ";
    }
    try {
        co_await loop.create_server<Greeter>("127.0.0.1", 0, ServerOptions().backlog(0),
                                             Counted(long_text));
    } catch (const std::invalid_argument&) {
        log += "backlog";
    }
    co_return log;
}

TEST_P(Natural, arguments_that_throw_in_the_middle_of_an_awaited_call) {
    EXPECT_EQ(run(throwing_arguments(loop())), "host port backlog");
}

Task<std::string> factories(EventLoop& loop, std::uint16_t port) {
    Future<std::string> done = loop.create_future<std::string>();
    auto factory = [done] { return std::make_unique<Collector>(done); };
    auto connection = co_await loop.create_connection(factory, "127.0.0.1", port);
    // Without captures a lambda may stand in the call.
    auto second = co_await loop.create_connection([] { return std::make_unique<Collector>(); },
                                                  "127.0.0.1", port, ConnectOptions().timeout(5s));
    auto text = co_await done;
    while (!second.transport->is_closing()) {
        co_await sleep(1ms);
    }
    co_return text + second.protocol->text();
}

TEST_P(Natural, a_named_factory_and_a_lambda_without_captures) {
    const std::uint16_t port = greeter(Counted("ab"));
    EXPECT_EQ(run(factories(loop(), port)), "abab");
}

Task<std::string> names(EventLoop& loop) {
    for (const auto& address : co_await loop.getaddrinfo("127.0.0.1", "80")) {
        co_return address.to_string();
    }
    co_return "none";
}

Task<std::string> names_hoisted(EventLoop& loop) {
    std::string log;
    auto addresses = co_await loop.getaddrinfo("localhost", 80, Family::ipv4);
    for (const auto& address : addresses) {
        auto [host, service] = co_await loop.getnameinfo(address, true);
        log += host + "," + service;
    }
    co_return log;
}

TEST_P(Natural, looking_names_up) {
    EXPECT_EQ(run(names(loop())), "127.0.0.1:80");
    EXPECT_EQ(run(names_hoisted(loop())), "127.0.0.1,80");
}

Task<int> jobs(EventLoop& loop) {
    const std::string text = long_text;
    auto job = [text] { return static_cast<int>(text.size()); };
    const int size = co_await loop.run_in_executor(job);
    const int direct = co_await loop.run_in_executor([] { return 1; });
    co_return size + direct;
}

TEST_P(Natural, awaiting_jobs_of_the_executor) {
    EXPECT_EQ(run(jobs(loop())), static_cast<int>(long_text.size()) + 1);
}

Task<std::string> handles(EventLoop& loop) {
    auto first = loop.create_task(make_counted("first"));
    auto second = loop.create_task(pass_on(Counted("sec"), "ond"));
    const std::string a = (co_await first).value();
    const auto b = co_await second;
    bool cancelled = false;
    auto never = loop.create_task(make_counted("never"));
    never.cancel();
    try {
        co_await never;
    } catch (const Cancelled&) {
        cancelled = true;
    }
    co_return a + b.value() + (cancelled ? "!" : "?");
}

TEST_P(Natural, awaiting_handles) {
    EXPECT_EQ(run(handles(loop())), "firstsecond!");
}

Task<int> lives_in_a_member(EventLoop& loop, Counted first, Counted second, int depth) {
    const Counted local("local");
    std::map<int, Counted> many;
    for (int i = 0; i < 3; ++i) {
        many.emplace(i, Counted(std::to_string(i)));
        co_await sleep(0ns);
    }
    if (depth == 0) {
        co_return static_cast<int>(many.size());
    }
    const int below =
        co_await lives_in_a_member(loop, std::move(first), Counted(second.value()), depth - 1);
    co_return below + 1;
}

TEST_P(Natural, recursion_with_parameters_and_locals_of_every_kind) {
    EXPECT_EQ(run(lives_in_a_member(loop(), Counted(long_text), Counted("b"), 5)), 8);
}

TEST_P(Natural, dropping_and_cancelling_such_coroutines_at_every_step) {
    for (int steps = 0; steps < 30; ++steps) {
        auto task =
            loop().create_task(lives_in_a_member(loop(), Counted(long_text), Counted("b"), 5));
        for (int i = 0; i < steps; ++i) {
            loop().run_once();
        }
        task.cancel();
        ASSERT_TRUE(run_until([&] { return task.done(); }));
        ASSERT_EQ(Counted::mistakes(), 0) << steps;
    }
    {
        const auto dropped = lives_in_a_member(loop(), Counted(long_text), Counted("b"), 2);
    }
    EXPECT_TRUE(Counted::alive().empty());
}

}  // namespace
}  // namespace sluice::test
