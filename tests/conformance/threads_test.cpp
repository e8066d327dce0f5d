// Other threads: call_soon_threadsafe, several loops, RemoteRef, the wrong-thread check.
#include "support/latch.hpp"
#include "support/loop_fixture.hpp"
#include "support/patience.hpp"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Threads : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Threads, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Threads, call_soon_threadsafe_wakes_a_loop_that_sleeps) {
    bool ran = false;
    Latch about_to_sleep(1);
    std::thread other([&] {
        about_to_sleep.wait();
        loop().call_soon_threadsafe([&] { ran = true; });
    });
    loop().call_soon([&] { about_to_sleep.count_down(); });
    const TimerHandle limit = loop().call_later(patience(), [] {});
    while (!ran && limit.when() > loop().time()) {
        loop().run_once(std::nullopt);
    }
    other.join();
    EXPECT_TRUE(ran);
}

TEST_P(Threads, call_soon_threadsafe_keeps_the_order_of_each_thread) {
    constexpr int calls = 1000;
    std::vector<std::vector<int>> seen(3);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < seen.size(); ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < calls; ++i) {
                loop().call_soon_threadsafe([&seen, t, i] { seen[t].push_back(i); });
            }
        });
    }
    EXPECT_TRUE(run_until([&] {
        return std::all_of(seen.begin(), seen.end(),
                           [](const auto& each) { return each.size() == calls; });
    }));
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (const auto& each : seen) {
        EXPECT_TRUE(std::is_sorted(each.begin(), each.end()));
    }
}

TEST_P(Threads, call_soon_threadsafe_on_the_loops_own_thread_keeps_the_order_with_call_soon) {
    std::string ran;
    loop().call_soon([&] {
        loop().call_soon([&] { ran += 'a'; });
        loop().call_soon_threadsafe([&] { ran += 'b'; });
        loop().call_soon([&] { ran += 'c'; });
    });
    run_idle();
    EXPECT_EQ(ran, "abc");
}

TEST_P(Threads, B6_a_million_wakes_from_four_threads_lose_no_call) {
    constexpr int per_thread = 250'000;
    std::vector<int> counts(4, 0);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < counts.size(); ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < per_thread; ++i) {
                loop().call_soon_threadsafe([&counts, t] { ++counts[t]; });
            }
        });
    }
    // Bounded by the threads, not by a clock: under a sanitizer a million calls take a while.
    std::atomic<bool> posted{false};
    std::thread watcher([&] {
        for (std::thread& thread : threads) {
            thread.join();
        }
        posted = true;
        loop().call_soon_threadsafe([] {});
    });
    while (!posted) {
        loop().run_once(std::nullopt);
    }
    watcher.join();
    run_idle();
    EXPECT_EQ(counts, std::vector<int>(4, per_thread));
}

