// World: one run of a program: a kernel, a loop, a server, and the ends of every connection.
//
// It starts everything, lets it happen, then mends all that was broken and asks whether everything
// that had to arrive has arrived and everything that had to end has ended. The rules about single
// callbacks are in LibraryEnd.
#pragma once

#include <sluice/event_loop.hpp>

#include "simulation/pattern.hpp"
#include "simulation/program.hpp"
#include "support/sys_sim.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sluice::test {

class LibraryEnd;
class RawEnd;

/// What the oracle says: nothing, or what is wrong, with a class of error before the colon.
struct Verdict {
    std::string failure;
    std::uint64_t faults = 0;
    std::uint64_t calls = 0;
    std::uint64_t callbacks = 0;
    [[nodiscard]] bool failed() const noexcept { return !failure.empty(); }
};

/// Runs the program. With `trace` writes every system call and callback to it.
Verdict run_program(const Program& program, std::FILE* trace = nullptr);

/// A call of the user's into a transport, while it lasts.
struct UserCall {
    const LibraryEnd* end;
    bool may_pause;
};

class World : private LoopObserver {
public:
    World(const Program& program, std::FILE* trace);
    ~World() override;
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    Verdict run();

    // ---- for the ends ----

    void fail(const std::string& what);
    [[nodiscard]] bool failed() const noexcept { return !failure_.empty(); }
    /// Programs do nothing any more: everything is to come to an end.
    [[nodiscard]] bool mending() const noexcept { return mending_; }
    /// The loop is gone: no callback may come.
    [[nodiscard]] bool over() const noexcept { return loop_ == nullptr; }
    /// What the loop may hold of one connection's bytes until it waits, for the connection as good as
    /// sent.
    [[nodiscard]] std::size_t held_at_most() const noexcept {
        return program_.over_io_uring ? limits::batched_send_bytes : 0;
    }
    [[nodiscard]] EventLoop& loop() noexcept { return *loop_; }
    [[nodiscard]] SimKernel& kernel() noexcept { return kernel_; }
    [[nodiscard]] std::uint64_t iteration() const noexcept { return iteration_; }
    [[nodiscard]] LibraryEnd* library_end(int connection, std::size_t index);
    /// The bytes that the end opposite of `connection`, `index` has handed over, if all of them must
    /// have arrived when its end of stream has.
    [[nodiscard]] std::optional<std::uint64_t> promised_to(std::size_t connection,
                                                           std::size_t index);
    /// The end that an accepted transport belongs to; null for none of ours.
    LibraryEnd* accepted(Transport& transport);
    std::unique_ptr<StreamProtocol> make_protocol(LibraryEnd* end, bool buffered,
                                                  unsigned generation);
    void server_action(Op op);
    void schedule(const Action& action, LibraryEnd& target);

    UserCall* call = nullptr;
    int callback_depth = 0;
    int release_depth = 0;
    int live_protocols = 0;
    std::uint64_t callbacks = 0;
    // What the running callback or closure is to throw when it ends.
    std::optional<Op> to_throw;
    void throw_if_asked();

private:
    void start();
    void spoil_first_addresses(std::uint16_t port);
    void start_connection(std::size_t index);
    void start_timed_actions(LibraryEnd& end);
    Task<void> connect(std::size_t index);
    std::unique_ptr<StreamProtocol> make_accepted();
    void report(const ExceptionContext& context);

    void run_outside_actions();
    void on_iteration(std::chrono::nanoseconds slept, std::chrono::nanoseconds ran,
                      std::size_t readiness_events) noexcept override;
    void step();
    void run_until(Duration end);
    void come_to_rest(const char* what);
    void mend();
    void check_arrival(std::size_t connection, std::size_t receiver);
    void close_all();
    void abort_all();
    void destroy_early();
    void drop_handles();
    void check_nothing_left();

    const Program& program_;
    std::string failure_;
    SimKernel kernel_;
    std::unique_ptr<EventLoop> loop_;
    Ref<Server> server_;
    std::vector<std::array<std::unique_ptr<LibraryEnd>, 2>> library_;
    std::vector<std::array<std::unique_ptr<RawEnd>, 2>> raw_;
    struct Connecting {
        LibraryEnd* end;
        TaskHandle<void> task;
    };
    std::vector<Connecting> connecting_;
    TaskHandle<void> server_closed_;
    std::vector<Handle> handles_;
    std::vector<std::pair<Duration, std::pair<LibraryEnd*, const Action*>>> outside_;
    std::size_t next_outside_ = 0;

    bool mending_ = false;
    std::uint64_t iteration_ = 0;
    std::uint64_t iterations_left_ = 0;  // until the loop is to be left; 0: it knows by itself
    unsigned factory_calls_ = 0;
    std::uint64_t closures_scheduled_ = 0;
    std::uint64_t closures_run_ = 0;
    std::uint64_t thrown_ = 0;
    std::uint64_t thrown_reported_ = 0;
    unsigned stops_thrown_ = 0;  // since the last iteration ended
};

}  // namespace sluice::test
