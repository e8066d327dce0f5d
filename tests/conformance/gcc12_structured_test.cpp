// What users naturally write with task groups, timeouts, locks and queues, in the forms that GCC 12 is
// known to miscompile or close to them. The style is deliberately not the project's, as in
// gcc12_coroutines_test.cpp.
#include <sluice/sluice.hpp>

#include "support/loop_fixture.hpp"

#include <set>
#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

// Knows the addresses of all living objects, so that a second destruction is noticed.
class Counted {
public:
    Counted(std::string value) : value_(std::move(value)) { born(); }
    Counted(const Counted& other) : value_(other.value_) { born(); }
    Counted(Counted&& other) noexcept : value_(std::move(other.value_)) { born(); }
    Counted& operator=(const Counted&) = default;
    Counted& operator=(Counted&&) noexcept = default;
    ~Counted() { mistakes += alive.erase(this) == 1 ? 0 : 1; }
    [[nodiscard]] const std::string& value() const noexcept { return value_; }

    static inline std::set<const Counted*> alive;
    static inline int mistakes = 0;

private:
    void born() { mistakes += alive.insert(this).second ? 0 : 1; }
    std::string value_;
};

const std::string long_text = "a string that is much too long for the small string optimisation";

class NaturalGroups : public BackendTest {
protected:
    void TearDown() override {
        BackendTest::TearDown();
        EXPECT_EQ(std::exchange(Counted::mistakes, 0), 0) << "destroyed twice or never made";
        EXPECT_TRUE(Counted::alive.empty()) << Counted::alive.size() << " objects are left";
        Counted::alive.clear();
    }
};
INSTANTIATE_TEST_SUITE_P(Every, NaturalGroups, testing::ValuesIn(backends()), backend_case_name);

Task<Counted> make(std::string text, Duration time = 0ns) {
    co_await sleep(time);
    co_return Counted(std::move(text));
}

Task<int> length(Counted text) {
    co_await sleep(0ns);
    co_return static_cast<int>(text.value().size());
}

Task<int> lambda_with_references_in_the_call() {
    int total = 0;
    const Counted text(long_text);
    co_await task_group([&](TaskGroup& group) -> Task<> {
        TaskHandle<int> one = group.create_task(length(text));
        TaskHandle<int> two = group.create_task(length(Counted("12345")));
        total += co_await one;
        total += co_await two;
    });
    co_return total;
}

TEST_P(NaturalGroups, a_lambda_that_captures_by_reference_stands_in_the_call) {
    EXPECT_EQ(run(lambda_with_references_in_the_call()), static_cast<int>(long_text.size()) + 5);
}

Task<int> plain_lambda_in_the_call() {
    std::string all;
    co_await task_group([&](TaskGroup& group) {
        auto append = [](std::string& out, Counted text) -> Task<> {
            co_await sleep(0ns);
            out += text.value();
        };
        group.create_task(append(all, Counted("a")));
        group.create_task(append(all, Counted(long_text)));
    });
    co_return static_cast<int>(all.size());
}

TEST_P(NaturalGroups, a_lambda_that_only_starts_tasks_stands_in_the_call) {
    EXPECT_EQ(run(plain_lambda_in_the_call()), static_cast<int>(long_text.size()) + 1);
}

Task<std::string> named_lambda_with_values() {
    const Counted text(long_text);
    auto body = [text, more = Counted("more")](TaskGroup& group) -> Task<std::string> {
        auto first = group.create_task(make(text.value()));
        co_await sleep(1ms);
        const Counted result = co_await first;
        co_return result.value() + more.value();
    };
    co_return co_await task_group(body);
}

TEST_P(NaturalGroups, a_named_lambda_may_capture_by_value) {
    EXPECT_EQ(run(named_lambda_with_values()), long_text + "more");
}

Task<std::string> the_object_form(int count) {
    std::string all;
    TaskGroup group;
    std::vector<TaskHandle<Counted>> handles;
    for (int i = 0; i < count; ++i) {
        handles.push_back(group.create_task(make(long_text + std::to_string(i), 1ms)));
    }
    co_await group.wait();
    for (auto& handle : handles) {
        all += handle.result().value().back();
    }
    co_return all;
}

