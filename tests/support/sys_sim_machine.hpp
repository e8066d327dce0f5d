// The inside of the simulated system: its objects and what they can do. Private to sys_sim*.cpp.
//
// Descriptors refer to sockets, stream sockets to endpoints; endpoints come in pairs and live until
// the machine ends, so nothing here dangles. Time-dependent state (what has become visible, a reset
// that has arrived) is brought up to date by settle(), called on every access.
#pragma once

#include <sluice/detail/sys.hpp>

#include "support/sys_sim.hpp"

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <queue>
#include <set>
#include <span>
#include <vector>

namespace sluice::test {

using detail::IoResult;
using detail::Result;

struct SimChunk {
    TimePoint visible_at;
    std::vector<std::byte> bytes;
};

struct SimEndpoint {
    SimMachine* machine = nullptr;
    SimEndpoint* peer = nullptr;
    SocketAddress local;
    SocketAddress remote;
    SimRandom random;

    // What comes in: waiting here or still on its way.
    std::deque<SimChunk> incoming;
    std::size_t front_used = 0;
    std::uint64_t taken = 0;      // bytes, since the beginning
    std::uint64_t cut_short = 0;  // reads after which more was there at once
    std::size_t incoming_bytes = 0;
    std::size_t capacity = 0;
    TimePoint last_visible{};
    std::optional<TimePoint> end_at;    // a FIN, after everything else
    std::optional<TimePoint> reset_at;  // an RST on its way
    int reset_error = 0;                // what it will say; 0: as TCP decides

    TimePoint established_at{};
    bool open = true;       // somebody holds it
    bool finished = false;  // has sent FIN
    bool is_reset = false;
    int error = 0;  // pending, SO_ERROR
    std::uint64_t sent = 0;
    bool refused_bytes = false;  // by the last send
    std::set<int> errors_given;

    std::function<void(SimPeer)> reader;
    std::size_t reader_saw_bytes = 0;
    bool reader_saw_end = false;

    void settle();
    [[nodiscard]] std::size_t visible_bytes() const;
    [[nodiscard]] bool end_visible() const;
    [[nodiscard]] bool established() const;
    [[nodiscard]] std::size_t room_at_peer() const;
    std::uint32_t poll();
    std::size_t take(MutableBytes into);
    /// The outcome of recv(2) and send(2), without injected faults.
    IoResult receive(MutableBytes into);
    IoResult transmit(std::span<const Bytes> pieces, std::size_t most);
    int finish();
    void close();
    void reset();
    void break_connection(int code, Duration after);
    int take_error();
};

struct SimPending {
    TimePoint visible_at;
    SimEndpoint* endpoint;
};

struct SimRegistration {
    std::uint32_t events;
    void* user;
};

struct SimFile {
    std::uint64_t size = 0;
    std::function<void(std::uint64_t, MutableBytes)> fill;
};

struct SimDatagram {
    SocketAddress from;
    std::vector<std::byte> bytes;
    TimePoint visible_at;
};

/// The file of a Unix socket.
struct SimSocketFile {
    std::uint64_t inode = 0;
    unsigned permissions = 0;
};

/// What a descriptor stands for.
struct SimSocket {
    enum class Kind : std::uint8_t {
        fresh,
        listening,
        connecting,
        stream,
        wake,
        epoll,
        file,
        ring
    };

    Kind kind = Kind::fresh;
    Family family = Family::unspecified;
    detail::sys::SocketType type = detail::sys::SocketType::stream;
    bool reuse_port = false;
    SocketAddress local;
    SocketAddress remote;
    SimRandom random;
    SimEndpoint* endpoint = nullptr;
    std::deque<SimPending> pending;
    std::size_t backlog = 0;
    // Connecting: when the next thing happens, and whether that is the end of it.
    TimePoint connect_at{};
    TimePoint connect_until{};
    int connect_error = 0;
    std::uint64_t counter = 0;               // wake, and epoll where it is a kqueue
    std::uint64_t signals = 0;               // wake: since the beginning
    std::map<int, SimRegistration> watched;  // epoll
    int watched_by = -1;
    std::set<int> errors_given;
    std::shared_ptr<SimFile> file;
    // Of datagram sockets, whose kind stays fresh.
    std::deque<SimDatagram> datagrams;
    int datagram_error = 0;
    bool datagrams_blocked = false;
};

/// Whoever has something under way that keeps a file open beyond the close(2) of its descriptor.
class SimHolder {
public:
    /// Takes the socket of the descriptor over if it needs it.
    virtual void keep(int fd, std::unique_ptr<SimSocket>& socket) = 0;
    [[nodiscard]] virtual std::size_t buffers_lent() const noexcept = 0;
    [[nodiscard]] virtual std::size_t operations() const noexcept = 0;

protected:
    ~SimHolder() = default;
};

struct SimMachine {
    SimMachine(SimKernel& owner, std::uint64_t seed);

