// The emulation against what kqueue(2) says, where it is subtle: what passes over it is worth as
// much as it is.
#include <sluice/descriptor.hpp>

#include "support/checked.hpp"
#include "support/loop_fixture.hpp"
#include "support/pipe_end.hpp"

#include <array>
#include <cerrno>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using Event = struct kevent;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr timespec at_once{};

class KqueueEmulation : public testing::Test {
protected:
    void SetUp() override {
        std::array<int, 2> ends{};
        checked(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()),
                "socketpair");
        ours_ = Descriptor(ends[0]);
        theirs_ = Descriptor(ends[1]);
    }

    static Event event(std::uintptr_t ident, int filter, int flags, void* udata = nullptr) {
        Event made{};
        made.ident = ident;
        made.filter = static_cast<std::int16_t>(filter);
        made.flags = static_cast<std::uint16_t>(flags);
        made.udata = udata;
        return made;
    }
    static Event event(const Descriptor& on, int filter, int flags, void* udata = nullptr) {
        return event(static_cast<std::uintptr_t>(on.get()), filter, flags, udata);
    }
    static Event trigger(std::uintptr_t ident) {
        Event made = event(ident, EVFILT_USER, 0);
        made.fflags = NOTE_TRIGGER;
        return made;
    }

    /// The error of one change, 0 for none.
    int change(Event wanted) {
        return ::kevent(queue_.get(), &wanted, 1, nullptr, 0, nullptr) == 0 ? 0 : errno;
    }
    /// What is due now.
    std::vector<Event> due(const timespec* timeout = &at_once) {
        std::vector<Event> events(8);
        const int count = ::kevent(queue_.get(), nullptr, 0, events.data(), 8, timeout);
        events.resize(static_cast<std::size_t>(checked(count, "kevent")));
        return events;
    }
    void they_send(std::string_view bytes) {
        ASSERT_EQ(::write(theirs_.get(), bytes.data(), bytes.size()),
                  static_cast<ssize_t>(bytes.size()));
    }

    Descriptor queue_{checked(::kqueue(), "kqueue")};
    Descriptor ours_;
    Descriptor theirs_;
};

TEST_F(KqueueEmulation, the_end_of_a_stream_comes_beside_what_is_still_to_be_read) {
    ASSERT_EQ(change(event(ours_, EVFILT_READ, EV_ADD)), 0);
    EXPECT_THAT(due(), IsEmpty());
    they_send("abc");
    std::vector<Event> events = due();
    ASSERT_THAT(events, SizeIs(1));
    EXPECT_EQ(events[0].flags & EV_EOF, 0);
    EXPECT_EQ(events[0].data, 3);
    ASSERT_EQ(::shutdown(theirs_.get(), SHUT_WR), 0);
    events = due();
    ASSERT_THAT(events, SizeIs(1));
    EXPECT_NE(events[0].flags & EV_EOF, 0);
    EXPECT_EQ(events[0].data, 3) << "the bytes are not lost with the end";
}

TEST_F(KqueueEmulation, half_a_close_is_an_end_for_reading_and_none_for_writing) {
    ASSERT_EQ(change(event(ours_, EVFILT_READ, EV_ADD)), 0);
    ASSERT_EQ(change(event(ours_, EVFILT_WRITE, EV_ADD)), 0);
    ASSERT_EQ(::shutdown(theirs_.get(), SHUT_WR), 0);
    std::vector<Event> events = due();
    ASSERT_THAT(events, SizeIs(2));
    EXPECT_EQ(events[0].filter, EVFILT_READ);
    EXPECT_NE(events[0].flags & EV_EOF, 0);
    EXPECT_EQ(events[1].filter, EVFILT_WRITE);
    EXPECT_EQ(events[1].flags & EV_EOF, 0);
    theirs_.reset();
    events = due();
    ASSERT_THAT(events, SizeIs(2));
    EXPECT_NE(events[1].flags & EV_EOF, 0);
}

TEST_F(KqueueEmulation, the_two_filters_of_a_descriptor_are_knotes_of_their_own) {
    int reading = 0;
    int writing = 0;
    ASSERT_EQ(change(event(ours_, EVFILT_READ, EV_ADD, &reading)), 0);
    ASSERT_EQ(change(event(ours_, EVFILT_WRITE, EV_ADD | EV_ONESHOT, &writing)), 0);
    they_send("x");
    std::vector<Event> events = due();
    ASSERT_THAT(events, SizeIs(2));
    EXPECT_EQ(events[0].udata, &reading);
    EXPECT_EQ(events[1].udata, &writing);
    events = due();
    ASSERT_THAT(events, SizeIs(1)) << "the other one was one-shot";
    EXPECT_EQ(events[0].udata, &reading);
    EXPECT_EQ(change(event(ours_, EVFILT_WRITE, EV_DELETE)), ENOENT);
    ASSERT_EQ(change(event(ours_, EVFILT_READ, EV_ADD, &writing)), 0);
    ASSERT_THAT(due(), SizeIs(1));
    EXPECT_EQ(due()[0].udata, &writing) << "adding again replaces";
    EXPECT_EQ(change(event(ours_, EVFILT_READ, EV_DELETE)), 0);
    EXPECT_THAT(due(), IsEmpty());
}

