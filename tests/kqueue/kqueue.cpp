// kqueue(2) over epoll(7), for running the kqueue backend on Linux. Linked into the library by the
// option SLUICE_KQUEUE_EMULATION and never shipped.
//
// Here: EVFILT_READ and EVFILT_WRITE as two knotes of one descriptor, level-triggered or EV_ONESHOT,
// EV_EOF beside data that is still to be read; EVFILT_USER with EV_CLEAR, EV_ONESHOT and
// NOTE_TRIGGER; receipts; error events, or -1 where there is no room for them; knotes that go when
// their number is closed, whatever duplicates there are; queues that a forked child has not; EPIPE for
// EVFILT_WRITE of a pipe that lost its reader; timeouts of macOS, which end at 100,000,000 s.
// What is not here is refused with EINVAL, so that the backend cannot come to rely on it.
//
// Not as on BSD: `fflags` stays 0 with EV_EOF, where BSD tells the socket's error, because Linux
// clears that by telling it; `data` is 0 for EVFILT_WRITE and for listening sockets; a socket that was
// shut down for writing on this side only has no EV_EOF in EVFILT_WRITE; regular files and folders
// are taken, but nothing is ever told of them; knotes stay when dup2(2) or fclose(3) closes their
// descriptor.
#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

using Event = struct kevent;

// Past the wrapper below, which would come back to the registry.
void close_unwrapped(int fd) {
    ::syscall(SYS_close, fd);
}

bool is_pipe_without_reader(int fd, mode_t mode) {
    pollfd entry{fd, POLLOUT, 0};
    return S_ISFIFO(mode) && ::poll(&entry, 1, 0) == 1 && (entry.revents & POLLERR) != 0;
}

bool is_valid(const timespec& timeout) {
    constexpr time_t longest_s = 100'000'000;
    constexpr long ns_per_s = 1'000'000'000;
    return timeout.tv_sec >= 0 && timeout.tv_sec <= longest_s && timeout.tv_nsec >= 0 &&
           timeout.tv_nsec < ns_per_s;
}

struct Knote {
    std::uint16_t flags = 0;
    void* udata = nullptr;
};

struct UserKnote : Knote {
    bool triggered = false;
};

/// What is known of one descriptor. Its two knotes share a registration with epoll.
struct Watched {
    std::optional<Knote> reading;
    std::optional<Knote> writing;
    mode_t mode = 0;

    // These epoll(7) does not take.
    [[nodiscard]] bool stored() const { return S_ISREG(mode) || S_ISDIR(mode); }
    [[nodiscard]] std::uint32_t interest() const {
        // Without EPOLLRDHUP the end of the stream would not be told apart from data.
        return (reading ? std::uint32_t{EPOLLIN | EPOLLRDHUP} : 0U) |
               (writing ? std::uint32_t{EPOLLOUT} : 0U);
    }
    std::optional<Knote>& knote(int filter) { return filter == EVFILT_READ ? reading : writing; }
};

/// The events that one call collects.
class EventList {
public:
    EventList(Event* events, int room) : events_(events), room_(room) {}

    [[nodiscard]] bool full() const { return count_ == room_; }
    [[nodiscard]] int count() const { return count_; }
    void add(const Event& event) { events_[count_++] = event; }

private:
    Event* events_;
    int room_;
    int count_ = 0;
};

class Queue {
public:
    Queue(int epoll_fd, int user_fd) : epoll_(epoll_fd), user_(user_fd) {}
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;
    ~Queue() {
        close_unwrapped(user_);
        close_unwrapped(epoll_);
    }

    /// An errno.
    int change(const Event& wanted) {
        constexpr unsigned known = EV_ADD | EV_DELETE | EV_ONESHOT | EV_CLEAR | EV_RECEIPT;
        if ((wanted.flags & ~known) != 0) {
            return EINVAL;
        }
        const std::lock_guard lock(mutex_);
        switch (wanted.filter) {
            case EVFILT_READ:
            case EVFILT_WRITE:
                return change_descriptor(wanted);
            case EVFILT_USER:
                return change_user(wanted);
            default:
                return EINVAL;
        }
    }

