// From a seed to a program.
//
// Every program leaves many things out by chance ("swarm testing"): a bug that needs ten writes in
// a row is not found when every second action closes. Sizes cluster around the library's
// thresholds.
#include <sluice/limits.hpp>

#include "simulation/program.hpp"

#include <algorithm>

namespace sluice::test {

namespace {

class Generator {
public:
    Generator(std::uint64_t seed, std::uint32_t left_out)
        : random_(SimRandom::mix(seed)), left_out_(left_out) {
        program_.seed = seed;
    }

    Program run() {
        choose_world();
        choose_faults();
        choose_weights();
        const std::uint64_t count = random_.chance(500) ? 1 : random_.between(2, 5);
        for (std::uint64_t index = 0; index < count; ++index) {
            add_connection(static_cast<int>(count));
        }
        if (has_io_uring) {
            program_.over_io_uring = program_.seed % 2 == 1;
            choose_ring();
        }
        return std::move(program_);
    }

private:
    void choose_world() {
        constexpr std::size_t capacities[] = {1024, 4096, 16384, 65536, 212992};
        program_.capacity_most = capacities[random_.below(std::size(capacities))];
        program_.capacity_least = random_.chance(500)
                                      ? program_.capacity_most
                                      : std::max<std::size_t>(64, program_.capacity_most / 8);
        program_.duration_ms = static_cast<unsigned>(random_.between(20, 2500));
        program_.backlog = random_.chance(150) ? static_cast<int>(random_.between(1, 3)) : 100;
        program_.server_buffered = random_.chance(300);
        program_.factory_throws_nth =
            random_.chance(60) ? static_cast<unsigned>(random_.between(1, 4)) : 0;
        program_.destroy_early = random_.chance(80);
        program_.handles_outlive_loop =
            random_.chance(500) && (left_out_ & leave_out_late_handles) == 0;
        program_.descriptor_limit =
            random_.chance(80) ? static_cast<std::size_t>(random_.between(8, 12)) : 1024;
    }

    unsigned often(unsigned most) {
        constexpr unsigned rates[] = {4, 30, 150, 400};
        const unsigned rate = rates[random_.below(std::size(rates))];
        return random_.chance(350) ? std::min(most, rate) : 0;
    }

