// The conformance fixture. See conformance.hpp.
#include "support/conformance.hpp"

#include "support/loop_fixture.hpp"
#include "support/patience.hpp"

#include <chrono>
#include <cstdlib>
#include <exception>
#include <ostream>
#include <string_view>
#include <utility>

namespace sluice::test {

namespace {

// One wait inside the loop: short, because what the test waits for may happen outside the loop.
constexpr std::chrono::milliseconds one_wait{2};
constexpr int idle_iterations = 20;
constexpr std::size_t plug_piece_bytes = 16 * 1024;
constexpr std::size_t generous_limit_bytes = 16 * 1024 * 1024;

#ifdef _WIN32
constexpr bool has_unix_sockets = false;
#else
constexpr bool has_unix_sockets = true;
#endif

const char* name_of(TransportKind transport) {
    switch (transport) {
        case TransportKind::tcp:
            return "tcp";
        case TransportKind::unix_socket:
            return "unix";
        case TransportKind::tls:
            return "tls";
        case TransportKind::tls_over_transport:
            return "tls_over_transport";
        case TransportKind::tls_in_tls:
            return "tls_in_tls";
        case TransportKind::ktls:
            return "ktls";
        case TransportKind::ktls_receiving:
            return "ktls_receiving";
    }
    return "?";
}

const char* name_of(Backend backend) {
    switch (backend) {
        case Backend::automatic:
            return "automatic";
        case Backend::epoll:
            return "epoll";
        case Backend::kqueue:
            return "kqueue";
        case Backend::io_uring:
            return "io_uring";
        case Backend::iocp:
            return "iocp";
    }
    return "?";
}

template <class Wanted>
std::vector<ConformanceCase> cases_where(Wanted wanted) {
    std::vector<ConformanceCase> cases = conformance_cases();
    std::erase_if(cases, [wanted](const ConformanceCase& each) { return !wanted(each); });
    return cases;
}

std::string what_of(const std::exception_ptr& exception) {
    if (!exception) {
        return {};
    }
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
        return "not a std::exception";
    }
}

}  // namespace

std::vector<ConformanceCase> conformance_cases() {
    using enum TransportKind;
    std::vector<ConformanceCase> cases;
    for (const Backend backend : backends()) {
        std::vector<TransportKind> transports = {tcp, unix_socket, tls, tls_over_transport,
                                                 tls_in_tls};
        if (!has_unix_sockets) {
            std::erase(transports, unix_socket);
        }
        if (std::getenv("KTLS_VM") != nullptr) {
            transports.insert(transports.end(), {ktls, ktls_receiving});
        }
        for (const TransportKind transport : transports) {
            for (const ProtocolKind protocol : {ProtocolKind::simple, ProtocolKind::buffered}) {
                cases.push_back({backend, transport, protocol});
            }
        }
    }
    return cases;
}

std::vector<ConformanceCase> conformance_cases(ProtocolKind only) {
    return cases_where([only](const ConformanceCase& each) { return each.protocol == only; });
}

std::vector<ConformanceCase> conformance_cases_with_half_close() {
    return conformance_cases_without_tls();
}

std::vector<ConformanceCase> conformance_cases_with_tls() {
    return cases_where([](const ConformanceCase& each) { return !is_plain(each.transport); });
}

std::vector<ConformanceCase> conformance_cases_made_directly() {
    return cases_where([](const ConformanceCase& each) { return is_direct(each.transport); });
}

std::vector<ConformanceCase> conformance_cases_over_our_own() {
    return cases_where([](const ConformanceCase& each) {
        return each.transport != TransportKind::tls_over_transport;
    });
}

std::vector<ConformanceCase> conformance_cases_over_tcp() {
    return cases_where(
        [](const ConformanceCase& each) { return each.transport == TransportKind::tcp; });
}

std::vector<ConformanceCase> conformance_cases_without_tls() {
    return without_tls(conformance_cases());
}