TEST_P(Threads, T396_wakes_before_the_loop_ever_runs_collapse_and_do_not_block) {
    int count = 0;
    for (int i = 0; i < 100'000; ++i) {
        loop().call_soon_threadsafe([&] { ++count; });
    }
    ASSERT_TRUE(run_until([&] { return count == 100'000; }));
    // One wake-up was enough for all: nothing is left to wake for.
    EXPECT_EQ(loop().next_timeout(), std::nullopt);
}

TEST_P(Threads, an_exception_of_a_call_from_another_thread_reaches_the_handler) {
    std::thread([&] {
        loop().call_soon_threadsafe([] { throw std::runtime_error("from elsewhere"); });
    }).join();
    run_idle();
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "from elsewhere");
}

TEST_P(Threads, call_soon_threadsafe_racing_with_close_runs_refuses_or_drops_but_never_leaks) {
    auto owned = std::make_shared<int>(0);
    std::atomic<bool> refused{false};
    Latch started(1);
    std::thread other([&, copy = owned] {
        started.count_down();
        try {
            for (;;) {
                loop().call_soon_threadsafe([copy] {});
            }
        } catch (const std::logic_error&) {
            refused = true;
        }
    });
    started.wait();
    run_idle();
    loop().close();
    other.join();
    EXPECT_TRUE(refused);
    EXPECT_EQ(owned.use_count(), 1);
}

TEST_P(Threads, the_closure_is_destroyed_on_the_loops_thread) {
    struct NotesThread {
        std::thread::id* where;
        ~NotesThread() { *where = std::this_thread::get_id(); }
    };
    std::thread::id where;
    std::thread([&] {
        auto owned = std::make_unique<NotesThread>(&where);
        loop().call_soon_threadsafe([owned = std::move(owned)] {});
    }).join();
    run_idle();
    EXPECT_EQ(where, std::this_thread::get_id());
}

// ---- the wrong thread ----

TEST_P(Threads, J1_in_debug_mode_calls_from_another_thread_are_logic_errors) {
    loop().set_debug(true);
    loop().set_slow_callback_duration(std::chrono::hours(1));  // the machine may be slow
    auto [peer, ours] = connected_peers();
    Recorder& told = make_recorder();
    run(loop().create_connection<RecordingProtocol>(Descriptor(ours.release()), &told));
    Transport& transport = told.transport();
    Ref<Server> server = serve();
    std::vector<std::string> errors;
    std::thread([&] {
        const auto refused = [&](auto&& call) {
            errors.push_back(message_of<std::logic_error>(call));
        };
        refused([&] { loop().call_soon([] {}); });
        refused([&] { loop().call_later(1ms, [] {}); });
        refused([&] { transport.write("x"); });
        refused([&] { transport.close(); });
        refused([&] { transport.abort(); });
        refused([&] { transport.pause_reading(); });
        refused([&] { transport.flush(); });
        refused([&] { server->close(); });
    }).join();
    EXPECT_EQ(errors.size(), 8U);
    for (const std::string& error : errors) {
        EXPECT_THAT(error, testing::HasSubstr("thread"));
    }
    EXPECT_FALSE(transport.is_closing());
    shut_down(server);
    transport.abort();
    ASSERT_TRUE(run_until([&] { return told.lost(); }));
    told.forget_transport();
}

TEST_P(Threads, a_loop_may_be_made_on_one_thread_and_run_on_another) {
    EventLoop other(GetParam());
    int ran = 0;
    other.call_soon([&] { ++ran; });
    std::thread([&] {
        other.set_debug(true);
        other.run_once();
        other.call_soon([&] { ++ran; });
        other.run_once();
        other.close();
    }).join();
    EXPECT_EQ(ran, 2);
}

// ---- several loops ----

class Echo : public Protocol {
public:
    void connection_made(Transport& transport) override { transport_ = &transport; }
    void data_received(Bytes data) override { transport_->write(data); }

private:
    Transport* transport_ = nullptr;
};

TEST_P(Threads, T399_two_loops_in_two_threads_do_not_interfere) {
    Latch both_ready(2);
    std::atomic<std::uint16_t> ports[2] = {};
    std::atomic<EventLoop*> loops[2] = {};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < 2; ++i) {
        threads.emplace_back([&, i] {
            EventLoop own(GetParam());
            loops[i] = &own;
            Ref<Server> server = own.run_until_complete(own.create_server<Echo>("127.0.0.1", 0));
            ports[i] = port_of(server);
            both_ready.count_down();
            own.run_forever();
        });
    }
    both_ready.wait();
    std::vector<Peer> peers;
    for (int k = 0; k < 20; ++k) {
        peers.push_back(Peer::connect(ports[k % 2]));
        peers.back().send("message " + std::to_string(k));
    }
    for (std::size_t k = 0; k < peers.size(); ++k) {
        const std::string sent = "message " + std::to_string(k);
        while (peers[k].received().size() < sent.size() && wait_readable(peers[k].fd())) {
            peers[k].receive_available();
        }
        EXPECT_EQ(peers[k].received(), sent);
    }
    for (auto& own : loops) {
        own.load()->call_soon_threadsafe([&own] { own.load()->stop(); });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

TEST_P(Threads, J7_closing_one_of_two_loops_that_share_a_port_leaves_no_client_hanging) {
    auto first = std::make_unique<EventLoop>(GetParam());
    const ServerOptions shared = ServerOptions().reuse_port(true);
    Ref<Server> first_server =
        first->run_until_complete(first->create_server<Echo>("127.0.0.1", 0, shared));
    Ref<Server> second_server =
        run(loop().create_server<Echo>("127.0.0.1", port_of(first_server), shared));
    std::vector<Peer> peers;
    for (int i = 0; i < 40; ++i) {
        peers.push_back(Peer::connect(port_of(second_server)));
    }
    // The first loop never accepted its share: they wait in the queue of its listener.
    first_server.reset();
    first.reset();
    std::size_t answered = 0;
    std::size_t refused = 0;
    for (Peer& peer : peers) {
        const auto over = [&] {
            peer.receive_available();
            return !peer.received().empty() || peer.saw_end() || peer.error() != 0;
        };
        try {
            peer.send("x");
        } catch (const std::system_error&) {
            ++refused;
            continue;
        }
        ASSERT_TRUE(run_until(over));
        (peer.received() == "x" ? answered : refused) += 1;
    }
    EXPECT_EQ(answered + refused, peers.size());
    EXPECT_GT(answered, 0U);
    EXPECT_GT(refused, 0U);
    peers.clear();
    shut_down(second_server);
}

// ---- RemoteRef ----

TEST_P(Threads, a_RemoteRef_travels_through_another_thread_and_back) {
    auto [peer, ours] = connected_peers();
    Recorder& told = make_recorder();
    Connection<RecordingProtocol> connection =
        run(loop().create_connection<RecordingProtocol>(Descriptor(ours.release()), &told));
    RemoteRef<Transport> remote = loop().remote_ref(std::move(connection.transport));
    std::thread([&loop = loop(), remote = std::move(remote)]() mutable {
        loop.call_soon_threadsafe([remote = std::move(remote)] { remote.get()->write("back"); });
    }).join();
    ASSERT_TRUE(run_until([&, &other = peer] {
        other.receive_available();
        return other.received() == "back";
    }));
    told.transport().abort();
    ASSERT_TRUE(run_until([&] { return told.lost(); }));
}

TEST_P(Threads, a_RemoteRef_dropped_elsewhere_releases_on_the_loops_thread_also_after_close) {
    auto [peer, ours] = connected_peers();
    Recorder& told = make_recorder();
    Connection<RecordingProtocol> connection =
        run(loop().create_connection<RecordingProtocol>(Descriptor(ours.release()), &told));
    RemoteRef<Transport> dropped = loop().remote_ref(connection.transport);
    RemoteRef<Transport> kept = loop().remote_ref(std::move(connection.transport));
    std::thread([dropped = std::move(dropped)]() mutable {
        const RemoteRef<Transport> here = std::move(dropped);
    }).join();
    run_idle();
    told.forget_transport();
    destroy_loop();
    EXPECT_EQ(told.destroyed(), 1U) << "close() keeps no survivor";
    EXPECT_FALSE(kept.get());
    std::thread([kept = std::move(kept)]() mutable {
        const RemoteRef<Transport> here = std::move(kept);
    }).join();
}

}  // namespace
}  // namespace sluice::test
