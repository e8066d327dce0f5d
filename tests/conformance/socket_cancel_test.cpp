// Group R of semantics.md: socket calls that are cancelled, overtaken, doubled, or whose socket or loop
// goes away under them.
#include "support/socket_pair_fixture.hpp"

#include <memory>

#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {
namespace {

class SocketCallsRaced : public SocketPairTest {
protected:
    // Nothing of the socket calls is registered for `fd` any more: a reader and a writer find room, and
    // the loop does not wake up for it.
    void expect_free(int fd) {
        loop().add_reader(fd, [] {});
        loop().add_writer(fd, [] {});
        EXPECT_TRUE(loop().remove_reader(fd));
        EXPECT_TRUE(loop().remove_writer(fd));
        run_idle();
        const auto before = loop().counters().readiness_events;
        run_idle();
        EXPECT_EQ(loop().counters().readiness_events, before);
    }
};
INSTANTIATE_TEST_SUITE_P(Every, SocketCallsRaced, testing::ValuesIn(backends()), backend_case_name);

TEST_P(SocketCallsRaced, R352_every_kind_of_call_can_be_cancelled_while_it_waits) {
    const Peer listener = bound_socket("127.0.0.1", 0, 5);
    const BlackHole hole;
    const Peer connecting = unconnected_socket();
    const std::string much(20'000'000, 'm');
    const SocketAddress unreachable = SocketAddress::parse("127.0.0.1", hole.port()).value();
    std::vector<std::function<bool()>> waiting;
    const auto start = [&](auto task) {
        auto handle = loop().create_task(std::move(task));
        waiting.push_back([handle, first = true]() mutable {
            if (std::exchange(first, false)) {
                EXPECT_FALSE(handle.done());
                handle.cancel();
                return false;
            }
            return handle.cancelled();
        });
    };
    std::array<std::byte, 4> space{};
    start(loop().sock_accept(listener.fd()));
    start(loop().sock_connect(connecting.fd(), unreachable));
    start(loop().sock_recv_into(near_.fd(), space));
    start(loop().sock_sendall(near_.fd(), as_bytes(much)));
    run_idle();
    for (auto& step : waiting) {
        EXPECT_FALSE(step());
    }
    run_idle();
    for (auto& step : waiting) {
        EXPECT_TRUE(step());
    }
    expect_free(listener.fd());
    expect_free(connecting.fd());
    expect_free(near_.fd());
}

TEST_P(SocketCallsRaced, R352_cancelling_in_any_iteration_loses_no_data) {
    // The data arrives before the loop runs for the `when`th time, the cancellation after it.
    for (int when = 0; when < 6; ++when) {
        for (const bool cancel_first : {false, true}) {
            auto receiving = loop().create_task(loop().sock_recv(near_.fd(), 100));
            for (int i = 0; i < when; ++i) {
                loop().run_once();
            }
            if (cancel_first) {
                receiving.cancel();
            }
            far_.send("data");
            ASSERT_TRUE(wait_readable(near_.fd()));
            loop().run_once();
            receiving.cancel();
            ASSERT_TRUE(run_until([&] { return receiving.done(); }));
            const std::string got =
                receiving.cancelled() ? std::string() : text_of(receiving.result());
            const std::string rest =
                got.empty() ? text_of(run(loop().sock_recv(near_.fd(), 100))) : "";
            EXPECT_EQ(got + rest, "data") << "when=" << when << " cancel_first=" << cancel_first;
        }
    }
    expect_free(near_.fd());
}

TEST_P(SocketCallsRaced, R351_a_cancelled_sendall_has_sent_a_beginning) {
    const std::string much = pattern(20'000'000);
    auto sending = loop().create_task(loop().sock_sendall(near_.fd(), as_bytes(much)));
    run_idle();
    sending.cancel();
    run_idle();
    EXPECT_TRUE(sending.cancelled());
    near_.shutdown_write();
    ASSERT_TRUE(run_until([&] {
        far_.receive_available();
        return far_.saw_end();
    }));
    EXPECT_LT(far_.received().size(), much.size());
    EXPECT_EQ(far_.received(), much.substr(0, far_.received().size()));
    expect_free(near_.fd());
}

TEST_P(SocketCallsRaced, R362_readiness_after_the_cancellation_resumes_nobody) {
    // Both are told in one batch: the first cancels the second, whose event is collected already.
    auto [one, other] = connected_peers();
    TaskHandle<std::vector<std::byte>> second =
        loop().create_task(loop().sock_recv(near_.fd(), 100));
    bool called = false;
    run_idle();
    loop().add_reader(one.fd(), [&] {
        called = true;
        second.cancel();
        loop().remove_reader(one.fd());
    });
    other.send("x");
    far_.send("kept");
    ASSERT_TRUE(wait_readable(one.fd()) && wait_readable(near_.fd()));
    ASSERT_TRUE(run_until([&] { return called && second.done(); }));
    EXPECT_TRUE(second.cancelled());
    EXPECT_EQ(text_of(run(loop().sock_recv(near_.fd(), 100))), "kept");
}

// ---- two at once ----

TEST_P(SocketCallsRaced, a_second_call_in_the_same_direction_is_a_mistake_and_harms_nobody) {
    auto first = loop().create_task(loop().sock_recv(near_.fd(), 100));
    run_idle();
    const std::string text = message_of<std::logic_error>(
        [&] { static_cast<void>(run(loop().sock_recv(near_.fd(), 100))); });
    EXPECT_NE(text.find("sock_recv(): descriptor " + std::to_string(near_.fd())), std::string::npos)
        << text;
    far_.send("first");
    EXPECT_EQ(text_of(finish(first)), "first");
}

TEST_P(SocketCallsRaced, readers_and_socket_calls_do_not_share_a_direction) {
    auto receiving = loop().create_task(loop().sock_recv(near_.fd(), 100));
    run_idle();
    EXPECT_THROW(loop().add_reader(near_.fd(), [] {}), std::logic_error);
    int writable = 0;
    loop().add_writer(near_.fd(), [&] {
        ++writable;
        loop().remove_writer(near_.fd());
    });
    run_idle();
    EXPECT_EQ(writable, 1) << "the other direction is free";
    far_.send("x");
    EXPECT_EQ(text_of(finish(receiving)), "x");
    loop().add_reader(near_.fd(), [] {});
    EXPECT_THROW(static_cast<void>(run(loop().sock_recv(near_.fd(), 1))), std::logic_error);
    EXPECT_TRUE(loop().remove_reader(near_.fd()));
}

TEST_P(SocketCallsRaced, R360_a_reader_added_after_a_cancelled_call_works) {
    for (int round = 0; round < 10; ++round) {
        auto receiving = loop().create_task(loop().sock_recv(near_.fd(), 100));
        loop().run_once();
        receiving.cancel();
        loop().run_once();
        EXPECT_TRUE(receiving.cancelled());
        int calls = 0;
        loop().add_reader(near_.fd(), [&] {
            near_.receive_available();
            ++calls;
        });
        far_.send("x");
        ASSERT_TRUE(run_until([&] { return calls == 1; }));
        EXPECT_TRUE(loop().remove_reader(near_.fd()));
    }
}

TEST_P(SocketCallsRaced, R361_many_calls_on_many_sockets_end_in_one_iteration) {
    std::vector<std::pair<Peer, Peer>> pairs;
    std::vector<TaskHandle<std::vector<std::byte>>> receiving;
    for (int i = 0; i < 50; ++i) {
        pairs.push_back(connected_peers());
        receiving.push_back(loop().create_task(loop().sock_recv(pairs.back().first.fd(), 10)));
    }
    run_idle();
    for (auto& [near_end, far_end] : pairs) {
        far_end.send("x");
    }
    for (std::size_t i = 0; i < receiving.size(); i += 2) {
        receiving[i].cancel();
    }
    for (std::size_t i = 0; i < receiving.size(); ++i) {
        ASSERT_TRUE(run_until([&] { return receiving[i].done(); }));
        EXPECT_EQ(receiving[i].cancelled(), i % 2 == 0);
    }
}

// ---- the socket or the loop goes away ----

TEST_P(SocketCallsRaced, R358_closing_the_socket_under_a_call_harms_nobody) {
    auto receiving = loop().create_task(loop().sock_recv(near_.fd(), 100));
    run_idle();
    near_.close();
    run_idle();
    EXPECT_FALSE(receiving.done());
    receiving.cancel();
    ASSERT_TRUE(run_until([&] { return receiving.done(); }));
    // The number is used anew.
    auto [one, other] = connected_peers();
    other.send("new");
    EXPECT_EQ(text_of(run(loop().sock_recv(one.fd(), 100))), "new");
}

TEST_P(SocketCallsRaced, R358_shutting_the_socket_down_ends_the_call) {
    auto receiving = loop().create_task(loop().sock_recv(near_.fd(), 100));
    run_idle();
    ASSERT_EQ(::shutdown(near_.fd(), SHUT_RDWR), 0);
    EXPECT_TRUE(finish(receiving).empty());
}

TEST_P(SocketCallsRaced, R359_a_loop_that_is_closed_destroys_waiting_calls) {
    auto receiving = loop().create_task(loop().sock_recv(near_.fd(), 100));
    const std::string much(20'000'000, 'm');
    auto sending = loop().create_task(loop().sock_sendall(near_.fd(), as_bytes(much)));
    run_idle();
    loop().close();
    EXPECT_TRUE(receiving.done());
    EXPECT_TRUE(receiving.cancelled());
    EXPECT_TRUE(sending.cancelled());
}

TEST_P(SocketCallsRaced, a_call_that_is_never_awaited_does_nothing) {
    {
        const Task<std::vector<std::byte>> unused = loop().sock_recv(near_.fd(), 100);
    }
    far_.send("x");
    EXPECT_EQ(text_of(run(loop().sock_recv(near_.fd(), 100))), "x");
}

}  // namespace
}  // namespace sluice::test
