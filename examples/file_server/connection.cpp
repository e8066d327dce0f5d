// Talks HTTP/1 with one client: see connection.hpp.
#include "connection.hpp"

#include "http_fields.hpp"

#include <utility>

namespace file_server {

namespace {

// Up to this size a file is copied behind its head, and both leave in one system call; above it the kernel's sendfile is
// cheaper than the copy.
constexpr std::size_t small_body = 16 * 1024;
// A client whose request was refused may still be sending; so much of it is read and dropped, for so long, because closing
// with bytes unread makes the kernel send a reset, which can destroy the answer on its way (RFC 9112, 9.6).
constexpr std::size_t lingering_bytes = 1024 * 1024;
constexpr std::chrono::milliseconds lingering_time{2000};
// What an idle connection may keep of the memory that unanswered requests took.
constexpr std::size_t idle_input_bytes = 4 * 1024;

sluice::EventLoop& loop() {
    return *sluice::EventLoop::running();
}

}  // namespace

void Connection::connection_made(sluice::Transport& transport) {
    transport_ = &transport;
    // A client that connects wants something: the first request must come as quickly as a head.
    wait_until(loop().time() + site_->settings.head_timeout);
}

void Connection::connection_lost(std::error_code) {
    timer_.cancel();
}

// --- Input ---

void Connection::data_received(sluice::Bytes data) {
    if (phase_ == Phase::lingering) {
        discarded_ += data.size();
        if (discarded_ > lingering_bytes) {
            transport_->abort();
        }
        return;
    }
    const std::string_view text = sluice::as_text(data);
    if (begin_ == input_.size()) {
        // The usual case: whole requests, read where they are.
        const std::size_t done = answer_all(text);
        input_.assign(text.substr(done));
        begin_ = 0;
    } else {
        input_.erase(0, std::exchange(begin_, 0));
        input_ += text;
        begin_ = answer_all(input_);
    }
    settle();
}

bool Connection::may_answer() const {
    return !file_under_way_ && !writing_paused_ && !last_request_ && !transport_->is_closing();
}

// Answers the requests at the beginning of `input` until one is incomplete or its answer takes time. Gives the number of
// bytes that are done with.
std::size_t Connection::answer_all(std::string_view input) {
    std::size_t done = 0;
    while (may_answer()) {
        switch (finder_.find(input.substr(done))) {
            case HeadFinder::Found::more_needed:
                return done;
            case HeadFinder::Found::refused:
                refuse(finder_.refusal(), false);
                return input.size();
            case HeadFinder::Found::complete:
                break;
        }
        const std::string_view head = input.substr(done, finder_.size());
        finder_.reset();
        done += head.size();
        answer(parse_request(head));
    }
    return last_request_ ? input.size() : done;
}

// After an answer has left: what waits is answered, as far as that goes.
void Connection::go_on() {
    begin_ += answer_all(std::string_view(input_).substr(begin_));
    settle();
}

// Brings reading, phase and time limit in line with what there is to do now.
void Connection::settle() {
    if (phase_ == Phase::lingering || transport_->is_closing()) {
        return;
    }
    const bool has_input = begin_ < input_.size();
    if (file_under_way_ || writing_paused_) {
        // Who asks for more than it takes is not read from, so what is kept of it stays bounded. Not before more has come,
        // because most clients wait for their answer, and pausing is a system call.
        if (has_input) {
            set_reading(false);
        }
        enter(Phase::sending);
    } else if (last_request_ || peer_has_ended_) {
        finish();
    } else {
        set_reading(true);
        if (!has_input && input_.capacity() > idle_input_bytes) {
            input_ = {};
            begin_ = 0;
        }
        enter(has_input ? Phase::in_head : Phase::idle);
    }
}

void Connection::set_reading(bool on) {
    if (on == !reading_paused_) {
        return;
    }
    reading_paused_ = !on;
    if (on) {
        transport_->resume_reading();
    } else {
        transport_->pause_reading();
    }
}

bool Connection::eof_received() {
    peer_has_ended_ = true;
    // A client may end its half after the last request and still wants the answer.
    return phase_ == Phase::sending;
}

void Connection::resume_writing() {
    writing_paused_ = false;
    go_on();
}

void Connection::server_draining() {
    last_request_ = true;
    settle();
}

// --- Answers ---

void Connection::answer(const ParsedRequest& parsed) {
    const Request& request = parsed.request;
    if (!parsed.ok) {
        refuse(parsed.refusal, false);
    } else if (request.has_body) {
        // Nothing here wants one, and what follows it could not be found without reading all of it.
        const bool is_known = request.method != Method::other;
        refuse(is_known ? Status::content_too_large : Status::method_not_allowed,
               request.method == Method::head);
    } else if (request.method == Method::other) {
        send_words(Status::method_not_allowed, request);
    } else if (!decode_path(request.target, site_->path)) {
        send_words(Status::bad_request, request);
    } else {
        answer_with_file(request);
    }
}

void Connection::answer_with_file(const Request& request) {
    const OpenedFile file = site_->folder.open(site_->path);
    if (file.status != Status::ok) {
        send_words(file.status, request);
        return;
    }
    const Answer answer = choose_answer(request, file.facts);
    if (answer.status == Status::precondition_failed ||
        answer.status == Status::range_not_satisfiable) {
        send_words(answer.status, request, file.facts.size);
        return;
    }
    last_request_ |= !request.keep_alive;
    std::string& outgoing = site_->outgoing;
    outgoing.clear();
    site_->heads.append(outgoing, answer, file.facts, {request.keep_alive, request.is_http_1_0});
    const bool is_complete =
        !answer.with_body || answer.length == 0 ||
        (answer.length <= small_body &&
         append_cached(outgoing, file.descriptor.get(), answer.offset, answer.length));
    transport_->write(outgoing);
    if (!is_complete && !transport_->is_closing()) {
        send_file(file.descriptor.get(), answer);
    }
}

void Connection::send_file(int file, const Answer& answer) {
    file_under_way_ = true;
    try {
        transport_->sendfile(file, static_cast<std::int64_t>(answer.offset),
                             static_cast<std::int64_t>(answer.length), site_->settings.sendfile,
                             [this](const sluice::SendfileResult& result) { file_sent(result); });
    } catch (...) {
        // The client was promised a length.
        transport_->abort();
        throw;
    }
}

void Connection::file_sent(const sluice::SendfileResult& result) {
    file_under_way_ = false;
    // After an error the connection is ending: there is nobody to answer to.
    if (!result.error) {
        go_on();
    }
}

void Connection::send_words(Status status, const Request& request, std::uint64_t file_size) {
    last_request_ |= !request.keep_alive;
    std::string& outgoing = site_->outgoing;
    outgoing.clear();
    site_->heads.append_words(outgoing, status, {request.keep_alive, request.is_http_1_0},
                              {request.method == Method::head, file_size});
    transport_->write(outgoing);
}

// Answers what cannot be understood, or is not wanted, and ends the connection: where the next request would begin is
// unknown.
void Connection::refuse(Status status, bool head_only) {
    last_request_ = true;
    std::string& outgoing = site_->outgoing;
    outgoing.clear();
    site_->heads.append_words(outgoing, status, {.keep_alive = false}, {.head_only = head_only});
    transport_->write(outgoing);
    if (!transport_->can_write_eof() || peer_has_ended_) {
        finish();
    } else if (!transport_->is_closing()) {
        transport_->write_eof();
        set_reading(true);
        enter(Phase::lingering);
    }
}

// Closes once everything has been sent. The timer still watches that the client takes it.
void Connection::finish() {
    enter(Phase::sending);
    transport_->close();
}

// --- Time ---

void Connection::enter(Phase phase) {
    const bool is_new = phase_ != phase;
    phase_ = phase;
    switch (phase) {
        case Phase::idle:
            wait_until(loop().time() + site_->settings.keep_alive_timeout);
            break;
        case Phase::in_head:
            // Bytes that trickle in do not extend it.
            if (is_new) {
                wait_until(loop().time() + site_->settings.head_timeout);
            }
            break;
        case Phase::sending:
            // The timer runs already; when it fires next it notes how much is unsent, and from then on that must shrink.
            unsent_ = SIZE_MAX;
            break;
        case Phase::lingering:
            wait_until(loop().time() + lingering_time);
            break;
    }
}

// One timer serves all limits. A limit that lies later than the timer costs nothing until the timer fires and is set again.
void Connection::wait_until(sluice::TimePoint deadline) {
    deadline_ = deadline;
    if (!timer_is_set_ || deadline < timer_.when()) {
        timer_.cancel();
        timer_ = loop().call_at(deadline, [this] { time_is_up(); });
        timer_is_set_ = true;
    }
}

void Connection::time_is_up() {
    timer_is_set_ = false;
    const sluice::TimePoint now = loop().time();
    if (phase_ == Phase::sending || transport_->is_closing()) {
        const std::size_t unsent = transport_->get_write_buffer_size();
        if (unsent == std::exchange(unsent_, unsent)) {
            transport_->abort();
        } else {
            wait_until(now + site_->settings.send_timeout);
        }
    } else if (now < deadline_) {
        wait_until(deadline_);
    } else if (phase_ == Phase::in_head) {
        refuse(Status::request_timeout, false);
    } else if (phase_ == Phase::lingering) {
        transport_->abort();
    } else {
        finish();
    }
    // Whatever was decided: as long as the connection lives, so does its timer.
    if (!timer_is_set_) {
        wait_until(now + site_->settings.send_timeout);
    }
}

}  // namespace file_server