    /// False with errno when nothing could be waited for.
    bool wait(EventList& events, int room, const timespec* timeout) {
        if (room < 2) {
            // Both filters of a descriptor may be due, and neither must starve the other.
            errno = EINVAL;
            return false;
        }
        std::array<epoll_event, 64> ready;
        const int limit = std::min(room / 2, static_cast<int>(ready.size()));
        const int count = ::epoll_pwait2(epoll_, ready.data(), limit, timeout, nullptr);
        if (count < 0) {
            return false;
        }
        const std::lock_guard lock(mutex_);
        bool user_events = false;
        for (int index = 0; index < count; ++index) {
            const epoll_event& event = ready[static_cast<std::size_t>(index)];
            if (event.data.fd == user_) {
                user_events = true;
            } else {
                collect_descriptor(event.data.fd, event.events, events);
            }
        }
        if (user_events) {
            collect_user(events);
        }
        return true;
    }

    /// The descriptor is about to be closed.
    void forget(int fd) {
        const std::lock_guard lock(mutex_);
        if (watched_.erase(fd) != 0) {
            ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
        }
    }

private:
    int change_descriptor(const Event& wanted) {
        const auto fd = static_cast<int>(wanted.ident);
        struct stat status{};
        if (::fstat(fd, &status) != 0) {
            return EBADF;
        }
        if ((wanted.flags & EV_CLEAR) != 0) {
            return EINVAL;
        }
        const auto found = watched_.find(fd);
        const Watched before = found == watched_.end() ? Watched{} : found->second;
        Watched after = before;
        after.mode = status.st_mode;
        std::optional<Knote>& knote = after.knote(wanted.filter);
        if ((wanted.flags & EV_ADD) != 0) {
            if (wanted.filter == EVFILT_WRITE && !knote &&
                is_pipe_without_reader(fd, status.st_mode)) {
                return EPIPE;
            }
            knote = Knote{wanted.flags, wanted.udata};
        } else if (!knote) {
            return ENOENT;
        } else if ((wanted.flags & EV_DELETE) != 0) {
            knote.reset();
        }
        return replace(fd, before, after);
    }

    int replace(int fd, const Watched& before, const Watched& after) {
        epoll_event event{};
        event.events = after.interest();
        event.data.fd = fd;
        const int operation = before.interest() == 0  ? EPOLL_CTL_ADD
                              : after.interest() == 0 ? EPOLL_CTL_DEL
                                                      : EPOLL_CTL_MOD;
        if (!after.stored() && ::epoll_ctl(epoll_, operation, fd, &event) != 0) {
            // A device that epoll refuses has no such filter.
            return errno == EPERM ? EINVAL : errno;
        }
        if (after.interest() == 0) {
            watched_.erase(fd);
            return 0;
        }
        watched_[fd] = after;
        return 0;
    }

    int change_user(const Event& wanted) {
        const auto found = users_.find(wanted.ident);
        if ((wanted.flags & EV_ADD) == 0 && found == users_.end()) {
            return ENOENT;
        }
        if ((wanted.flags & EV_DELETE) != 0) {
            users_.erase(found);
            settle_user();
            return 0;
        }
        UserKnote& knote = users_[wanted.ident];
        if ((wanted.flags & EV_ADD) != 0) {
            knote.flags = wanted.flags;
            knote.udata = wanted.udata;
        }
        if ((wanted.fflags & NOTE_TRIGGER) != 0 && !knote.triggered) {
            knote.triggered = true;
            ::eventfd_write(user_, 1);
        }
        return 0;
    }

