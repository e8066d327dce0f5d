// The second part of a run: everything is mended, and then everything must arrive and end.
//
// The programs' actions are over. Here the world itself closes, aborts and destroys, and at the end
// counts descriptors and protocols: none may be left.
#include "simulation/library_end.hpp"
#include "simulation/raw_end.hpp"
#include "simulation/world.hpp"

namespace sluice::test {

/// Runs until nothing is left to happen.
void World::come_to_rest(const char* what) {
    const Duration most = kernel_.elapsed() + std::chrono::minutes(10);
    static_cast<void>(kernel_.take_idle());
    while (!failed()) {
        step();
        if (kernel_.take_idle()) {
            return;
        }
        if (kernel_.elapsed() > most) {
            fail(std::string("hang: still busy after ten minutes of ") + what);
        }
    }
}

/// Nothing fails any more, everybody reads: what was written must arrive.
void World::mend() {
    mending_ = true;
    kernel_.faults = {};
    kernel_.set_descriptor_limit(1024);
    for (const auto& ends : library_) {
        for (const auto& end : ends) {
            if (end != nullptr && end->alive()) {
                end->perform({.op = Op::resume_reading});
            }
        }
    }
    for (const auto& ends : raw_) {
        for (const auto& end : ends) {
            if (end != nullptr) {
                end->drain();
            }
        }
    }
    come_to_rest("mending");
    for (const Connecting& connecting : connecting_) {
        if (!connecting.task.done() && !failed()) {
            fail("connect: a task never ended");
        }
    }
    for (std::size_t connection = 0; connection < library_.size(); ++connection) {
        check_arrival(connection, 0);
        check_arrival(connection, 1);
    }
}

/// What the end opposite of `receiver` wrote has arrived, if nothing ended the connection.
void World::check_arrival(std::size_t connection, std::size_t receiver) {
    const LibraryEnd* to = library_[connection][receiver].get();
    const RawEnd* raw_to = raw_[connection][receiver].get();
    const LibraryEnd* from = library_[connection][1 - receiver].get();
    const RawEnd* raw_from = raw_[connection][1 - receiver].get();
    const bool receiving = to != nullptr ? to->reading() : raw_to->alive();
    const std::uint64_t received = to != nullptr ? to->received() : raw_to->received();
    const std::string where =
        " (connection " + std::to_string(connection) + ", to end " + std::to_string(receiver) + ")";
    if (from != nullptr && from->alive() && !from->closing() && receiving) {
        if (from->pending() != 0 || from->writing_paused()) {
            fail("stuck: " + std::to_string(from->pending()) +
                 " bytes unsent although the peer reads" + where);
        }
        if (from->accepted() != received) {
            fail("stuck: " + std::to_string(received) + " of " + std::to_string(from->accepted()) +
                 " bytes arrived" + where);
        }
        const bool saw_eof = to != nullptr ? to->saw_eof() : raw_to->saw_eof();
        if (from->wrote_eof() != saw_eof) {
            fail("stuck: the end of the stream did not arrive" + where);
        }
    }
    if (raw_from != nullptr && raw_from->alive() && receiving && raw_from->sent() != received) {
        fail("stuck: " + std::to_string(received) + " of " + std::to_string(raw_from->sent()) +
             " bytes arrived" + where);
    }
    if (to != nullptr && !to->made() && server_->is_serving()) {
        const bool waits = from != nullptr ? from->reading() && !from->closing()
                                           : raw_from->alive() && !raw_from->saw_eof();
        if (receiver == 1 && waits) {
            fail("stuck: the connection was never accepted" + where);
        }
    }
    const bool sender_gone =
        from != nullptr ? from->lost()
                        : raw_from->was_connected() && (!raw_from->alive() || raw_from->finished());
    if (to != nullptr && receiving && !to->saw_eof() && sender_gone) {
        fail("stuck: reading goes on although the sender is gone" + where);
    }
}

void World::close_all() {
    for (const auto& ends : library_) {
        for (const auto& end : ends) {
            if (end != nullptr && end->alive()) {
                end->perform({.op = Op::close});
            }
        }
    }
    for (const auto& ends : raw_) {
        for (const auto& end : ends) {
            if (end != nullptr) {
                end->close();
            }
        }
    }
    come_to_rest("closing");
    for (std::size_t connection = 0; connection < library_.size(); ++connection) {
        for (const std::size_t index : {0U, 1U}) {
            const LibraryEnd* end = library_[connection][index].get();
            const LibraryEnd* other = library_[connection][1 - index].get();
            if (end == nullptr || !end->alive()) {
                continue;
            }
            // Two ends that close with bytes unsent wait for each other, since neither reads.
            const bool waits = end->pending() != 0 && other != nullptr && other->alive();
            if (!waits) {
                fail("stuck: close() never ended " + end->name());
            }
        }
    }
}

void World::abort_all() {
    for (const auto& ends : library_) {
        for (const auto& end : ends) {
            if (end != nullptr && end->alive()) {
                end->perform({.op = Op::abort});
            }
        }
    }
    server_->close();
    come_to_rest("aborting");
    for (const auto& ends : library_) {
        for (const auto& end : ends) {
            if (end != nullptr && end->alive()) {
                fail("stuck: abort() never ended " + end->name());
            }
        }
    }
    if (server_->connection_count() != 0 || !server_closed_.done()) {
        fail("stuck: the server still has " + std::to_string(server_->connection_count()) +
             " connections");
    }
    if (thrown_ != thrown_reported_) {
        fail("report: " + std::to_string(thrown_) + " exceptions thrown, " +
             std::to_string(thrown_reported_) + " reported");
    }
}

void World::destroy_early() {
    mending_ = true;
    if (!program_.handles_outlive_loop) {
        connecting_.clear();
        server_closed_ = {};
    }
    loop_.reset();
    for (const auto& ends : library_) {
        for (const auto& end : ends) {
            if (end != nullptr) {
                end->check_harmless();
            }
        }
    }
}

void World::drop_handles() {
    connecting_.clear();
    server_closed_ = {};
    server_.reset();
    handles_.clear();
    for (const auto& ends : library_) {
        for (const auto& end : ends) {
            if (end != nullptr) {
                end->drop_reference();
            }
        }
    }
}

void World::check_nothing_left() {
    mending_ = true;
    if (!program_.handles_outlive_loop && !failed()) {
        drop_handles();
    }
    loop_.reset();
    drop_handles();
    for (const std::string& violation : kernel_.violations()) {
        fail("kernel: " + violation);
    }
    if (kernel_.open_descriptors() != 0) {
        fail("leak: open at the end: " + kernel_.describe_descriptors());
    }
    if (live_protocols != 0) {
        fail("leak: " + std::to_string(live_protocols) + " protocols are still there");
    }
}

}  // namespace sluice::test