TEST_F(KqueueEmulation, a_pipe_without_a_reader_is_an_end_in_both_filters) {
    auto [reading, writing] = make_pipe();
    Descriptor read_end(reading);
    const Descriptor write_end(writing);
    ASSERT_EQ(change(event(write_end, EVFILT_READ, EV_ADD)), 0);
    EXPECT_THAT(due(), IsEmpty());
    ASSERT_EQ(change(event(write_end, EVFILT_WRITE, EV_ADD)), 0);
    read_end.reset();
    const std::vector<Event> events = due();
    ASSERT_THAT(events, SizeIs(2));
    EXPECT_NE(events[0].flags & EV_EOF, 0);
    EXPECT_NE(events[1].flags & EV_EOF, 0);
}

TEST_F(KqueueEmulation, a_pipe_that_lost_its_reader_is_refused_for_writing) {
    auto [reading, writing] = make_pipe();
    Descriptor read_end(reading);
    const Descriptor write_end(writing);
    read_end.reset();
    EXPECT_EQ(change(event(write_end, EVFILT_WRITE, EV_ADD)), EPIPE);
    EXPECT_EQ(change(event(write_end, EVFILT_READ, EV_ADD)), 0);
}

TEST_F(KqueueEmulation, the_error_of_a_datagram_socket_is_no_end) {
    const auto datagram_socket = [] {
        return Descriptor(checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    };
    const Descriptor socket = datagram_socket();
    Descriptor peer = datagram_socket();
    RawAddress address;
    reinterpret_cast<sockaddr_in&>(address.storage).sin_family = AF_INET;
    reinterpret_cast<sockaddr_in&>(address.storage).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.length = sizeof(sockaddr_in);
    checked(::bind(peer.get(), address.get(), address.length), "bind");
    checked(::getsockname(peer.get(), address.get(), &address.length), "getsockname");
    checked(::connect(socket.get(), address.get(), address.length), "connect");
    // ICMP answers what is sent to an address that nobody has any more.
    peer.reset();
    ASSERT_EQ(::send(socket.get(), "x", 1, 0), 1);
    ASSERT_EQ(change(event(socket, EVFILT_READ, EV_ADD)), 0);
    const std::vector<Event> events = due(nullptr);
    ASSERT_THAT(events, SizeIs(1));
    EXPECT_EQ(events[0].flags & EV_EOF, 0);
}

TEST_F(KqueueEmulation, a_one_shot_user_event_is_delivered_once_and_gone) {
    int tag = 0;
    ASSERT_EQ(change(event(7, EVFILT_USER, EV_ADD | EV_ONESHOT, &tag)), 0);
    EXPECT_THAT(due(), IsEmpty());
    ASSERT_EQ(change(trigger(7)), 0);
    const std::vector<Event> events = due();
    ASSERT_THAT(events, SizeIs(1));
    EXPECT_EQ(events[0].ident, 7U);
    EXPECT_EQ(events[0].filter, EVFILT_USER);
    EXPECT_EQ(events[0].udata, &tag);
    EXPECT_THAT(due(), IsEmpty());
    EXPECT_EQ(change(trigger(7)), ENOENT);
}

TEST_F(KqueueEmulation, a_user_event_is_level_triggered_unless_it_clears_itself) {
    ASSERT_EQ(change(event(1, EVFILT_USER, EV_ADD)), 0);
    ASSERT_EQ(change(event(2, EVFILT_USER, EV_ADD | EV_CLEAR)), 0);
    for (int times = 0; times < 3; ++times) {
        ASSERT_EQ(change(trigger(1)), 0);
        ASSERT_EQ(change(trigger(2)), 0);
    }
    EXPECT_THAT(due(), SizeIs(2)) << "triggers collapse";
    const std::vector<Event> events = due();
    ASSERT_THAT(events, SizeIs(1));
    EXPECT_EQ(events[0].ident, 1U);
    ASSERT_EQ(change(event(1, EVFILT_USER, EV_DELETE)), 0);
    EXPECT_THAT(due(), IsEmpty());
    ASSERT_EQ(change(trigger(2)), 0);
    EXPECT_THAT(due(), SizeIs(1)) << "it can be triggered again";
}

TEST_F(KqueueEmulation, a_user_event_ends_a_wait_of_another_thread) {
    ASSERT_EQ(change(event(1, EVFILT_USER, EV_ADD | EV_CLEAR)), 0);
    std::thread other([this] { EXPECT_EQ(change(trigger(1)), 0); });
    EXPECT_THAT(due(nullptr), SizeIs(1));
    other.join();
}

TEST_F(KqueueEmulation, a_closed_descriptor_cannot_be_registered) {
    const int closed = ::dup(ours_.get());
    ASSERT_EQ(::close(closed), 0);
    const auto ident = static_cast<std::uintptr_t>(closed);
    EXPECT_EQ(change(event(ident, EVFILT_READ, EV_ADD)), EBADF);
    EXPECT_EQ(change(event(ident, EVFILT_READ, EV_DELETE)), EBADF);
}

TEST_F(KqueueEmulation, closing_a_number_drops_its_knotes_whatever_duplicates_there_are) {
    Descriptor number(::fcntl(ours_.get(), F_DUPFD_CLOEXEC, 100));
    ASSERT_EQ(change(event(number, EVFILT_READ, EV_ADD)), 0);
    they_send("x");
    EXPECT_THAT(due(), SizeIs(1));
    const int was = number.get();
    number.reset();
    EXPECT_THAT(due(), IsEmpty()) << "the socket itself is still open";
    const Descriptor again(::fcntl(ours_.get(), F_DUPFD_CLOEXEC, was));
    ASSERT_EQ(again.get(), was);
    EXPECT_EQ(change(event(again, EVFILT_READ, EV_DELETE)), ENOENT);
    EXPECT_EQ(change(event(again, EVFILT_READ, EV_ADD)), 0);
    EXPECT_THAT(due(), SizeIs(1));
}

TEST_F(KqueueEmulation, receipts_tell_of_each_change_and_leave_what_is_due) {
    they_send("x");
    std::array<Event, 3> changes{
        event(ours_, EVFILT_READ, EV_ADD | EV_RECEIPT),
        event(ours_, EVFILT_WRITE, EV_DELETE | EV_RECEIPT),
        event(theirs_, EVFILT_READ, EV_ADD | EV_RECEIPT),
    };
    ASSERT_EQ(::kevent(queue_.get(), changes.data(), 3, changes.data(), 3, nullptr), 3);
    std::vector<std::intptr_t> errors;
    for (const Event& receipt : changes) {
        EXPECT_NE(receipt.flags & EV_ERROR, 0);
        errors.push_back(receipt.data);
    }
    EXPECT_THAT(errors, ElementsAre(0, ENOENT, 0));
    EXPECT_THAT(due(), SizeIs(1));
}

TEST_F(KqueueEmulation, a_change_that_fails_is_an_event_where_there_is_room_for_it) {
    Event wanted = event(ours_, EVFILT_READ, EV_DELETE);
    std::array<Event, 4> events{};
    ASSERT_EQ(::kevent(queue_.get(), &wanted, 1, events.data(), 4, nullptr), 1)
        << "it must not wait";
    EXPECT_NE(events[0].flags & EV_ERROR, 0);
    EXPECT_EQ(events[0].data, ENOENT);
    EXPECT_EQ(events[0].ident, wanted.ident);
}

TEST_F(KqueueEmulation, what_is_not_emulated_is_refused) {
    constexpr int timer_filter = -7;
    constexpr int dispatch_flag = 0x0080;
    EXPECT_EQ(change(event(1, timer_filter, EV_ADD)), EINVAL);
    EXPECT_EQ(change(event(ours_, EVFILT_READ, EV_ADD | EV_CLEAR)), EINVAL);
    EXPECT_EQ(change(event(ours_, EVFILT_READ, EV_ADD | dispatch_flag)), EINVAL);
    const Descriptor device(checked(::open("/dev/null", O_RDONLY | O_CLOEXEC), "open"));
    EXPECT_EQ(change(event(device, EVFILT_READ, EV_ADD)), EINVAL);
}

TEST_F(KqueueEmulation, a_file_is_taken_and_nothing_is_told_of_it) {
    const Descriptor file(checked(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "open"));
    EXPECT_EQ(change(event(file, EVFILT_READ, EV_ADD)), 0);
    EXPECT_THAT(due(), IsEmpty());
    EXPECT_EQ(change(event(file, EVFILT_READ, EV_DELETE)), 0);
    EXPECT_EQ(change(event(file, EVFILT_READ, EV_DELETE)), ENOENT);
}

TEST_F(KqueueEmulation, a_timeout_beyond_three_years_is_refused_as_on_macos) {
    ASSERT_EQ(change(event(ours_, EVFILT_WRITE, EV_ADD)), 0);
    std::array<Event, 2> events{};
    const auto wait = [&](const timespec& timeout) {
        return ::kevent(queue_.get(), nullptr, 0, events.data(), 2, &timeout);
    };
    EXPECT_EQ(wait({.tv_sec = 100'000'000, .tv_nsec = 0}), 1);
    EXPECT_EQ(wait({.tv_sec = 100'000'001, .tv_nsec = 0}), -1);
    EXPECT_EQ(errno, EINVAL);
}

TEST_F(KqueueEmulation, a_forked_child_has_no_queue) {
    EXPECT_TRUE(in_forked_child([this] { return change(trigger(1)) == EBADF; }));
    EXPECT_EQ(change(trigger(1)), ENOENT) << "the parent's is there";
}

TEST_F(KqueueEmulation, a_closed_queue_leaves_nothing_open) {
    const std::vector<int> before = open_descriptors();
    Descriptor other(checked(::kqueue(), "kqueue"));
    const int number = other.get();
    EXPECT_GT(open_descriptors().size(), before.size());
    other.reset();
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(::kevent(number, nullptr, 0, nullptr, 0, nullptr), -1);
    EXPECT_EQ(errno, EBADF);
}

}  // namespace
}  // namespace sluice::test
