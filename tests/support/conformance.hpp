// The frame of the conformance suite: the list of columns, the fixture with its standing checks,
// and bounded driving of the loop.
//
// A suite is `class Closing : public ConformanceTest {}`, its cases are TEST_P, and
//     INSTANTIATE_TEST_SUITE_P(Every, Closing, testing::ValuesIn(conformance_cases()), case_name);
// runs them in every column. The fixture checks after each case that the callback grammar held,
// that nothing unexpected reached the exception handler and that no descriptor is left open.
#pragma once

#include <sluice/event_loop.hpp>

#include "support/recording_protocol.hpp"
#include "support/transport_pair.hpp"

#include <functional>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::test {

/// One column of the suite.
struct ConformanceCase {
    Backend backend;
    TransportKind transport;
    ProtocolKind protocol;
};

/// Every column that exists in this build: the one place where a backend or transport is added.
std::vector<ConformanceCase> conformance_cases();
/// The columns of one protocol kind, for behaviour that only this kind has.
std::vector<ConformanceCase> conformance_cases(ProtocolKind only);
/// The columns whose streams have two halves that end on their own.
std::vector<ConformanceCase> conformance_cases_with_half_close();
/// The columns with TLS, for behaviour that only TLS has.
std::vector<ConformanceCase> conformance_cases_with_tls();
/// The columns whose connection_made is the library's own: not those that start_tls() makes.
std::vector<ConformanceCase> conformance_cases_made_directly();
/// The columns that have no transport of somebody else's in between.
std::vector<ConformanceCase> conformance_cases_over_our_own();
/// The columns in which bytes leave as they were written, in which a case can count them.
std::vector<ConformanceCase> conformance_cases_without_tls();
/// Over TCP and nothing else: what only its sockets know.
std::vector<ConformanceCase> conformance_cases_over_tcp();
std::vector<ConformanceCase> without_tls(std::vector<ConformanceCase> cases);
/// "epoll_tcp_buffered"; for INSTANTIATE_TEST_SUITE_P.
std::string case_name(const testing::TestParamInfo<ConformanceCase>& info);
void PrintTo(const ConformanceCase& value, std::ostream* out);

/// Runs the loop until `done()`. False, with a failure of the running test, after patience(): a
/// test fails instead of hanging. It waits inside run_once, never asleep.
bool run_until(EventLoop& loop, const std::function<bool()>& done,
               std::source_location where = std::source_location::current());
/// Enough iterations for everything that is due to be delivered: to show that nothing comes.
void run_idle(EventLoop& loop);
/// The descriptor of a stream transport.
[[nodiscard]] int fd_of(const Transport& transport);

/// One thing the loop's exception handler was told.
struct Report {
    std::string message;
    std::string what;  ///< what() of the exception, "" if there was none.
    std::error_code error;
    bool has_transport = false;
    bool has_protocol = false;
};

/// A loop with a recording exception handler and the checks every test ends with. Not
/// parameterised: for suites about the loop or the server.
class LoopTest : public testing::Test {
protected:
    explicit LoopTest(Backend backend = Backend::automatic);
    ~LoopTest() override;
    /// Skips what this kernel has no backend for. A fixture that overrides it runs on epoll again.
    void SetUp() override;
    void TearDown() override;

    [[nodiscard]] EventLoop& loop() noexcept { return *loop_; }
    /// Ends the loop early, as its owner's scope would.
    void destroy_loop() noexcept { loop_.reset(); }
    bool run_until(const std::function<bool()>& done,
                   std::source_location where = std::source_location::current());
    void run_idle();
    /// Runs the loop until the task is done and gives its result, or throws what it threw; a task
    /// that does not end fails the test and is cancelled.
    template <class T>
    T run(Task<T> task) {
        return finish(loop().create_task(std::move(task)));
    }
    /// The same for a task that runs already.
    template <class T>
    T finish(TaskHandle<T> handle) {
        if (!run_until([&handle] { return handle.done(); })) {
            handle.cancel();
            run_idle();
            throw std::runtime_error("the task did not end");
        }
        return handle.result();
    }