    void choose_faults() {
        SimFaults& faults = program_.faults;
        faults.short_read = often(400);
        faults.short_write = often(400);
        faults.spurious_block = often(400);
        faults.interrupt = often(150);
        faults.stream_error = random_.chance(500) ? often(12) : 0;
        faults.accept_shortage = often(400);
        faults.accept_aborted = often(150);
        faults.open_shortage = random_.chance(500) ? often(150) : 0;
        faults.epoll_shortage = random_.chance(500) ? often(30) : 0;
        faults.reorder = often(400);
        faults.partial_batch = often(400);
        faults.late_wake = often(400);
        faults.delay = often(400);
        faults.slow_connect = often(400);
        faults.delay_most = std::chrono::microseconds(random_.between(1, 30'000));
        faults.resolver_failure = random_.chance(300) ? often(150) : 0;
        faults.cold_file = often(400);
        faults.unfit_file = often(400);
        faults.file_error = random_.chance(500) ? often(12) : 0;
        faults.most = 1000;
    }

    /// Last, so that a seed does the same whether or not the build has rings.
    void choose_ring() {
        constexpr std::size_t sizes[] = {1, 2, 5, 30};
        const auto some = [&](std::size_t usual) {
            return random_.chance(600) ? usual : sizes[random_.below(std::size(sizes))];
        };
        program_.ring_sizes = {.buffers = some(limits::ring_buffers),
                               .completions = some(limits::ring_completion_entries),
                               .entries = some(limits::ring_entries)};
        SimFaults& faults = program_.faults;
        faults.ring_shortage = often(400);
        faults.ring_full = often(150);
        faults.ring_partial = often(150);
        faults.ring_moved = often(30);
        faults.ring_end = often(400);
        faults.ring_portion = often(400);
        faults.ring_race = often(400);
        faults.ring_no_buffer = often(400);
    }

    void choose_weights() {
        constexpr std::array<unsigned, op_count> usual = {
            30, 14, 8, 10, 8, 4, 12,  // writing
            5,  8,  8, 6,  2,         // flush, pause, resume, limits, cap
            4,  4,  3, 5,             // eof, close, abort, set_protocol
            3,  1,  1, 1,  1, 1,      // throw, stop, empty buffer, server
        };
        for (std::size_t op = 0; op < op_count; ++op) {
            const bool wanted = !random_.chance(350) && (left_out_ >> op & 1U) == 0;
            weights_[op] = wanted ? usual[op] : 0;
        }
        // Without writes nothing happens.
        weights_[0] = usual[0];
    }

    Op choose_op() {
        unsigned total = 0;
        for (const unsigned weight : weights_) {
            total += weight;
        }
        std::uint64_t chosen = random_.below(total);
        std::size_t op = 0;
        while (chosen >= weights_[op]) {
            chosen -= weights_[op++];
        }
        return static_cast<Op>(op);
    }

    std::size_t choose_size() {
        constexpr std::size_t edges[] = {0,    1,    511,   512,   513,   4095, 4096,
                                         4097, 8192, 16384, 65535, 65536, 65537};
        const std::size_t large = program_.capacity_most < 8192 ? 30'000 : 300'000;
        const std::uint64_t dice = random_.below(100);
        if (dice < 40) {
            return random_.between(1, 200);
        }
        if (dice < 65) {
            return random_.between(200, 5000);
        }
        if (dice < 75) {
            return edges[random_.below(std::size(edges))];
        }
        return dice < 92 ? random_.between(5000, large / 4) : random_.between(large / 4, large);
    }

    void shape(Action& action) {
        action.size = choose_size();
        action.pieces = static_cast<unsigned>(random_.chance(100) ? random_.between(60, 150)
                                                                  : random_.between(1, 12));
        if (action.op == Op::set_limits) {
            constexpr std::size_t highs[] = {0, 1, 100, 1000, 5000, 65536, 200'000};
            action.size = highs[random_.below(std::size(highs))];
            action.pieces = static_cast<unsigned>(random_.between(1, 8));
        }
        if (action.op == Op::set_cap) {
            action.size = random_.between(1, 200'000);
            action.pieces = static_cast<unsigned>(random_.below(2));
        }
    }

    Event choose_event(const EndPlan& end) {
        if (end.raw) {
            return Event::timer;
        }
        const std::uint64_t dice = random_.below(100);
        constexpr std::array<std::pair<unsigned, Event>, 8> limits = {{
            {28, Event::made},
            {56, Event::data},
            {72, Event::timer},
            {80, Event::outside},
            {84, Event::pause},
            {90, Event::resume},
            {94, Event::eof},
            {98, Event::lost},
        }};
        for (const auto& [limit, event] : limits) {
            if (dice < limit) {
                return event;
            }
        }
        return Event::get_buffer;
    }

    Action choose_action(const EndPlan& end, int connections) {
        Action action;
        action.event = choose_event(end);
        action.op = choose_op();
        switch (action.event) {
            case Event::timer:
            case Event::outside:
                action.nth = static_cast<unsigned>(random_.below(program_.duration_ms));
                break;
            case Event::data:
            case Event::get_buffer:
                action.nth = static_cast<unsigned>(random_.between(1, 6));
                break;
            case Event::pause:
            case Event::resume:
                action.nth = static_cast<unsigned>(random_.between(1, 3));
                break;
            default:
                action.nth = 1;
        }
        shape(action);
        if (!end.raw) {
            action.how = random_.chance(750)   ? How::now
                         : random_.chance(600) ? How::call_soon
                                               : How::call_later;
            if (random_.chance(120)) {
                action.target = static_cast<int>(random_.below(static_cast<unsigned>(connections)));
            }
        }
        return action;
    }

    EndPlan choose_end(bool raw, int connections) {
        EndPlan end;
        end.raw = raw;
        end.buffered = random_.chance(400);
        end.keep_open_after_eof = random_.chance(400);
        end.hold_reference = random_.chance(700);
        end.room = random_.chance(500) ? random_.between(1, 300) : random_.between(300, 100'000);
        end.reads_at_once = random_.chance(750);
        const std::uint64_t count = random_.below(random_.chance(150) ? 45 : 16);
        for (std::uint64_t index = 0; index < count; ++index) {
            end.actions.push_back(choose_action(end, connections));
        }
        return end;
    }

    void add_connection(int connections) {
        ConnectionPlan plan;
        plan.start_ms =
            random_.chance(600) ? 0 : static_cast<unsigned>(random_.below(program_.duration_ms));
        plan.cancel_ms = random_.chance(60)
                             ? static_cast<unsigned>(random_.between(1, program_.duration_ms))
                             : 0;
        plan.timeout_ms = random_.chance(100) ? static_cast<unsigned>(random_.between(1, 500)) : 0;
        plan.name = random_.chance(800)   ? HostName::none
                    : random_.chance(300) ? HostName::first_never_answers
                                          : HostName::first_refuses_late;
        const std::uint64_t kind = random_.below(4);
        plan.ends[0] = choose_end(kind == 2, connections);
        plan.ends[1] = choose_end(kind == 3, connections);
        program_.connections.push_back(std::move(plan));
    }

    SimRandom random_;
    std::uint32_t left_out_;
    Program program_;
    std::array<unsigned, op_count> weights_{};
};

}  // namespace

Program generate(std::uint64_t seed, std::uint32_t left_out) {
    return Generator(seed, left_out).run();
}

std::size_t action_count(const Program& program) {
    std::size_t count = 0;
    for (const ConnectionPlan& connection : program.connections) {
        for (const EndPlan& end : connection.ends) {
            count += end.actions.size();
        }
    }
    return count;
}

}  // namespace sluice::test
