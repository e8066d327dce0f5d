// <sys/event.h> for Linux: as much of kqueue(2) as the kqueue backend uses. kqueue.cpp says what
// that is. Names and numbers are the system's, so that code cannot tell.
#pragma once

#include <cstdint>
#include <ctime>

extern "C" {

struct kevent {
    std::uintptr_t ident;
    std::int16_t filter;
    std::uint16_t flags;
    std::uint32_t fflags;
    std::intptr_t data;
    void* udata;
};

int kqueue() noexcept;
int kevent(int kqueue_fd, const struct kevent* changes, int change_count, struct kevent* events,
           int event_room, const timespec* timeout) noexcept;
}

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_USER (-10)

#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_RECEIPT 0x0040
#define EV_ERROR 0x4000
#define EV_EOF 0x8000

#define NOTE_TRIGGER 0x01000000