TEST_P(NaturalGroups, the_object_form_in_a_loop) {
    EXPECT_EQ(run(the_object_form(5)), "01234");
}

Task<std::string> timeouts_everywhere(Queue<Counted>& queue, Event& event, Lock& lock) {
    std::string log;
    try {
        const Counted value = co_await timeout(1ms, queue.get());
        log += value.value();
    } catch (const TimeoutError&) {
        log += "empty ";
    }
    co_await timeout(1h, queue.put(Counted(long_text)));
    const auto value = co_await timeout(1h, queue.get());
    log += value.value().substr(0, 8);
    const std::string text = (co_await timeout(1h, make("made"))).value();
    log += " " + text;
    try {
        co_await timeout(1ms, event.wait());
    } catch (const std::system_error& error) {
        log += error.code() == std::errc::timed_out ? " late " : "?";
    }
    {
        const auto permit = co_await timeout(1h, lock.acquire());
        log += lock.locked() ? "locked" : "?";
    }
    co_return log + (lock.locked() ? "?" : " unlocked");
}

TEST_P(NaturalGroups, timeouts_around_queues_events_locks_and_calls) {
    Queue<Counted> queue(1);
    Event event;
    Lock lock;
    EXPECT_EQ(run(timeouts_everywhere(queue, event, lock)),
              "empty a string made late locked unlocked");
}

Task<std::string> stream_reads(StreamReader reader) {
    std::string log = co_await timeout(1h, reader.readline());
    try {
        co_await timeout(1ms, reader.readexactly(100));
    } catch (const TimeoutError&) {
        log += "late ";
    }
    for (auto line = co_await timeout(1h, reader.next_line()); line;
         line = co_await timeout(1h, reader.next_line())) {
        log += *line + ",";
    }
    auto [end, text] = co_await gather(reader.read(), make("made"));
    co_return log + end + text.value();
}

TEST_P(NaturalGroups, timeouts_and_gather_around_reads_of_a_stream) {
    const StreamReader reader;
    reader.feed_data("first\na\nb");
    loop().call_later(20ms, [&reader] { reader.feed_eof(); });
    EXPECT_EQ(run(stream_reads(reader)), "first\nlate a,b,made");
}

template <class A>
concept GivenToGather = requires(A awaitable) { gather(std::move(awaitable)); };
static_assert(GivenToGather<detail::ReadAwaiter<std::string>> && GivenToGather<Future<int>> &&
              !GivenToGather<detail::SleepAwaiter> && !GivenToGather<int>);

Task<bool> flag(Event& event, bool value) {
    co_await timeout(1h, event.wait());
    co_return value;
}

// The house rule forbids all of these; users have not read it.
Task<std::string> conditions_and_arguments(Queue<Counted>& queue, Event& event, Lock& lock) {
    std::string log;
    if (co_await flag(event, true)) {
        log += "if ";
    }
    int rounds = 0;
    while (co_await flag(event, rounds < 2)) {
        ++rounds;
    }
    do {
        --rounds;
    } while (co_await flag(event, rounds > 0));
    if (const auto value = co_await timeout(1h, queue.get()); !value.value().empty()) {
        log += value.value().substr(0, 8) + " ";
    }
    log += std::to_string(co_await length(co_await queue.get()));
    log += std::to_string((co_await length(Counted("four"))) + (co_await length(Counted("five5"))));
    if (!(co_await flag(event, false)) && (co_await flag(event, true))) {
        log += " both";
    }
    for (int i = co_await length(Counted("ab")); i > 0; --i) {
        const auto permit = co_await timeout(1h, lock.acquire());
        log += lock.locked() ? "+" : "?";
    }
    const std::vector<TaskHandle<Counted>> handles{EventLoop::running()->create_task(make("x")),
                                                   EventLoop::running()->create_task(make("y"))};
    for (const auto& one : (co_await wait(handles)).done) {
        log += one.result().value();
    }
    AsCompleted<Counted> results(handles);
    while (!results.empty()) {
        log += (co_await (co_await results.next())).value();
    }
    co_return log;
}

TEST_P(NaturalGroups, awaits_in_conditions_loops_and_arguments) {
    Queue<Counted> queue;
    Event event;
    Lock lock;
    queue.put_nowait(Counted(long_text));
    queue.put_nowait(Counted("123"));
    event.set();
    EXPECT_EQ(run(conditions_and_arguments(queue, event, lock)), "if a string 39 both++xyxy");
}