std::vector<ConformanceCase> without_tls(std::vector<ConformanceCase> cases) {
    std::erase_if(cases, [](const ConformanceCase& each) { return !is_plain(each.transport); });
    return cases;
}

std::string case_name(const testing::TestParamInfo<ConformanceCase>& info) {
    return std::string(name_of(info.param.backend)) + "_" + name_of(info.param.transport) + "_" +
           (info.param.protocol == ProtocolKind::buffered ? "buffered" : "simple");
}

void PrintTo(const ConformanceCase& value, std::ostream* out) {
    *out << case_name({value, 0});
}

bool run_until(EventLoop& loop, const std::function<bool()>& done, std::source_location where) {
    const auto deadline = std::chrono::steady_clock::now() + patience();
    // Work that is due first, so that the usual case never waits.
    for (loop.run_once(); !done(); loop.run_once(one_wait)) {
        if (std::chrono::steady_clock::now() > deadline) {
            ADD_FAILURE_AT(where.file_name(), static_cast<int>(where.line()))
                << "what run_until waits for did not happen within " << patience().count()
                << " seconds";
            return false;
        }
    }
    return true;
}

void run_idle(EventLoop& loop) {
    for (int i = 0; i < idle_iterations; ++i) {
        loop.run_once();
    }
}

int fd_of(const Transport& transport) {
    return transport.get_extra_info(extra::socket).fd();
}

LoopTest::LoopTest(Backend backend)
    : backend_(backend),
      descriptors_before_(open_descriptors()),
      loop_(std::make_unique<EventLoop>(backend)) {
    loop_->set_exception_handler([this](const ExceptionContext& context) {
        reports_.push_back({context.message, what_of(context.exception), context.error,
                            context.transport != nullptr, context.protocol != nullptr});
    });
}

LoopTest::~LoopTest() = default;

void LoopTest::SetUp() {
    const char* const chosen = std::getenv("SLUICE_BACKEND");
    const bool wants_io_uring =
        backend_ == Backend::io_uring || (backend_ == Backend::automatic && chosen != nullptr &&
                                          chosen == std::string_view("io_uring"));
    if (wants_io_uring && std::string_view(loop_->backend_name()) != "io_uring") {
        GTEST_SKIP() << loop_->backend_report();
    }
}

void LoopTest::TearDown() {
    std::vector<std::string> traces;
    for (const auto& recorder : recorders_) {
        traces.push_back(recorder->trace());
        recorder->forget_transport();
    }
    release_resources();
    loop_.reset();

    for (std::size_t i = 0; i < recorders_.size(); ++i) {
        const Recorder& recorder = *recorders_[i];
        EXPECT_EQ(recorder.trace(), traces[i]) << "a callback came from the loop's destructor";
        EXPECT_EQ(recorder.destroyed(), recorder.created()) << "a protocol leaked";
        for (const std::string& violation : recorder.violations()) {
            ADD_FAILURE() << "callback grammar: " << violation;
        }
    }
    for (const Report& report : reports_) {
        ADD_FAILURE() << "unexpected report: " << report.message << ": " << report.what << " "
                      << report.error.message();
    }
    EXPECT_EQ(open_descriptors(), descriptors_before_) << "descriptors leaked";
}

bool LoopTest::run_until(const std::function<bool()>& done, std::source_location where) {
    return test::run_until(loop(), done, where);
}

void LoopTest::run_idle() {
    test::run_idle(loop());
}

bool LoopTest::backend_moves_bytes() const {
    return loop_->backend_report().find("sends in batches") != std::string::npos &&
           loop_->backend_report().find("no multishot receive") == std::string::npos;
}

bool LoopTest::backend_reads_files() const {
    const std::string report = loop_->backend_report();
    return report.find("file reads") != std::string::npos &&
           report.find("no multishot accept") == std::string::npos;
}

std::vector<Report> LoopTest::take_reports() {
    return std::exchange(reports_, {});
}

Recorder& LoopTest::make_recorder() {
    recorders_.push_back(std::make_unique<Recorder>());
    return *recorders_.back();
}

