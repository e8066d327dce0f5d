// Handles of every kind that outlive their loop, and loops destroyed with everything still going
// on: nothing is called, nothing leaks, nothing dangles (the sanitizer builds see that).
#include "support/loop_fixture.hpp"

#include <chrono>
#include <memory>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Outliving : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Outliving, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Outliving, a_handle_whose_callback_never_ran) {
    Handle soon = loop().call_soon([] {});
    TimerHandle later = loop().call_later(1h, [] {});
    destroy_loop();
    soon.cancel();
    later.cancel();
    const Handle copy = soon;
    const TimerHandle timer_copy = later;
}

TEST_P(Outliving, a_handle_whose_callback_ran) {
    Handle soon = loop().call_soon([] {});
    TimerHandle later = loop().call_later(0ns, [] {});
    run_idle();
    destroy_loop();
    soon.cancel();
    later.cancel();
    EXPECT_FALSE(soon.cancelled());
    const Handle copy = soon;
}

TEST_P(Outliving, a_future_that_was_never_set) {
    Future<std::string> future = loop().create_future<std::string>();
    bool called = false;
    future.add_done_callback([&] { called = true; });
    destroy_loop();
    EXPECT_FALSE(future.done());
    EXPECT_FALSE(called);
    const Future<std::string> copy = future;
}

TEST_P(Outliving, a_future_that_was_set) {
    Future<int> future = loop().create_future<int>();
    future.set_result(3);
    destroy_loop();
    EXPECT_EQ(future.result(), 3);
}

Task<int> give(int value) {
    co_return value;
}

TEST_P(Outliving, a_finished_task) {
    TaskHandle<int> task = loop().create_task(give(4));
    run_idle();
    destroy_loop();
    EXPECT_TRUE(task.done());
    EXPECT_EQ(task.result(), 4);
}

Task<void> fail() {
    throw std::runtime_error("nobody asked");
    co_return;
}

TEST_P(Outliving, a_failed_task_nobody_asked) {
    TaskHandle<void> task = loop().create_task(fail());
    run_idle();
    destroy_loop();
    // Whether it is reported, and to whom, is open once the loop is gone; that it is safe is not.
    testing::internal::CaptureStderr();
    task = TaskHandle<void>();
    static_cast<void>(testing::internal::GetCapturedStderr());
    static_cast<void>(take_reports());
}

struct SetsAtEnd {
    bool* gone;
    ~SetsAtEnd() { *gone = true; }
};

Task<void> sleep_with_local(bool& gone) {
    const SetsAtEnd local{&gone};
    co_await sleep(1h);
}

TEST_P(Outliving, a_sleeping_task_loses_its_locals_when_the_loop_is_closed) {
    bool gone = false;
    TaskHandle<void> task = loop().create_task(sleep_with_local(gone));
    run_idle();
    EXPECT_FALSE(gone);
    loop().close();
    EXPECT_TRUE(gone) << "close() destroys what waits, although a handle is kept";
    EXPECT_TRUE(task.done());
    EXPECT_TRUE(task.cancelled());
    destroy_loop();
}

Task<void> wait_for(Future<void> future, bool& gone) {
    const SetsAtEnd local{&gone};
    co_await future;
}

TEST_P(Outliving, a_task_that_waits_for_a_future_kept_elsewhere) {
    bool gone = false;
    Future<void> future = loop().create_future<void>();
    TaskHandle<void> task = loop().create_task(wait_for(future, gone));
    run_idle();
    destroy_loop();
    EXPECT_FALSE(task.cancel());
    task = TaskHandle<void>();
    EXPECT_TRUE(gone);
}

TEST_P(Outliving, a_task_that_never_started) {
    bool gone = false;
    TaskHandle<void> task = loop().create_task(sleep_with_local(gone));
    destroy_loop();
    EXPECT_TRUE(task.done());
    EXPECT_FALSE(gone) << "no local was ever made";
}

TEST_P(Outliving, tasks_that_wait_for_each_other) {
    bool gone = false;
    auto outer = [](TaskHandle<void> inner) -> Task<void> { co_await inner; };
    TaskHandle<void> inner = loop().create_task(sleep_with_local(gone));
    TaskHandle<void> waiting = loop().create_task(outer(inner));
    TaskHandle<void> second = loop().create_task(outer(waiting));
    run_idle();
    inner = TaskHandle<void>();
    waiting = TaskHandle<void>();
    destroy_loop();
    EXPECT_TRUE(gone);
    EXPECT_TRUE(second.done());
}

Task<void> connect_and_hold(EventLoop& loop, std::uint16_t port, bool& gone) {
    const SetsAtEnd local{&gone};
    Recorder recorder;
    co_await loop.create_connection<RecordingProtocol>("127.0.0.1", port, ConnectOptions(),
                                                       &recorder);
}

TEST_P(Outliving, a_connect_that_is_in_progress) {
    const BlackHole hole;
    bool gone = false;
    const std::vector<int> before = open_descriptors();
    TaskHandle<void> task = loop().create_task(connect_and_hold(loop(), hole.port(), gone));
    run_idle();
    EXPECT_GT(open_descriptors().size(), before.size());
    destroy_loop();
    EXPECT_TRUE(task.done());
    task = TaskHandle<void>();
    EXPECT_TRUE(gone);
}

TEST_P(Outliving, A12_connections_and_servers_that_are_still_open) {
    Ref<Server> server = serve();
    Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    Ref<Transport> transport(&connections()[0]->transport());
    const SocketAddress name = transport->get_extra_info(extra::peername);
    destroy_loop();
    EXPECT_FALSE(connections()[0]->lost());
    EXPECT_TRUE(wait_for_hang_up(peer.fd()));
    transport->write("x");
    transport->close();
    transport->abort();
    transport->resume_reading();
    EXPECT_TRUE(transport->is_closing());
    EXPECT_EQ(transport->get_extra_info(extra::peername), name);
    EXPECT_EQ(transport->get_protocol(), nullptr);
    server->close();
    server->abort_clients();
    server->close_clients();
    EXPECT_TRUE(server->sockets().empty());
    EXPECT_FALSE(server->is_serving());
    EXPECT_THROW(server->start_serving(), std::logic_error);
}

TEST_P(Outliving, tasks_of_a_server_that_wait_for_its_end) {
    Ref<Server> server = serve();
    auto hold = [](Ref<Server> held) -> Task<void> { co_await held->wait_closed(); };
    auto forever = [](Ref<Server> held) -> Task<void> { co_await held->serve_forever(); };
    TaskHandle<void> waiting = loop().create_task(hold(server));
    TaskHandle<void> serving = loop().create_task(forever(server));
    Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    destroy_loop();
    EXPECT_TRUE(waiting.done());
    EXPECT_TRUE(serving.done());
}

TEST_P(Outliving, in_debug_mode_what_is_left_is_reported) {
    loop().set_debug(true);
    loop().set_slow_callback_duration(std::chrono::hours(1));  // the machine may be slow
    bool gone = false;
    TaskHandle<void> task = loop().create_task(sleep_with_local(gone));
    Ref<Server> server = serve();
    run_idle();
    loop().close();
    bool pending_task = false;
    bool open_server = false;
    for (const Report& report : take_reports()) {
        pending_task |= report.message.find("pending") != std::string::npos;
        open_server |= report.message.find("server") != std::string::npos;
    }
    EXPECT_TRUE(pending_task);
    EXPECT_TRUE(open_server) << "N286: dropping a server unclosed warns";
}

}  // namespace
}  // namespace sluice::test
