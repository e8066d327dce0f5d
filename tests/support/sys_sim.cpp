// SimKernel and the machine's housekeeping: descriptors, time, injected failures, the trace.
//
// What sockets do is in sys_sim_stream.cpp, what the library calls in sys_sim_calls.cpp and
// sys_sim_epoll.cpp. Misuse that would make a simulation meaningless (no kernel, a loop without
// end) ends the process with a message.
#include "support/sys_sim.hpp"

#include "support/sys_sim_machine.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <utility>

namespace sluice::test {

namespace {

SimMachine* current_machine = nullptr;
int kernel_depth = 0;

constexpr std::array<const char*, sim_call_count> call_names = {
    "open_socket",
    "set_option",
    "set_nonblocking",
    "bind",
    "listen",
    "connect",
    "accept",
    "take_error",
    "socket_type",
    "is_listening",
    "local_address",
    "peer_address",
    "recv",
    "send",
    "send_gathered",
    "shutdown_write",
    "epoll_create",
    "epoll_add",
    "epoll_modify",
    "epoll_wait",
    "open_wake",
    "set_signal_handler",
    "resolve",
    "name_of",
    "file_status",
    "duplicate",
    "sendfile",
    "read_file",
    "receive_datagrams",
    "send_datagrams",
    "set_datagram_option",
    "change_membership",
    "path_status",
    "remove_path",
    "set_permissions",
    "peer_credentials",
    "ring_setup",
    "ring_start",
    "ring_buffers",
    "ring_enter",
};

[[noreturn]] void give_up(const char* why) {
    std::fprintf(stderr, "sys_sim: %s\n", why);
    std::abort();
}

}  // namespace

const char* to_string(SimCall call) noexcept {
    return call_names[static_cast<std::size_t>(call)];
}

bool in_sim_kernel() noexcept {
    return kernel_depth > 0;
}
InSimKernel::InSimKernel() noexcept {
    ++kernel_depth;
}
InSimKernel::~InSimKernel() {
    --kernel_depth;
}

// ---- the machine ----

SimMachine::SimMachine(SimKernel& owner, std::uint64_t seed_of_all)
    : kernel(owner),
      seed(seed_of_all),
      random(SimRandom::mix(seed_of_all + 1)),
      // Not at zero, so that a difference taken for a time shows.
      start(std::chrono::hours(24) + std::chrono::nanoseconds(random.below(1'000'000'000))),
      time(start) {
    if (current_machine != nullptr) {
        give_up("a second SimKernel while one is current");
    }
    current_machine = this;
}

SimMachine& SimMachine::current() {
    if (current_machine == nullptr) {
        give_up("a system call was made without a SimKernel");
    }
    return *current_machine;
}

int SimMachine::enter(SimCall call) {
    tick();
    ++calls[static_cast<std::size_t>(call)];
    if (++all_calls > call_limit) {
        give_up("the limit of system calls is reached: something spins");
    }
    if (failing == call && --failing_after == 0) {
        failing.reset();
        failure_hit = true;
        trace("%s: injected failure %d", to_string(call), failing_error);
        return failing_error;
    }
    return 0;
}

bool SimMachine::fault(SimRandom& source, unsigned per_mille) {
    if (!source.chance(per_mille) || fault_count >= kernel.faults.most) {
        return false;
    }
    ++fault_count;
    return true;
}

int SimMachine::one_of(SimRandom& source, std::span<const int> errors) const {
    return errors[source.below(errors.size())];
}

Duration SimMachine::some_delay(SimRandom& source) const {
    const auto most = static_cast<std::uint64_t>(kernel.faults.delay_most.count());
    return Duration(static_cast<Duration::rep>(source.below(most + 1)));
}

void SimMachine::expect(TimePoint when) {
    if (when > time) {
        moments.push(when);
    }
}

bool SimMachine::full() const noexcept {
    const auto used = std::ranges::count_if(
        descriptors, [](const auto& descriptor) { return descriptor != nullptr; });
    // Three are taken by the standard streams.
    return static_cast<std::size_t>(used) + 3 >= descriptor_limit;
}

int SimMachine::add(std::unique_ptr<SimSocket> socket) {
    auto slot = std::ranges::find_if(descriptors,
                                     [](const auto& descriptor) { return descriptor == nullptr; });
    if (slot == descriptors.end()) {
        slot = descriptors.insert(slot, nullptr);
    }
    *slot = std::move(socket);
    return static_cast<int>(slot - descriptors.begin()) + 3;
}

SimSocket* SimMachine::peek(int fd) const noexcept {
    const auto index = static_cast<std::size_t>(fd - 3);
    return fd >= 3 && index < descriptors.size() ? descriptors[index].get() : nullptr;
}

SimSocket* SimMachine::find(int fd, const char* call) {
    if (SimSocket* socket = peek(fd)) {
        return socket;
    }
    violation(std::string(call) + " on descriptor " + std::to_string(fd) + ", which is not open");
    return nullptr;
}

void SimMachine::violation(const std::string& what) {
    trace("VIOLATION %s", what.c_str());
    violations.push_back(what);
}

void SimMachine::let_go(SimSocket& socket) {
    if (socket.endpoint != nullptr && socket.endpoint->peer != nullptr) {
        socket.endpoint->close();
    }
    for (const SimPending& pending : socket.pending) {
        pending.endpoint->reset();
    }
}

bool SimMachine::run_due_actions() {
    bool any = false;
    while (!actions.empty() && actions.top().when <= time) {
        const std::function<void()> run = actions.top().run;
        actions.pop();
        run();
        any = true;
    }
    return any;
}

bool SimMachine::run_readers() {
    bool any = false;
    // By index, since a reader may make new connections.
    for (std::size_t index = 0; index < with_reader.size(); ++index) {
        SimEndpoint& endpoint = *with_reader[index];
        if (!endpoint.open || !endpoint.reader || !endpoint.established()) {
            continue;
        }
        endpoint.settle();
        const std::size_t bytes = endpoint.visible_bytes();
        const bool end = endpoint.end_visible() || endpoint.is_reset;
        if ((bytes == 0 && !end) ||
            (bytes == endpoint.reader_saw_bytes && end == endpoint.reader_saw_end)) {
            continue;
        }
        endpoint.reader(SimPeer(&endpoint));
        endpoint.reader_saw_bytes = endpoint.visible_bytes();
        endpoint.reader_saw_end = end;
        any = true;
    }
    return any;
}

std::optional<TimePoint> SimMachine::next_moment() {
    while (!moments.empty() && moments.top() <= time) {
        moments.pop();
    }
    std::optional<TimePoint> next;
    if (!moments.empty()) {
        next = moments.top();
    }
    if (!actions.empty() && (!next || actions.top().when < *next)) {
        next = actions.top().when;
    }
    return next;
}

void SimMachine::trace(const char* format, ...) const {
    if (trace_file == nullptr) {
        return;
    }
    const double seconds = std::chrono::duration<double>(time - start).count();
    std::fprintf(trace_file, "%12.7f ", seconds);
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(trace_file, format, arguments);
    va_end(arguments);
    std::fputc('\n', trace_file);
}

// ---- the controls ----

SimKernel::SimKernel(std::uint64_t seed) {
    const InSimKernel inside;
    machine_ = std::make_unique<SimMachine>(*this, seed);
}

SimKernel::~SimKernel() {
    current_machine = nullptr;
}

void SimKernel::fail_call(SimCall call, std::uint64_t nth, int error) {
    machine_->failing = call;
    machine_->failing_after = nth;
    machine_->failing_error = error;
    machine_->failure_hit = false;
}

bool SimKernel::failure_hit() const noexcept {
    return machine_->failure_hit;
}
std::uint64_t SimKernel::fault_count() const noexcept {
    return machine_->fault_count;
}
void SimKernel::set_descriptor_limit(std::size_t descriptors) noexcept {
    machine_->descriptor_limit = descriptors;
}
void SimKernel::set_capacity(std::size_t least, std::size_t most) noexcept {
    machine_->capacity_least = least;
    machine_->capacity_most = most;
}

std::size_t SimKernel::ring_buffers_lent() const noexcept {
    std::size_t lent = 0;
    for (const SimHolder* const holder : machine_->holders) {
        lent += holder->buffers_lent();
    }
    return lent;
}
std::size_t SimKernel::ring_operations() const noexcept {
    std::size_t operations = 0;
    for (const SimHolder* const holder : machine_->holders) {
        operations += holder->operations();
    }
    return operations;
}

TimePoint SimKernel::now() const noexcept {
    return machine_->time;
}
Duration SimKernel::elapsed() const noexcept {
    return machine_->time - machine_->start;
}

void SimKernel::after(Duration delay, std::function<void()> action) {
    const InSimKernel inside;
    machine_->actions.push({machine_->time + delay, machine_->next_sequence++, std::move(action)});
}

void SimKernel::advance(Duration duration) noexcept {
    machine_->time += duration;
}
bool SimKernel::take_idle() noexcept {
    return std::exchange(machine_->idle, false);
}

void SimKernel::add_host(const std::string& name, std::vector<SocketAddress> addresses,
                         Duration takes) {
    machine_->hosts[name] = {.addresses = std::move(addresses), .error = {}, .takes = takes};
}
void SimKernel::add_host(const std::string& name, std::error_code error) {
    machine_->hosts[name] = {.addresses = {}, .error = error, .takes = {}};
}
void SimKernel::black_hole(const SocketAddress& address) {
    machine_->black_holes.insert(address.to_string());
}
void SimKernel::refuse(const SocketAddress& address, int error, Duration after) {
    machine_->refused[address.to_string()] = {.error = error, .after = after};
}

SimPeer SimKernel::connect_peer(const SocketAddress& to, const SocketAddress& from) {
    const InSimKernel inside;
    SimMachine& machine = *machine_;
    bool queue_full = false;
    SocketAddress local = from;
    if (!local) {
        const std::uint16_t port = machine.free_port();
        local = to.family() == Family::ipv6 ? *SocketAddress::parse("::1", port)
                                            : *SocketAddress::parse("127.0.0.1", port);
    }
    SimEndpoint* end = machine.establish(local, to, machine.time, queue_full);
    machine.trace("peer connects to %s: %s", to.to_string().c_str(),
                  end != nullptr ? "done" : "refused");
    return SimPeer(end);
}

void SimKernel::listen_peer(const SocketAddress& address,
                            std::function<void(SimPeer)> on_accepted) {
    const InSimKernel inside;
    machine_->peer_listeners[address.to_string()] = std::move(on_accepted);
}

void SimKernel::replace_socket_file(const std::string& path, bool another) {
    machine_->socket_files.erase(path);
    if (another) {
        machine_->make_socket_file(path);
    }
}

bool SimKernel::has_socket_file(const std::string& path) const {
    return machine_->socket_files.contains(path);
}

std::size_t SimKernel::open_descriptors() const noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(
        machine_->descriptors, [](const auto& descriptor) { return descriptor != nullptr; }));
}

std::string SimKernel::describe_descriptors() const {
    constexpr std::array<const char*, 8> kinds = {
        "socket", "listener", "connecting socket", "stream", "wake", "epoll", "file", "ring"};
    std::string text;
    for (std::size_t index = 0; index < machine_->descriptors.size(); ++index) {
        if (const auto& socket = machine_->descriptors[index]) {
            text += (text.empty() ? "" : ", ") + std::to_string(index + 3) + " " +
                    kinds[static_cast<std::size_t>(socket->kind)] + " " +
                    socket->local.to_string() + " - " + socket->remote.to_string();
        }
    }
    return text;
}

std::uint64_t SimKernel::bytes_sent(int fd) const noexcept {
    const SimSocket* socket = machine_->peek(fd);
    return socket == nullptr || socket->endpoint == nullptr ? 0 : socket->endpoint->sent;
}

bool SimKernel::refused_bytes(int fd) const noexcept {
    const SimSocket* socket = machine_->peek(fd);
    return socket != nullptr && socket->endpoint != nullptr && socket->endpoint->refused_bytes;
}

bool SimKernel::gave_error(int fd, const std::error_code& error) const noexcept {
    const SimSocket* socket = machine_->peek(fd);
    if (socket == nullptr || error.category() != std::system_category()) {
        return false;
    }
    return machine_->errors_given_to_all.contains(error.value()) ||
           socket->errors_given.contains(error.value()) ||
           (socket->endpoint != nullptr && socket->endpoint->errors_given.contains(error.value()));
}

bool SimKernel::gave_file_error(const std::error_code& error) const noexcept {
    return error.category() == std::system_category() &&
           machine_->file_errors_given.contains(error.value());
}

const std::vector<std::string>& SimKernel::violations() const noexcept {
    return machine_->violations;
}
std::uint64_t SimKernel::calls() const noexcept {
    return machine_->all_calls;
}
std::uint64_t SimKernel::calls(SimCall call) const noexcept {
    return machine_->calls[static_cast<std::size_t>(call)];
}
void SimKernel::trace_to(std::FILE* file) noexcept {
    machine_->trace_file = file;
}
void SimKernel::trace(const std::string& line) const {
    machine_->trace("%s", line.c_str());
}
bool SimKernel::tracing() const noexcept {
    return machine_->trace_file != nullptr;
}
void SimKernel::set_call_limit(std::uint64_t calls) noexcept {
    machine_->call_limit = calls;
}

}  // namespace sluice::test
