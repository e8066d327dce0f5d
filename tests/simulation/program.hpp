// Program: what one seed of the simulation does, as data.
//
// A program is a list of connections, each with two ends, each with a list of actions bound to the
// events that trigger them. Actions do not depend on each other, so that shrinking may leave any of
// them out. Nothing here runs anything.
#pragma once

#include "support/sys_sim.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::test {

enum class Op : std::uint8_t {
    write,            // a span
    write_buffer,     // an owned buffer
    write_static,     // bytes that never go away
    write_lines,      // spans
    write_buffers,    // owned buffers
    write_releasing,  // an owned buffer whose release writes again
    send_file,        // by sendfile()
    flush,
    pause_reading,
    resume_reading,
    set_limits,
    set_cap,
    write_eof,
    close,
    abort,
    set_protocol,
    throw_error,
    throw_stop,
    empty_buffer,  // the next get_buffer gives no room
    server_close,
    server_close_clients,
    server_abort_clients,
};
inline constexpr std::size_t op_count = 22;

/// What triggers an action. The first ones are callbacks of the end.
enum class Event : std::uint8_t {
    made,
    data,
    get_buffer,
    pause,
    resume,
    eof,
    lost,
    timer,    // call_later of the loop; of the kernel for a raw end
    outside,  // between two iterations, outside of anything the loop runs
};

enum class How : std::uint8_t { now, call_soon, call_later };

struct Action {
    Event event = Event::made;
    unsigned nth = 1;  // of the event; timer and outside: milliseconds after the start
    Op op = Op::write;
    std::size_t size = 0;  // bytes; set_limits: high; set_cap: bytes
    unsigned pieces = 1;   // of writelines; set_limits: low is high / pieces; send_file: a multiple
                           // of eight cuts the file short once it is queued
    How how = How::now;
    int target = -1;  // the connection whose end on the same side is acted on; -1: the own one
};

struct EndPlan {
    bool raw = false;  // a simulated peer instead of the library
    bool buffered = false;
    bool keep_open_after_eof = false;
    bool hold_reference = true;
    std::size_t room = 4096;    // what get_buffer gives
    bool reads_at_once = true;  // raw ends
    std::vector<Action> actions;
};

/// How the client names the server: by its address, or by a name with two addresses, of which the
/// first is no good. The late refusal comes when the second attempt has just begun.
enum class HostName : std::uint8_t { none, first_never_answers, first_refuses_late };

struct ConnectionPlan {
    bool left_out = false;  // by shrinking: it is never made, but the others keep their numbers
    unsigned start_ms = 0;
    unsigned cancel_ms = 0;   // the connecting task is cancelled then; 0: never
    unsigned timeout_ms = 0;  // of create_connection; 0: none
    HostName name = HostName::none;
    std::array<EndPlan, 2> ends;  // who connects, who accepts
};

struct Program {
    std::uint64_t seed = 0;
    bool over_io_uring = false;  // or over the backend of this build that waits only
    SimFaults faults;
    SimKernel::RingSizes ring_sizes;
    std::size_t capacity_least = 65536;
    std::size_t capacity_most = 65536;
    std::size_t descriptor_limit = 1024;
    unsigned duration_ms = 100;
    int backlog = 100;
    bool server_buffered = false;
    unsigned factory_throws_nth = 0;    // 0: never
    bool destroy_early = false;         // the loop goes with everything open
    bool handles_outlive_loop = false;  // what the user holds goes after the loop
    std::vector<ConnectionPlan> connections;
};

/// Does this build have the backend, over the fake ring?
inline constexpr bool has_io_uring = SLUICE_TEST_IO_URING != 0;

/// Beside the operations, something else that can be left out of programs.
inline constexpr std::uint32_t leave_out_late_handles = 1U << 31U;

/// The program of a seed, every second one over io_uring, without the operations whose bits (1 << Op) are in `left_out`.
Program generate(std::uint64_t seed, std::uint32_t left_out = 0);
/// The name used in descriptions, and back; nothing for a name that is none.
const char* to_string(Op op) noexcept;
std::optional<Op> op_named(std::string_view name) noexcept;
/// The program in words, a line per action.
std::string describe(const Program& program);

/// How many actions there are.
std::size_t action_count(const Program& program);

}  // namespace sluice::test
