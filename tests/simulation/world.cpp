// Starting a program's connections and running its first part, in which anything may happen.
//
// What must hold at every moment is checked between two iterations; what must have arrived is the
// second part's question. A single callback is judged by its end, not here.
#include "simulation/world.hpp"

#include "simulation/library_end.hpp"
#include "simulation/raw_end.hpp"

#include <algorithm>
#include <cerrno>
#include <stdexcept>

namespace sluice::test {

namespace {

constexpr std::uint16_t server_port = 7000;
// A connection is known by the address its client connects from, 127.0.0.10 and up.
constexpr std::uint8_t first_client = 10;
constexpr std::uint16_t first_raw_server_port = 8000;

std::uint16_t numbered(std::uint16_t base, std::size_t index) {
    return static_cast<std::uint16_t>(base + index);
}

SocketAddress local(std::uint16_t port) {
    return *SocketAddress::parse("127.0.0.1", port);
}

std::string client_host(std::size_t index) {
    return "127.0.0." + std::to_string(first_client + index);
}

/// What throw_error throws.
class Planned : public std::runtime_error {
public:
    Planned() : std::runtime_error("planned") {}
};

}  // namespace

Verdict run_program(const Program& program, std::FILE* trace) {
    return World(program, trace).run();
}

World::World(const Program& program, std::FILE* trace) : program_(program), kernel_(program.seed) {
    kernel_.trace_to(trace);
    kernel_.set_capacity(program.capacity_least, program.capacity_most);
    kernel_.ring_sizes = program.ring_sizes;
    kernel_.set_call_limit(3'000'000);
    for (std::size_t index = 0; index < program.connections.size(); ++index) {
        const ConnectionPlan& plan = program.connections[index];
        auto& library = library_.emplace_back();
        auto& raw = raw_.emplace_back();
        for (const std::size_t end : {0U, 1U}) {
            if (plan.ends[end].raw) {
                raw[end] = std::make_unique<RawEnd>(*this, index, end, plan.ends[end]);
            } else {
                library[end] = std::make_unique<LibraryEnd>(*this, index, end, plan.ends[end]);
            }
        }
    }
}

World::~World() = default;

void World::fail(const std::string& what) {
    if (failure_.empty()) {
        failure_ = what;
        kernel_.trace("FAILURE " + what);
    }
}

LibraryEnd* World::library_end(int connection, std::size_t index) {
    const auto chosen = static_cast<std::size_t>(connection);
    return chosen < library_.size() ? library_[chosen][index].get() : nullptr;
}

std::optional<std::uint64_t> World::promised_to(std::size_t connection, std::size_t index) {
    if (const RawEnd* sender = raw_[connection][1 - index].get()) {
        return sender->sent();
    }
    const LibraryEnd& sender = *library_[connection][1 - index];
    if (sender.alive() && !sender.wrote_eof() && !sender.aborted()) {
        fail("complete: an end of stream that nobody sent (connection " +
             std::to_string(connection) + ")");
    }
    return sender.ended_cleanly() ? std::optional(sender.accepted()) : std::nullopt;
}

LibraryEnd* World::accepted(Transport& transport) {
    const SocketAddress peer = transport.get_extra_info(extra::peername);
    return peer.family() == Family::ipv4 ? library_end(peer.ip_bytes()[3] - first_client, 1)
                                         : nullptr;
}

// ---- starting ----

std::unique_ptr<StreamProtocol> World::make_accepted() {
    if (++factory_calls_ == program_.factory_throws_nth) {
        ++thrown_;
        throw Planned();
    }
    return make_protocol(nullptr, program_.server_buffered, 0);
}

void World::report(const ExceptionContext& context) {
    kernel_.trace("  reported: " + to_string(context));
    if (!context.exception) {
        return;
    }
    try {
        std::rethrow_exception(context.exception);
    } catch (const Planned&) {
        ++thrown_reported_;
    } catch (const std::system_error&) {
        // A connect that failed, and whose task nobody awaits any more.
    } catch (const std::exception& error) {
        fail(std::string("report: unexpected ") + error.what());
    }
}

void World::start() {
    loop_ = std::make_unique<EventLoop>(program_.over_io_uring ? Backend::io_uring
                                                               : Backend::automatic);
    loop_->set_exception_handler([this](const ExceptionContext& context) { report(context); });
    auto factory = [this] { return make_accepted(); };
    Task<Ref<Server>> serving = loop_->create_server(std::move(factory), "127.0.0.1", server_port,
                                                     ServerOptions().backlog(program_.backlog));
    server_ = loop_->run_until_complete(std::move(serving));
    server_closed_ = loop_->create_task(server_->wait_closed());
    kernel_.add_host("never.example", {*SocketAddress::parse("127.9.9.9", 0), local(0)},
                     std::chrono::milliseconds(3));
    kernel_.add_host("late.example", {*SocketAddress::parse("127.8.8.8", 0), local(0)});
    loop_->set_observer(this);
    kernel_.faults = program_.faults;
    kernel_.set_descriptor_limit(program_.descriptor_limit);
    for (std::size_t index = 0; index < program_.connections.size(); ++index) {
        spoil_first_addresses(numbered(first_raw_server_port, index));
        start_connection(index);
    }
    spoil_first_addresses(server_port);
    std::ranges::sort(outside_, {}, [](const auto& entry) { return entry.first; });
}

void World::spoil_first_addresses(std::uint16_t port) {
    kernel_.black_hole(*SocketAddress::parse("127.9.9.9", port));
    kernel_.refuse(*SocketAddress::parse("127.8.8.8", port), ECONNREFUSED,
                   limits::happy_eyeballs_delay + std::chrono::milliseconds(1));
}

void World::start_connection(std::size_t index) {
    const ConnectionPlan& plan = program_.connections[index];
    if (plan.left_out) {
        return;
    }
    const Duration delay = std::chrono::milliseconds(plan.start_ms);
    if (RawEnd* server = raw_[index][1].get()) {
        kernel_.listen_peer(local(numbered(first_raw_server_port, index)),
                            [server](SimPeer peer) { server->connected(peer); });
    }
    if (RawEnd* client = raw_[index][0].get()) {
        kernel_.after(delay, [this, client, index] {
            const SimPeer peer = kernel_.connect_peer(
                local(server_port), *SocketAddress::parse(client_host(index), 20000));
            if (peer) {
                client->connected(peer);
            }
        });
    } else {
        loop_->call_later(delay, [this, index] {
            connecting_.push_back({library_[index][0].get(), loop_->create_task(connect(index))});
        });
    }
    if (plan.cancel_ms != 0) {
        loop_->call_later(std::chrono::milliseconds(plan.cancel_ms), [this] {
            if (!connecting_.empty() && !mending_ && connecting_.back().task.cancel()) {
                connecting_.back().end->connect_cancelled();
            }
        });
    }
    for (const auto& end : library_[index]) {
        if (end != nullptr) {
            start_timed_actions(*end);
        }
    }
}

void World::start_timed_actions(LibraryEnd& end) {
    for (const Action& action : end.plan().actions) {
        const Duration at = std::chrono::milliseconds(action.nth);
        if (action.event == Event::outside) {
            outside_.push_back({at, {&end, &action}});
        } else if (action.event == Event::timer) {
            loop_->call_later(at, [this, &end, &action] {
                if (!mending_) {
                    end.start_action(action);
                    throw_if_asked();
                }
            });
        }
    }
}

Task<void> World::connect(std::size_t index) {
    const ConnectionPlan& plan = program_.connections[index];
    LibraryEnd* const end = library_[index][0].get();
    const bool buffered = plan.ends[0].buffered;
    auto factory = [this, end, buffered] { return make_protocol(end, buffered, 0); };
    ConnectOptions options;
    options.local_address(client_host(index));
    if (plan.timeout_ms != 0) {
        options.timeout(std::chrono::milliseconds(plan.timeout_ms));
    }
    const std::uint16_t port =
        plan.ends[1].raw ? numbered(first_raw_server_port, index) : server_port;
    const std::string host = plan.name == HostName::none                  ? "127.0.0.1"
                             : plan.name == HostName::first_never_answers ? "never.example"
                                                                          : "late.example";
    try {
        auto connecting = loop_->create_connection(std::move(factory), host, port, options);
        const Connection<StreamProtocol> connection = co_await connecting;
        if (!end->made() || end->received() != 0 || end->saw_eof()) {
            fail("order: create_connection must return after connection_made and before data");
        }
    } catch (const AddressError& error) {
        if (end->made()) {
            fail(std::string("connect: failed after connection_made: ") + error.what());
        }
    }
}

// ---- acting ----

void World::throw_if_asked() {
    const std::optional<Op> asked = std::exchange(to_throw, std::nullopt);
    if (asked == Op::throw_error) {
        ++thrown_;
        throw Planned();
    }
    if (asked == Op::throw_stop) {
        ++stops_thrown_;
        throw StopLoop();
    }
}

void World::schedule(const Action& action, LibraryEnd& target) {
    // Closures of call_soon must run in the order of the calls.
    const std::uint64_t number = ++closures_scheduled_;
    const bool soon = action.how == How::call_soon;
    Callback closure([this, &action, &target, soon, number] {
        if (soon && number <= std::exchange(closures_run_, number)) {
            fail("order: call_soon callbacks overtook each other");
        }
        if (!mending_) {
            target.perform(action);
            throw_if_asked();
        }
    });
    if (soon) {
        handles_.push_back(loop_->call_soon(std::move(closure)));
    } else {
        const Duration delay = std::chrono::milliseconds(action.pieces);
        handles_.push_back(loop_->call_later(delay, std::move(closure)));
    }
}

void World::server_action(Op op) {
    for (const auto& ends : library_) {
        LibraryEnd* end = ends[1].get();
        if (end != nullptr && op == Op::server_close_clients) {
            end->closed_by_server();
        } else if (end != nullptr && op == Op::server_abort_clients) {
            end->aborted_by_server();
        }
    }
    if (op == Op::server_close) {
        server_->close();
    } else if (op == Op::server_close_clients) {
        server_->close_clients();
    } else {
        server_->abort_clients();
    }
}

void World::run_outside_actions() {
    while (next_outside_ < outside_.size() && !failed() &&
           outside_[next_outside_].first <= kernel_.elapsed()) {
        const auto& [end, action] = outside_[next_outside_++].second;
        end->start_action(*action);
        to_throw.reset();
    }
}

// ---- running ----

void World::on_iteration(std::chrono::nanoseconds, std::chrono::nanoseconds, std::size_t) noexcept {
    ++iteration_;
    if (iterations_left_ != 0 && --iterations_left_ == 0) {
        loop_->stop();
    }
}

/// An iteration, or a few of them.
void World::step() {
    bool stopped = false;
    try {
        // Whoever leaves the loop sends what it holds. In between that leaves with the wait.
        iterations_left_ = program_.over_io_uring ? iteration_ % 4 : 0;
        iterations_left_ == 0 ? loop_->run_once(std::nullopt) : loop_->run_forever();
    } catch (const StopLoop&) {
        stopped = true;
    }
    if (stopped != (stops_thrown_ > 0)) {
        fail("stop: StopLoop was lost or made up");
    }
    // One thrown between two iterations, by a callback inside a call, leaves the next.
    stops_thrown_ = 0;
    for (const auto& ends : library_) {
        for (const auto& end : ends) {
            if (end != nullptr) {
                end->check_between_iterations();
            }
        }
    }
    for (const std::string& violation : kernel_.violations()) {
        fail("kernel: " + violation);
    }
    if (iteration_ > 200'000) {
        fail("spin: the loop does not come to rest");
    }
}

void World::run_until(Duration end) {
    bool over = false;
    loop_->call_later(end, [&over] { over = true; });
    while (!over && !failed()) {
        run_outside_actions();
        step();
        static_cast<void>(kernel_.take_idle());
    }
}

Verdict World::run() {
    start();
    run_until(std::chrono::milliseconds(program_.duration_ms));
    if (!failed() && program_.destroy_early) {
        destroy_early();
    } else if (!failed()) {
        mend();
        close_all();
        abort_all();
    }
    check_nothing_left();
    return {.failure = failure_,
            .faults = kernel_.fault_count(),
            .calls = kernel_.calls(),
            .callbacks = callbacks};
}

}  // namespace sluice::test