    SimKernel& kernel;
    std::uint64_t seed;
    SimRandom random;
    TimePoint start;
    TimePoint time;
    std::vector<std::unique_ptr<SimSocket>> descriptors;
    std::size_t descriptor_limit = 1024;
    std::size_t capacity_least = 64 * 1024;
    std::size_t capacity_most = 64 * 1024;
    std::deque<SimEndpoint> endpoints;
    std::vector<SimEndpoint*> with_reader;
    std::vector<SimHolder*> holders;
    std::uint16_t next_port = 40000;
    std::size_t datagram_room = 1000;

    // ---- time ----
    struct Action {
        TimePoint when;
        std::uint64_t sequence;
        std::function<void()> run;
        bool operator<(const Action& other) const noexcept {
            return when != other.when ? when > other.when : sequence > other.sequence;
        }
    };
    std::priority_queue<Action> actions;
    std::priority_queue<TimePoint, std::vector<TimePoint>, std::greater<>> moments;
    std::uint64_t next_sequence = 0;
    bool idle = false;

    // ---- injected ----
    std::uint64_t fault_count = 0;
    std::optional<SimCall> failing;
    std::uint64_t failing_after = 0;
    int failing_error = 0;
    bool failure_hit = false;

    // ---- the network ----
    struct Host {
        std::vector<SocketAddress> addresses;
        std::error_code error;
        Duration takes{};
    };
    std::map<std::string, Host> hosts;
    std::map<std::string, std::function<void(SimPeer)>> peer_listeners;
    struct Refusal {
        int error;
        Duration after;
    };
    std::map<std::string, Refusal> refused;
    std::set<std::string> black_holes;
    std::map<std::string, SimSocketFile> socket_files;
    std::uint64_t next_inode = 1;

    // ---- observed ----
    std::vector<std::string> violations;
    std::set<int> file_errors_given;
    std::set<int> errors_given_to_all;  // with a ring that cannot be used any more
    std::array<std::uint64_t, sim_call_count> calls{};
    std::uint64_t all_calls = 0;
    std::uint64_t call_limit = 50'000'000;
    std::FILE* trace_file = nullptr;

    static SimMachine& current();

    /// To be called first by every function of the seam: time goes on, the call is counted. Returns
    /// the errno it is to fail with, or 0.
    int enter(SimCall call);
    void tick() noexcept { time += std::chrono::nanoseconds(400); }
    bool fault(SimRandom& source, unsigned per_mille);
    int one_of(SimRandom& source, std::span<const int> errors) const;
    Duration some_delay(SimRandom& source) const;
    /// Something changes at `when`: a wait must look again.
    void expect(TimePoint when);

    int add(std::unique_ptr<SimSocket> socket);
    [[nodiscard]] bool full() const noexcept;
    /// The socket behind `fd`, or null.
    [[nodiscard]] SimSocket* peek(int fd) const noexcept;
    /// The socket behind `fd`; null and a violation if there is none.
    SimSocket* find(int fd, const char* call);
    void violation(const std::string& what);
    /// The last descriptor of the socket, and whatever else held it, is gone.
    static void let_go(SimSocket& socket);

    /// A number for the random choices about a connection, from the seed and an address without
    /// its port.
    [[nodiscard]] std::uint64_t luck_of(const SocketAddress& address) const;
    SimSocket* find_listener(const SocketAddress& to);
    [[nodiscard]] bool is_taken(const SocketAddress& address, const SimSocket& except) const;
    [[nodiscard]] static bool is_ours(const SocketAddress& address);
    std::uint16_t free_port();
    void make_socket_file(const std::string& path) {
        socket_files[path] = {.inode = next_inode++, .permissions = 0};
    }
    /// The errno with which connect(2) to a Unix address ends at once; 0: it may go on.
    int refuses_unix(const SocketAddress& to);
    /// Two ends, connected from `at` on, the second of them waiting at whoever listens to `to`. Null
    /// if nobody does, or the queue is full (`full`).
    SimEndpoint* establish(const SocketAddress& from, const SocketAddress& to, TimePoint at,
                           bool& queue_full);
    void settle_connect(SimSocket& socket);

    int connect_datagrams(SimSocket& socket, const SocketAddress& address);
    int send_datagram(SimSocket& from, const SocketAddress& to, Bytes bytes);
    [[nodiscard]] std::uint32_t poll_datagrams(const SimSocket& socket) const;

    std::uint32_t poll(SimSocket& socket);
    bool run_due_actions();
    bool run_readers();
    std::optional<TimePoint> next_moment();

    __attribute__((format(printf, 2, 3))) void trace(const char* format, ...) const;
};

class InSimKernel {
public:
    InSimKernel() noexcept;
    ~InSimKernel();
    InSimKernel(const InSimKernel&) = delete;
    InSimKernel& operator=(const InSimKernel&) = delete;
};

}  // namespace sluice::test
