// Reads that the io_uring backend has under way: pipes stand for disks that take their time. That files
// are sent by it, the sendfile suites tell.
#include <sluice/descriptor.hpp>
#include <sluice/detail/file_completions.hpp>
#include <sluice/detail/io_uring.hpp>
#include <sluice/detail/poller.hpp>

#include "support/raw_descriptors.hpp"

#include <array>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using detail::FileCompletions;
using detail::FileRead;
using detail::IoResult;

/// Remembers what it was told, outside of itself.
class Reading final : public FileRead {
public:
    struct Told {
        std::optional<IoResult> answer;
        std::string text;
        bool destroyed = false;
    };

    explicit Reading(Told& told) : told_(told) {}
    ~Reading() override { told_.destroyed = true; }
    void read_done(IoResult answer) noexcept override {
        told_.answer = answer;
        if (answer.ok()) {
            told_.text.assign(text_.data(), answer.value());
        }
    }
    MutableBytes space() { return std::as_writable_bytes(std::span(text_)); }

private:
    Told& told_;
    std::array<char, 64> text_{};
};

class Files : public testing::Test {
protected:
    void SetUp() override {
        std::string refusal;
        poller_ = detail::make_io_uring_poller(refusal);
        if (poller_ == nullptr || poller_->file_completions() == nullptr) {
            GTEST_SKIP() << refusal;
        }
        const auto [reading, writing] = make_pipe();
        source_ = Descriptor(reading);
        sink_ = Descriptor(writing);
    }

    void read(Reading::Told& told) {
        const auto reading = std::make_shared<Reading>(told);
        EXPECT_TRUE(poller_->file_completions()->read(reading, source_.get(), reading->space(), 0));
    }
    /// What the loop does.
    void turn(std::chrono::nanoseconds timeout = 0ns) {
        std::array<detail::ReadyEvent, 4> batch{};
        poller_->wait(timeout, batch);
        poller_->file_completions()->report_reads();
    }
    void write(const std::string& text) {
        ASSERT_EQ(::write(sink_.get(), text.data(), text.size()),
                  static_cast<ssize_t>(text.size()));
    }

    std::unique_ptr<detail::Poller> poller_;
    Descriptor source_;
    Descriptor sink_;
};

TEST_F(Files, what_is_read_is_told_when_it_has_come_and_the_loop_goes_on_meanwhile) {
    Reading::Told told;
    read(told);
    turn();
    turn();
    EXPECT_FALSE(told.answer);
    EXPECT_FALSE(told.destroyed) << "its memory is the kernel's";
    write("content");
    turn(1s);
    ASSERT_TRUE(told.answer);
    EXPECT_EQ(told.text, "content");
    EXPECT_TRUE(told.destroyed);
}

TEST_F(Files, a_read_that_fails_tells_its_error) {
    Reading::Told told;
    source_ = std::move(sink_);  // which is open for writing only
    read(told);
    turn(1s);
    ASSERT_TRUE(told.answer);
    EXPECT_EQ(told.answer->error(), std::errc::bad_file_descriptor);
}

TEST_F(Files, a_descriptor_that_is_closed_meanwhile_is_read_to_the_end) {
    Reading::Told told;
    read(told);
    turn();
    source_.reset();
    write("content");
    turn(1s);
    EXPECT_EQ(told.text, "content");
}

TEST_F(Files, a_backend_destroyed_amid_reads_tells_nobody_and_frees_what_the_kernel_has_let_go_of) {
    Reading::Told begun;
    Reading::Told asked_for;
    read(begun);
    turn();
    read(asked_for);
    poller_.reset();
    for (const Reading::Told* told : {&begun, &asked_for}) {
        EXPECT_TRUE(told->destroyed);
        EXPECT_FALSE(told->answer);
    }
    write("x");
    char byte = 0;
    EXPECT_EQ(::read(source_.get(), &byte, 1), 1) << "the kernel still reads";
}

// Where the memory is for ever the kernel's.
Reading::Told given_up;
bool given_up_was_freed = false;
std::optional<Reading> reading_given_up;

TEST_F(Files, amid_a_read_a_loop_may_move_to_another_thread_which_has_to_read_again) {
    reading_given_up.emplace(given_up);
    std::promise<void> moved;
    std::promise<void> ready;
    std::thread before([&] {
        const std::shared_ptr<FileRead> reading(&*reading_given_up,
                                                [](FileRead*) { given_up_was_freed = true; });
        EXPECT_TRUE(poller_->file_completions()->read(reading, source_.get(),
                                                      reading_given_up->space(), 0));
        turn();
        ready.set_value();
        moved.get_future().wait();
    });
    ready.get_future().wait();
    EXPECT_FALSE(given_up.answer);
    turn(1s);
    moved.set_value();
    before.join();
    ASSERT_TRUE(given_up.answer);
    EXPECT_TRUE(FileRead::refused(given_up.answer->error()));
    Reading::Told again;
    read(again);
    turn();
    write("content");
    turn(1s);
    EXPECT_EQ(again.text, "content");
    poller_.reset();
    EXPECT_FALSE(given_up_was_freed) << "although the kernel may write to it";
}

}  // namespace
}  // namespace sluice::test