ConformanceTest::ConformanceTest()
    : LoopTest(GetParam().backend),
      recorder_(&make_recorder()),
      pair_(std::make_unique<TransportPair>(loop(), GetParam().transport, GetParam().protocol,
                                            *recorder_)) {}

TransportPair& ConformanceTest::another(Recorder& recorder) {
    others_.push_back(std::make_unique<TransportPair>(loop(), GetParam().transport,
                                                      GetParam().protocol, recorder));
    return *others_.back();
}

bool ConformanceTest::run_until(const std::function<bool()>& done, std::source_location where) {
    return test::run_until(
        loop(),
        [&] {
            pair_->serve_peer();
            for (const auto& other : others_) {
                other->serve_peer();
            }
            return done();
        },
        where);
}

void ConformanceTest::open(TransportPair& pair, PairOptions options) {
    pair.start(options);
    ASSERT_TRUE(run_until([&pair] { return pair.ready() || pair.failure(); }));
    ASSERT_EQ(what_of(pair.failure()), "");
    if (uses_tls()) {
        // Session tickets follow the handshake; a case is about what it sends itself.
        run_idle();
    }
}

void ConformanceTest::open(PairOptions options) {
    open(*pair_, options);
}

void ConformanceTest::open_quietly(PairOptions options) {
    open(options);
    recorder_->clear_trace();
}

void ConformanceTest::run_until_lost() {
    ASSERT_TRUE(run_until([this] { return recorder_->lost(); })) << recorder_->trace();
}

void ConformanceTest::peer_receives(std::size_t byte_count) {
    ASSERT_TRUE(run_until([this, byte_count] {
        peer().receive_available();
        return peer().received().size() >= byte_count || peer().saw_end() || peer().error() != 0;
    })) << peer().received().size()
        << " of " << byte_count << " bytes";
    EXPECT_EQ(peer().received().size(), byte_count);
}

std::string ConformanceTest::peer_receives_everything() {
    EXPECT_TRUE(run_until([this] {
        peer().receive_available();
        return peer().saw_end() || peer().error() != 0;
    }));
    EXPECT_EQ(peer().error(), 0);
    return peer().take_received();
}

void ConformanceTest::peer_sends(std::string_view bytes) {
    ASSERT_TRUE(run_until([this, &bytes] {
        bytes.remove_prefix(peer().send_some(bytes));
        return bytes.empty() && peer().send_rest();
    }));
}

void ConformanceTest::peer_ends() {
    peer().shutdown_write();
    // A TLS stream ends with a record; what is below goes on.
    ASSERT_TRUE(uses_tls() ? wait_readable(fd_of(transport()))
                           : wait_for_hang_up(fd_of(transport())));
}

void ConformanceTest::in_callback(std::function<void()> body) {
    bool ran = false;
    loop().call_soon([&body, &ran] {
        ran = true;
        body();
    });
    ASSERT_TRUE(run_until([&ran] { return ran; }));
}

std::size_t ConformanceTest::plug() {
    transport().set_write_buffer_limits(generous_limit_bytes);
    const std::string piece = pattern(plug_piece_bytes);
    std::size_t written = 0;
    std::size_t size_before = 0;
    // The kernel's last acknowledgements may still make room after the first refusal: it is full
    // when the backlog has not shrunk over many iterations.
    do {
        transport().write(piece);
        written += piece.size();
        size_before = transport().get_write_buffer_size();
        run_idle();
    } while (size_before == 0 || transport().get_write_buffer_size() != size_before);
    return written;
}

void ConformanceTest::release_resources() {
    others_.clear();
    pair_.reset();
}

std::string pattern(std::size_t byte_count, unsigned seed) {
    std::string bytes(byte_count, '\0');
    std::uint32_t state = 2654435769U + seed;
    for (char& byte : bytes) {
        // xorshift: no period within any size used here.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        byte = static_cast<char>(state >> 24);
    }
    return bytes;
}

}  // namespace sluice::test
