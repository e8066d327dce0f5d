// One client's connection: requests in, answers out, one after the other. Decides when to read, what a slow client is
// worth, and how the connection ends; what an answer says is decided in answer.hpp.
#pragma once

#include <sluice/sluice.hpp>

#include "answer.hpp"
#include "folder.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace file_server {

struct Settings {
    /// From a request's first byte to the end of its head.
    std::chrono::milliseconds head_timeout{10'000};
    /// From one request to the next.
    std::chrono::milliseconds keep_alive_timeout{75'000};
    /// Without a byte that the client takes.
    std::chrono::milliseconds send_timeout{60'000};
    sluice::SendfileOptions sendfile;
};

/// What all connections of a loop share.
struct Site {
    Site(const std::string& folder_path, const Settings& chosen)
        : folder(folder_path), settings(chosen) {}

    Folder folder;
    Settings settings;
    HeadWriter heads;
    std::string path;      // of the request that is being answered
    std::string outgoing;  // the answer that is being put together
};

class Connection final : public sluice::Protocol {
public:
    /// `site` must outlive the connection.
    explicit Connection(Site& site) : site_(&site) {}

    void connection_made(sluice::Transport& transport) override;
    void data_received(sluice::Bytes data) override;
    bool eof_received() override;
    void pause_writing() override { writing_paused_ = true; }
    void resume_writing() override;
    void server_draining() override;
    void connection_lost(std::error_code reason) override;

private:
    enum class Phase { idle, in_head, sending, lingering };

    [[nodiscard]] bool may_answer() const;
    std::size_t answer_all(std::string_view input);
    void go_on();
    void settle();
    void set_reading(bool on);

    void answer(const ParsedRequest& parsed);
    void answer_with_file(const Request& request);
    void send_file(int file, const Answer& answer);
    void file_sent(const sluice::SendfileResult& result);
    void send_words(Status status, const Request& request, std::uint64_t file_size = 0);
    void refuse(Status status, bool head_only);
    void finish();

    void enter(Phase phase);
    void wait_until(sluice::TimePoint deadline);
    void time_is_up();

    Site* site_;
    sluice::Transport* transport_ = nullptr;
    std::string input_;      // what has arrived behind the last answered request
    std::size_t begin_ = 0;  // of what is still to be read in it
    HeadFinder finder_;
    Phase phase_ = Phase::idle;
    bool file_under_way_ = false;
    bool writing_paused_ = false;
    bool reading_paused_ = false;
    bool last_request_ = false;  // nothing more is answered
    bool peer_has_ended_ = false;
    std::size_t discarded_ = 0;
    std::size_t unsent_ = 0;  // at the last look of the timer
    sluice::TimePoint deadline_{};
    sluice::TimerHandle timer_;
    bool timer_is_set_ = false;
};

}  // namespace file_server
