// A program in words, for whoever has to find out why its seed fails.
//
// Every field that can differ from the usual is shown, so that a description is enough to write a
// test case by hand. Nothing is run here.
#include "simulation/program.hpp"

namespace sluice::test {

namespace {

constexpr std::array<const char*, op_count> op_names = {
    "write",
    "write_buffer",
    "write_static",
    "write_lines",
    "write_buffers",
    "write_releasing",
    "send_file",
    "flush",
    "pause_reading",
    "resume_reading",
    "set_limits",
    "set_cap",
    "write_eof",
    "close",
    "abort",
    "set_protocol",
    "throw_error",
    "throw_stop",
    "empty_buffer",
    "server_close",
    "server_close_clients",
    "server_abort_clients",
};

constexpr std::array<const char*, 9> event_names = {
    "connection_made",      "data",         "get_buffer",      "pause_writing",
    "resume_writing",       "eof_received", "connection_lost", "at",
    "outside the loop, at",
};

std::string number(std::uint64_t value) {
    return std::to_string(value);
}

std::string describe(const Action& action) {
    const bool timed = action.event == Event::timer || action.event == Event::outside;
    std::string text = event_names[static_cast<std::size_t>(action.event)];
    text.append(" ").append(number(action.nth)).append(timed ? " ms: " : ": ");
    text += action.how == How::call_soon    ? "call_soon "
            : action.how == How::call_later ? "call_later "
                                            : "";
    if (action.target >= 0) {
        text.append("on connection ").append(std::to_string(action.target)).append(" ");
    }
    text += to_string(action.op);
    if (action.op <= Op::send_file) {
        text.append(" ").append(number(action.size)).append(" bytes");
        if (action.op == Op::write_lines || action.op == Op::write_buffers) {
            text.append(" in ").append(number(action.pieces)).append(" pieces");
        }
        if (action.op == Op::send_file && action.pieces % 8 == 0) {
            text += ", cut short";
        }
    } else if (action.op == Op::set_limits) {
        text.append(" high ").append(number(action.size));
        text.append(" low ").append(number(action.size / action.pieces));
    } else if (action.op == Op::set_cap) {
        text.append(" ").append(number(action.size));
        text += action.pieces == 0 ? " abort" : " refuse";
    }
    return text;
}

std::string describe(const SimFaults& faults) {
    const std::array<std::pair<const char*, unsigned>, 26> rates = {{
        {"short_read", faults.short_read},
        {"short_write", faults.short_write},
        {"spurious_block", faults.spurious_block},
        {"interrupt", faults.interrupt},
        {"stream_error", faults.stream_error},
        {"accept_shortage", faults.accept_shortage},
        {"accept_aborted", faults.accept_aborted},
        {"open_shortage", faults.open_shortage},
        {"epoll_shortage", faults.epoll_shortage},
        {"reorder", faults.reorder},
        {"partial_batch", faults.partial_batch},
        {"late_wake", faults.late_wake},
        {"delay", faults.delay},
        {"slow_connect", faults.slow_connect},
        {"resolver_failure", faults.resolver_failure},
        {"cold_file", faults.cold_file},
        {"unfit_file", faults.unfit_file},
        {"file_error", faults.file_error},
        {"ring_shortage", faults.ring_shortage},
        {"ring_full", faults.ring_full},
        {"ring_partial", faults.ring_partial},
        {"ring_moved", faults.ring_moved},
        {"ring_end", faults.ring_end},
        {"ring_portion", faults.ring_portion},
        {"ring_race", faults.ring_race},
        {"ring_no_buffer", faults.ring_no_buffer},
    }};
    std::string text;
    for (const auto& [name, rate] : rates) {
        if (rate != 0) {
            text += std::string(text.empty() ? "" : ", ") + name + " " + number(rate);
        }
    }
    if (text.empty()) {
        return "none";
    }
    return text + " per mille; delays to " +
           number(static_cast<std::uint64_t>(faults.delay_most.count() / 1000)) + " us; at most " +
           number(faults.most) + " in all";
}

std::string describe(const EndPlan& end, const char* role) {
    std::string text = std::string("  ") + role + ": ";
    if (end.raw) {
        text += end.reads_at_once ? "raw peer" : "raw peer that does not read at first";
    } else {
        text += end.buffered ? "buffered, room " + number(end.room) : "chunks";
        text += end.keep_open_after_eof ? ", stays open after eof" : "";
        text += end.hold_reference ? "" : ", no reference held";
    }
    text += "\n";
    for (const Action& action : end.actions) {
        text += "    " + describe(action) + "\n";
    }
    return text;
}

}  // namespace

const char* to_string(Op op) noexcept {
    return op_names[static_cast<std::size_t>(op)];
}

std::optional<Op> op_named(std::string_view name) noexcept {
    for (std::size_t index = 0; index < op_count; ++index) {
        if (name == op_names[index]) {
            return static_cast<Op>(index);
        }
    }
    return {};
}

std::string describe(const Program& program) {
    std::string text = "seed " + number(program.seed) + ", " + number(program.duration_ms) +
                       " ms, capacity " + number(program.capacity_least) + " to " +
                       number(program.capacity_most) + ", backlog " +
                       std::to_string(program.backlog) + ", at most " +
                       number(program.descriptor_limit) + " descriptors\n";
    if (program.over_io_uring) {
        text += "over io_uring with at most " + number(program.ring_sizes.buffers) + " buffers, " +
                number(program.ring_sizes.completions) + " completions, " +
                number(program.ring_sizes.entries) + " entries\n";
    }
    text += program.server_buffered ? "server protocols are buffered\n" : "";
    text += program.factory_throws_nth != 0
                ? "protocol factory call " + number(program.factory_throws_nth) + " throws\n"
                : "";
    text += program.destroy_early ? "the loop is destroyed with everything open\n" : "";
    text += program.handles_outlive_loop ? "handles are dropped after the loop\n" : "";
    text += "faults: " + describe(program.faults) + "\n";
    for (std::size_t index = 0; index < program.connections.size(); ++index) {
        const ConnectionPlan& plan = program.connections[index];
        if (plan.left_out) {
            continue;
        }
        text += "connection " + number(index) + " at " + number(plan.start_ms) + " ms";
        text += plan.timeout_ms != 0 ? ", timeout " + number(plan.timeout_ms) + " ms" : "";
        text += plan.cancel_ms != 0 ? ", cancelled at " + number(plan.cancel_ms) + " ms" : "";
        constexpr std::array<const char*, 3> names = {
            "\n", ", by a name whose first address never answers\n",
            ", by a name whose first address refuses late\n"};
        text += names[static_cast<std::size_t>(plan.name)];
        text += describe(plan.ends[0], "client") + describe(plan.ends[1], "server");
    }
    return text;
}

}  // namespace sluice::test
