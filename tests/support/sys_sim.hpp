// SimKernel: the controls of the simulated system that tests link in place of src/sys.cpp.
//
// One kernel is current at a time: constructing it makes every function of detail/sys.hpp work,
// destroying it ends the world. It has sockets over loopback, epoll, a wake-up descriptor, files,
// names and a clock that moves only when everybody waits. All of it is decided by the seed. It must not
// know the library above the seam.
#pragma once

#include <sluice/address.hpp>
#include <sluice/bytes.hpp>
#include <sluice/detail/timer_heap.hpp>

#include "support/sys_sim_random.hpp"

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace sluice::test {

/// The functions of the seam that can fail.
enum class SimCall : std::uint8_t {
    open_socket,
    set_option,
    set_nonblocking,
    bind,
    listen,
    connect,
    accept,
    take_error,
    socket_type,
    is_listening,
    local_address,
    peer_address,
    recv,
    send,
    send_gathered,
    shutdown_write,
    epoll_create,
    epoll_add,
    epoll_modify,
    epoll_wait,
    open_wake,
    set_signal_handler,
    resolve,
    name_of,
    file_status,
    duplicate,
    sendfile,
    read_file,
    receive_datagrams,
    send_datagrams,
    set_datagram_option,
    change_membership,
    path_status,
    remove_path,
    set_permissions,
    peer_credentials,
    ring_setup,
    ring_start,
    ring_buffers,
    ring_enter,
};
inline constexpr std::size_t sim_call_count = 40;
const char* to_string(SimCall call) noexcept;

/// How often the kernel misbehaves, in thousandths of the calls concerned. Everything here is
/// something a real one may do.
struct SimFaults {
    unsigned short_read = 0;        // recv gives less than is there
    unsigned short_write = 0;       // send takes less than there is room for
    unsigned spurious_block = 0;    // recv, send, accept: "would block" although ready
    unsigned interrupt = 0;         // a signal: epoll_wait ends early, connect goes on by itself
    unsigned stream_error = 0;      // the connection breaks: ECONNRESET, ETIMEDOUT, EPIPE ...
    unsigned accept_shortage = 0;   // EMFILE, ENFILE, ENOBUFS, ENOMEM
    unsigned accept_aborted = 0;    // ECONNABORTED, EPROTO: that pending connection is gone
    unsigned open_shortage = 0;     // socket(): EMFILE, ENFILE, ENOBUFS, ENOMEM
    unsigned epoll_shortage = 0;    // epoll_ctl: ENOMEM, ENOSPC
    unsigned reorder = 0;           // a batch comes in another order
    unsigned partial_batch = 0;     // a batch is not all that is ready
    unsigned late_wake = 0;         // a wait ends later than it could, and more is ready then
    unsigned delay = 0;             // what is sent becomes visible later
    unsigned slow_connect = 0;      // connect is in progress for a while
    Duration delay_most{};          // of `delay`, `late_wake` and `slow_connect`
    unsigned resolver_failure = 0;  // EAI_AGAIN
    unsigned cold_file = 0;         // what is to be read of a file is not in memory
    unsigned unfit_file = 0;        // sendfile is not for this file
    unsigned file_error = 0;        // EIO
    unsigned ring_shortage = 0;     // no other ring, or none with buffers: EMFILE, ENOMEM ...
    unsigned ring_full = 0;         // no room in the submission queue
    unsigned ring_partial = 0;      // an entry takes a part of what is queued
    unsigned ring_moved = 0;        // an entry finds that the ring is another thread's: EEXIST
    unsigned ring_end = 0;          // an operation that could go on ends with what it completes
    unsigned ring_portion = 0;      // an entry leaves most of the work to the next
    unsigned ring_race = 0;         // an update meets an event that nobody will hear of: EALREADY
    unsigned ring_no_buffer = 0;    // ENOBUFS
    std::uint64_t most = ~std::uint64_t{0};  // after so many faults the kernel behaves
};

struct SimEndpoint;

/// One end of a simulated connection without a descriptor: a peer that is not the library. Copies
/// mean the same end. Calls take effect at once.
class SimPeer {
public:
    SimPeer() noexcept = default;
    explicit SimPeer(SimEndpoint* endpoint) noexcept : endpoint_(endpoint) {}
    explicit operator bool() const noexcept { return endpoint_ != nullptr; }

    /// How many of `bytes` the connection took; 0 when it is full or over.
    std::size_t send(Bytes bytes);
    /// At most `most` of the bytes that have arrived.
    std::vector<std::byte> receive(std::size_t most);
    /// The other end has finished, and everything was received.
    [[nodiscard]] bool at_end() const;
    /// Refused, or reset by the other end.
    [[nodiscard]] bool broken() const;
    /// The handshake is over.
    [[nodiscard]] bool connected() const;
    [[nodiscard]] bool open() const;
    void finish();  // FIN
    void close();   // FIN, or RST when something was not received, as a real close does
    void reset();   // RST
    /// Called while the loop waits, whenever there is something to receive or the end has come;
    /// null: nobody receives.
    void on_readable(std::function<void(SimPeer)> reader);
    [[nodiscard]] SocketAddress address() const;
    [[nodiscard]] SocketAddress remote_address() const;

private:
    SimEndpoint* endpoint_ = nullptr;
};

/// True while the simulated system works: what it allocates is not the library's.
bool in_sim_kernel() noexcept;

struct SimMachine;

class SimKernel {
public:
    explicit SimKernel(std::uint64_t seed = 0);
    ~SimKernel();
    SimKernel(const SimKernel&) = delete;
    SimKernel& operator=(const SimKernel&) = delete;

    // ---- faults ----

    SimFaults faults;
    /// The `nth` call (from 1, counted from now) of `call` fails with errno `error`. One at a time.
    void fail_call(SimCall call, std::uint64_t nth, int error);
    /// The call that was to fail has been made.
    [[nodiscard]] bool failure_hit() const noexcept;
    /// Faults that have happened.
    [[nodiscard]] std::uint64_t fault_count() const noexcept;
    /// RLIMIT_NOFILE. Numbers are given from 3, lowest free first.
    void set_descriptor_limit(std::size_t descriptors) noexcept;
    /// Bytes a direction of connections made from now on holds between send and recv.
    void set_capacity(std::size_t least, std::size_t most) noexcept;

    // ---- io_uring ----

    /// What rings have from now on, at most what the library asks for: buffers when they are provided,
    /// room for completions, and entries of the submission queue.
    struct RingSizes {
        std::size_t buffers = ~std::size_t{0};
        std::size_t completions = ~std::size_t{0};
        std::size_t entries = ~std::size_t{0};
    };
    RingSizes ring_sizes;
    /// Buffers that were taken from rings and not given back.
    [[nodiscard]] std::size_t ring_buffers_lent() const noexcept;
    /// Operations that rings have under way.
    [[nodiscard]] std::size_t ring_operations() const noexcept;

    // ---- time ----

    [[nodiscard]] TimePoint now() const noexcept;
    /// Since the kernel was made.
    [[nodiscard]] Duration elapsed() const noexcept;
    /// Runs `action` when the clock has come to now() + `delay`, while the loop waits.
    void after(Duration delay, std::function<void()> action);
    /// The clock moves outside of any wait, as when the process was not running.
    void advance(Duration duration) noexcept;
    /// A wait without limit had nothing to wait for; it returned nothing. Reading clears it.
    [[nodiscard]] bool take_idle() noexcept;

    // ---- the network ----

    void add_host(const std::string& name, std::vector<SocketAddress> addresses,
                  Duration takes = {});
    /// Resolving `name` ends with this error.
    void add_host(const std::string& name, std::error_code error);
    /// Connecting to `address` never gets an answer.
    void black_hole(const SocketAddress& address);
    /// Connecting to `address` fails with `error`, at once or after a while.
    void refuse(const SocketAddress& address, int error, Duration after = {});
    /// Connects to a listener of the library, from an address given or chosen.
    SimPeer connect_peer(const SocketAddress& to, const SocketAddress& from = {});
    /// Accepts what the library connects to `address`.
    void listen_peer(const SocketAddress& address, std::function<void(SimPeer)> on_accepted);

    // ---- datagrams ----

    /// Does the system take several datagrams as one (UDP_SEGMENT)?
    bool datagram_segmentation = false;
    /// Sending on `fd` would block until this is taken back.
    void block_datagrams(int fd, bool on);
    /// How many datagrams wait in a socket at most.
    void set_datagram_room(std::size_t datagrams) noexcept;

    // ---- files ----

    /// A file of this size, of which `fill` gives the bytes from an offset on, opened for reading.
    /// The descriptor is the caller's.
    int open_file(std::uint64_t size, std::function<void(std::uint64_t, MutableBytes)> fill);
    /// It becomes shorter or longer.
    void resize_file(int fd, std::uint64_t size);

    /// Something that is no socket of the library's removes the file of a Unix socket, or, with
    /// `another`, puts its own there.
    void replace_socket_file(const std::string& path, bool another);
    [[nodiscard]] bool has_socket_file(const std::string& path) const;

    // ---- what to look at ----

    [[nodiscard]] std::size_t open_descriptors() const noexcept;
    [[nodiscard]] std::string describe_descriptors() const;
    /// Bytes that send has taken from `fd` so far; 0 if it is no stream.
    [[nodiscard]] std::uint64_t bytes_sent(int fd) const noexcept;
    /// The last send on `fd` took less than it was offered.
    [[nodiscard]] bool refused_bytes(int fd) const noexcept;
    /// `error` was given to the caller by a call on `fd` or on behalf of it.
    [[nodiscard]] bool gave_error(int fd, const std::error_code& error) const noexcept;
    /// A file could not be read for this reason.
    [[nodiscard]] bool gave_file_error(const std::error_code& error) const noexcept;
    /// Calls no correct program makes: on closed descriptors, closing what is still watched, ...
    [[nodiscard]] const std::vector<std::string>& violations() const noexcept;
    [[nodiscard]] std::uint64_t calls() const noexcept;
    [[nodiscard]] std::uint64_t calls(SimCall call) const noexcept;

    /// Writes a line per call; null: no trace.
    void trace_to(std::FILE* file) noexcept;
    /// Writes a line of the caller's into the trace.
    void trace(const std::string& line) const;
    [[nodiscard]] bool tracing() const noexcept;
    /// More calls than this end the process: some loop does not end.
    void set_call_limit(std::uint64_t calls) noexcept;

private:
    std::unique_ptr<SimMachine> machine_;
};

}  // namespace sluice::test