    /// Does the backend receive for a Protocol by itself, and send what callbacks write? Then no call of
    /// the process shows it.
    [[nodiscard]] bool backend_moves_bytes() const;
    /// Does it read files that are not in memory, so that no thread does?
    [[nodiscard]] bool backend_reads_files() const;

    /// What the exception handler was told since the last call. Reports that nobody takes fail the
    /// test.
    [[nodiscard]] std::vector<Report> take_reports();
    /// A recorder whose grammar is checked at the end; lives as long as the test.
    Recorder& make_recorder();

    /// Called by TearDown before the loop is destroyed: drop what refers to it.
    virtual void release_resources() {}

private:
    Backend backend_;
    std::vector<int> descriptors_before_;
    std::vector<std::unique_ptr<Recorder>> recorders_;
    std::vector<Report> reports_;
    std::unique_ptr<EventLoop> loop_;
};

/// The fixture of the suite: one connection, ready to be made in the wanted way.
class ConformanceTest : public LoopTest, public testing::WithParamInterface<ConformanceCase> {
protected:
    ConformanceTest();

    /// Runs the loop until `done()`, the peers doing what a peer does by itself meanwhile (see
    /// TransportPair::serve_peer). False, with a failure, after patience().
    bool run_until(const std::function<bool()>& done,
                   std::source_location where = std::source_location::current());

    /// Makes the connection and waits until create_* has returned. The trace is then "M returns",
    /// for a server "M".
    void open(PairOptions options = {});
    /// The same, forgetting the trace so far.
    void open_quietly(PairOptions options = {});

    /// One more connection on the same loop, not started yet; lives as long as the test.
    TransportPair& another(Recorder& recorder);
    /// Starts one and waits until it is ready.
    void open(TransportPair& pair, PairOptions options);

    [[nodiscard]] bool uses_tls() const { return !is_plain(GetParam().transport); }
    [[nodiscard]] bool over_unix() const {
        return GetParam().transport == TransportKind::unix_socket;
    }
    /// Does the backend send what a callback writes, so that no system call shows it?
    [[nodiscard]] bool backend_sends() const { return backend_moves_bytes(); }
    /// Does it receive for the connection's socket?
    [[nodiscard]] bool backend_receives() const {
        return backend_moves_bytes() && (uses_tls() ? over_transport() : !buffered());
    }
    [[nodiscard]] bool over_transport() const {
        return GetParam().transport == TransportKind::tls_over_transport;
    }
    [[nodiscard]] bool buffered() const { return GetParam().protocol == ProtocolKind::buffered; }
    [[nodiscard]] Recorder& recorder() noexcept { return *recorder_; }
    [[nodiscard]] TransportPair& pair() noexcept { return *pair_; }
    [[nodiscard]] Transport& transport() noexcept { return pair_->transport(); }
    [[nodiscard]] Peer& peer() noexcept { return pair_->peer(); }

    /// Runs the loop until connection_lost was called.
    void run_until_lost();
    /// Runs the loop, the peer reading, until it has this many bytes in all.
    void peer_receives(std::size_t byte_count);
    /// The same until the end of the stream; the bytes.
    std::string peer_receives_everything();
    /// Sends from the peer, running the loop as long as the kernel refuses.
    void peer_sends(std::string_view bytes);
    /// The peer ends the connection so that our end is told ECONNRESET.
    void peer_resets() { pair_->peer_resets(); }
    /// The peer ends its stream, and the kernel has that for us: nothing has been read yet.
    void peer_ends();
    /// Runs `body` as a callback of the loop and waits for it: where gathering applies.
    void in_callback(std::function<void()> body);
    /// Writes until the kernel takes no more and the unsent bytes stay constant; the peer must not
    /// read meanwhile. Needs small_buffers. Gives the count of bytes written. The limits are
    /// generous afterwards (16 MiB), so that nothing is paused.
    std::size_t plug();

    void release_resources() override;

private:
    Recorder* recorder_;
    std::unique_ptr<TransportPair> pair_;
    std::vector<std::unique_ptr<TransportPair>> others_;
};

/// `byte_count` bytes in which every misplaced, missing or doubled one shows.
std::string pattern(std::size_t byte_count, unsigned seed = 0);

}  // namespace sluice::test