Task<int> queues_with_temporaries() {
    Queue<Counted> queue(2);
    int size = 0;
    co_await queue.put(Counted("x"));
    co_await queue.put(std::string("yy"));
    size += static_cast<int>((co_await queue.get()).value().size());
    Counted second = co_await queue.get();
    while (queue.qsize() < 2) {
        co_await queue.put(second);
    }
    for (int i = 0; i < 2; ++i) {
        size += static_cast<int>((co_await queue.get()).value().size());
    }
    co_return size;
}

TEST_P(NaturalGroups, queues_with_temporaries_as_values) {
    EXPECT_EQ(run(queues_with_temporaries()), 5);
}

Task<std::string> gathering() {
    auto [one, two] = co_await gather(make("one"), make(long_text, 1ms));
    auto [three, four] = co_await gather(return_exceptions, make("three"), length(Counted("four")));
    std::vector<Task<Counted>> many;
    many.push_back(make("five"));
    many.push_back(make("six"));
    const auto all = co_await gather(std::move(many));
    co_return one.value() + two.value().substr(0, 1) + three.value().value() +
        std::to_string(four.value()) + all[0].value() + all[1].value();
}

TEST_P(NaturalGroups, structured_bindings_of_gather) {
    EXPECT_EQ(run(gathering()), "oneathree4fivesix");
}

Task<int> guards(Lock& lock, Semaphore& semaphore, Condition& condition, bool& ready) {
    const Permit locked = co_await lock.acquire();
    const auto permit = co_await semaphore.acquire();
    auto held = co_await condition.acquire();
    co_await condition.wait_for(held, [&ready] { return ready; });
    while (!ready) {
        co_await condition.wait(held);
    }
    co_return lock.locked() && condition.locked() ? 1 : 0;
}

TEST_P(NaturalGroups, guards_of_locks_semaphores_and_conditions) {
    Lock lock;
    Semaphore semaphore(1);
    Condition condition;
    bool ready = false;
    TaskHandle<int> first = loop().create_task(guards(lock, semaphore, condition, ready));
    TaskHandle<int> second = loop().create_task(guards(lock, semaphore, condition, ready));
    run_idle();
    {
        const Permit held = condition.try_acquire();
        ready = true;
        condition.notify_all();
    }
    EXPECT_EQ(finish(first) + finish(second), 2);
    EXPECT_FALSE(lock.locked() || semaphore.locked() || condition.locked());
}

Task<std::string> errors(EventLoop& loop) {
    std::string log;
    for (int attempt = 0; attempt < 2; ++attempt) {
        try {
            co_await task_group([&](TaskGroup& group) -> Task<> {
                group.create_task([](Counted text) -> Task<> {
                    co_await sleep(0ns);
                    throw std::runtime_error(text.value());
                }(Counted(long_text)));
                co_await sleep(1h);
            });
        } catch (const ExceptionGroup& group) {
            log += std::to_string(group.exceptions().size());
        }
    }
    auto slow = loop.create_task(make("slow", 1h));
    try {
        co_await timeout(1ms, shield(slow));
    } catch (const TimeoutError&) {
        log += slow.done() ? "?" : " shielded";
    }
    slow.cancel();
    co_return log;
}

TEST_P(NaturalGroups, errors_and_shields) {
    EXPECT_EQ(run(errors(loop())), "11 shielded");
}

TEST_P(NaturalGroups, dropping_and_cancelling_at_every_step) {
    for (int steps = 0; steps < 12; ++steps) {
        Queue<Counted> queue(1);
        Event event;
        Lock lock;
        auto task = loop().create_task(timeouts_everywhere(queue, event, lock));
        auto other = loop().create_task(named_lambda_with_values());
        for (int i = 0; i < steps; ++i) {
            loop().run_once();
        }
        task.cancel();
        other.cancel();
        ASSERT_TRUE(run_until([&] { return task.done() && other.done(); }));
        ASSERT_EQ(Counted::mistakes, 0) << steps;
        ASSERT_FALSE(lock.locked());
    }
}

}  // namespace
}  // namespace sluice::test