    void collect_descriptor(int fd, std::uint32_t ready, EventList& events) {
        const auto found = watched_.find(fd);
        if (found == watched_.end()) {
            return;
        }
        const Watched before = found->second;
        Watched after = before;
        // Alone, an error of a socket is no end: a datagram socket goes on after it. A pipe says so
        // that its other end is gone.
        const bool gone =
            (ready & EPOLLHUP) != 0 || (!S_ISSOCK(before.mode) && (ready & EPOLLERR) != 0);
        if (before.reading && (ready & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
            Event event = event_of(fd, EVFILT_READ, *before.reading);
            int unread = 0;
            event.data = ::ioctl(fd, FIONREAD, &unread) == 0 ? unread : 0;
            deliver(event, gone || (ready & EPOLLRDHUP) != 0, after.reading, events);
        }
        if (before.writing && (ready & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
            deliver(event_of(fd, EVFILT_WRITE, *before.writing), gone, after.writing, events);
        }
        if (after.interest() != before.interest()) {
            replace(fd, before, after);
        }
    }

    static Event event_of(int fd, int filter, const Knote& knote) {
        Event event{};
        event.ident = static_cast<std::uintptr_t>(fd);
        event.filter = static_cast<std::int16_t>(filter);
        event.udata = knote.udata;
        return event;
    }

    static void deliver(Event event, bool ended, std::optional<Knote>& knote, EventList& events) {
        event.flags = ended ? EV_EOF : 0;
        if ((knote->flags & EV_ONESHOT) != 0) {
            knote.reset();
        }
        events.add(event);
    }

    void collect_user(EventList& events) {
        for (auto each = users_.begin(); each != users_.end();) {
            const auto current = each++;
            UserKnote& knote = current->second;
            if (!knote.triggered) {
                continue;
            }
            if (events.full()) {
                // What is left keeps the descriptor readable.
                return;
            }
            Event event{};
            event.ident = current->first;
            event.filter = EVFILT_USER;
            event.udata = knote.udata;
            events.add(event);
            if ((knote.flags & EV_CLEAR) != 0) {
                knote.triggered = false;
            }
            if ((knote.flags & EV_ONESHOT) != 0) {
                users_.erase(current);
            }
        }
        settle_user();
    }

    void settle_user() {
        if (std::none_of(users_.begin(), users_.end(),
                         [](const auto& each) { return each.second.triggered; })) {
            eventfd_t triggers = 0;
            ::eventfd_read(user_, &triggers);
        }
    }

    const int epoll_;  // the number that the program knows
    const int user_;   // an eventfd: readable while a user event is triggered
    std::mutex mutex_;
    std::map<int, Watched> watched_;
    std::map<std::uintptr_t, UserKnote> users_;
};

/// The queues of this process by their descriptors.
struct Registry {
    std::mutex mutex;
    std::map<int, std::shared_ptr<Queue>> queues;
};

// Never destroyed: descriptors are closed until the very end of the process.
Registry*& registry() {
    static Registry* current = [] {
        // A forked child has no queues, and a mutex that another thread held stays locked in it.
        ::pthread_atfork(nullptr, nullptr, [] { registry() = new Registry; });
        return new Registry;
    }();
    return current;
}

std::shared_ptr<Queue> queue_of(int fd) {
    Registry& all = *registry();
    const std::lock_guard lock(all.mutex);
    const auto found = all.queues.find(fd);
    return found == all.queues.end() ? nullptr : found->second;
}

}  // namespace

int kqueue() noexcept {
    // Not close-on-exec, as on BSD: that is the backend's business.
    const int epoll_fd = ::epoll_create1(0);
    if (epoll_fd < 0) {
        return -1;
    }
    const int user_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = user_fd;
    if (user_fd < 0 || ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, user_fd, &event) != 0) {
        const int error = errno;
        close_unwrapped(user_fd);
        close_unwrapped(epoll_fd);
        errno = error;
        return -1;
    }
    Registry& all = *registry();
    const std::lock_guard lock(all.mutex);
    all.queues.emplace(epoll_fd, std::make_shared<Queue>(epoll_fd, user_fd));
    return epoll_fd;
}

int kevent(int kqueue_fd, const struct kevent* changes, int change_count, struct kevent* events,
           int event_room, const timespec* timeout) noexcept {
    const std::shared_ptr<Queue> queue = queue_of(kqueue_fd);
    if (queue == nullptr) {
        errno = EBADF;
        return -1;
    }
    EventList list(events, event_room);
    for (int index = 0; index < change_count; ++index) {
        // A copy: the two lists may be one.
        Event change = changes[index];
        const int error = queue->change(change);
        if (error == 0 && (change.flags & EV_RECEIPT) == 0) {
            continue;
        }
        if (list.full()) {
            if (error == 0) {
                continue;
            }
            errno = error;
            return -1;
        }
        change.flags = EV_ERROR;
        change.data = error;
        list.add(change);
    }
    if (timeout != nullptr && !is_valid(*timeout)) {
        errno = EINVAL;
        return -1;
    }
    if (list.count() == 0 && event_room > 0 && !queue->wait(list, event_room, timeout)) {
        return -1;
    }
    return list.count();
}

// Every close() of the program, by the linker's --wrap.
extern "C" int __wrap_close(int fd);  // NOLINT(bugprone-reserved-identifier): the linker's name

int __wrap_close(int fd) {
    Registry& all = *registry();
    const std::lock_guard lock(all.mutex);
    if (all.queues.erase(fd) != 0) {
        return 0;
    }
    for (const auto& [number, queue] : all.queues) {
        queue->forget(fd);
    }
    return static_cast<int>(::syscall(SYS_close, fd));
}
