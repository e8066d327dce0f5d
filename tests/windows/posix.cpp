// POSIX's socket calls over Winsock. See posix/posix_calls.hpp; nothing of the library is used here.
#include "posix/posix_calls.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <map>
#include <mutex>
#include <vector>

#include <direct.h>
#include <fcntl.h>
#include <io.h>
#include <sys/stat.h>
// It includes <windows.h>.
#include <winsock2.h>
#include <winternl.h>
#include <ws2tcpip.h>
// Behind those.
#include <iphlpapi.h>

namespace sluice_posix {

namespace {

SOCKET native(int fd) {
    return static_cast<SOCKET>(static_cast<std::intptr_t>(fd));
}

HANDLE handle_of(int fd) {
    return reinterpret_cast<HANDLE>(static_cast<std::intptr_t>(fd));
}

void start() {
    static const int started = [] {
        WSADATA data;
        return ::WSAStartup(MAKEWORD(2, 2), &data);
    }();
    static_cast<void>(started);
}

int errno_of(int error) {
    static const std::map<int, int> numbers = {
        {WSAEINTR, EINTR},
        {WSAEBADF, EBADF},
        {WSAEACCES, EACCES},
        {WSAEFAULT, EFAULT},
        {WSAEINVAL, EINVAL},
        {WSAEMFILE, EMFILE},
        // Tests ask for one of the two.
        {WSAEWOULDBLOCK, EAGAIN},
        {WSAENOTSOCK, ENOTSOCK},
        {WSAEDESTADDRREQ, EDESTADDRREQ},
        {WSAEMSGSIZE, EMSGSIZE},
        {WSAENOPROTOOPT, ENOPROTOOPT},
        {WSAEOPNOTSUPP, EOPNOTSUPP},
        {WSAEAFNOSUPPORT, EAFNOSUPPORT},
        {WSAEADDRINUSE, EADDRINUSE},
        {WSAEADDRNOTAVAIL, EADDRNOTAVAIL},
        {WSAECONNABORTED, ECONNABORTED},
        {WSAECONNRESET, ECONNRESET},
        {WSAENOBUFS, ENOBUFS},
        {WSAEISCONN, EISCONN},
        {WSAENOTCONN, ENOTCONN},
        {WSAESHUTDOWN, EPIPE},
        {WSAETIMEDOUT, ETIMEDOUT},
        {WSAECONNREFUSED, ECONNREFUSED},
    };
    const auto found = numbers.find(error);
    return found == numbers.end() ? EIO : found->second;
}

template <class Count>
Count noted(Count result) {
    if (result < 0) {
        errno = errno_of(::WSAGetLastError());
    }
    return result;
}

int adopted(SOCKET made, int flags) {
    if (made == INVALID_SOCKET) {
        return noted(-1);
    }
    u_long nonblocking = (flags & open_nonblocking) != 0 ? 1 : 0;
    ::ioctlsocket(made, static_cast<long>(FIONBIO), &nonblocking);
    ::SetHandleInformation(reinterpret_cast<HANDLE>(made), HANDLE_FLAG_INHERIT,
                           (flags & open_cloexec) != 0 ? 0 : HANDLE_FLAG_INHERIT);
    return static_cast<int>(made);
}

const ::sockaddr* native(const sockaddr* address) {
    return reinterpret_cast<const ::sockaddr*>(address);
}

::sockaddr* native(sockaddr* address) {
    return reinterpret_cast<::sockaddr*>(address);
}

/// Winsock's lengths have a sign.
int* native(socklen_t* length) {
    return reinterpret_cast<int*>(length);
}

int clamped(std::size_t count) {
    return static_cast<int>(std::min(count, static_cast<std::size_t>(INT_MAX)));
}

/// Windows has no SO_RCVLOWAT: what a socket has been told, for poll().
struct LowWaterMarks {
    std::mutex mutex;
    std::map<int, int> bytes;
};

LowWaterMarks& low_water_marks() {
    static LowWaterMarks marks;
    return marks;
}

int low_water_mark(int fd) {
    LowWaterMarks& marks = low_water_marks();
    const std::lock_guard lock(marks.mutex);
    const auto found = marks.bytes.find(fd);
    return found == marks.bytes.end() ? 1 : found->second;
}

int waiting_in(int fd) {
    u_long waiting = 0;
    return ::ioctlsocket(native(fd), static_cast<long>(FIONREAD), &waiting) == 0
               ? static_cast<int>(std::min<u_long>(waiting, INT_MAX))
               : -1;
}

/// Whether the peer has sent a FIN, as the system's table of connections tells. Others tell of it when
/// the bytes before it have been read.
bool peer_has_ended(int fd) {
    ::sockaddr_in ours{};
    ::sockaddr_in theirs{};
    int ours_size = sizeof ours;
    int theirs_size = sizeof theirs;
    auto* const near_address = reinterpret_cast<::sockaddr*>(&ours);
    auto* const far_address = reinterpret_cast<::sockaddr*>(&theirs);
    if (::getsockname(native(fd), near_address, &ours_size) != 0 ||
        ::getpeername(native(fd), far_address, &theirs_size) != 0) {
        return true;
    }
    std::vector<unsigned char> table;
    ULONG size = 64 * 1024;
    DWORD answer = ERROR_INSUFFICIENT_BUFFER;
    while (answer == ERROR_INSUFFICIENT_BUFFER) {
        table.resize(size);
        answer = ::GetTcpTable(reinterpret_cast<MIB_TCPTABLE*>(table.data()), &size, FALSE);
    }
    const auto& rows = *reinterpret_cast<const MIB_TCPTABLE*>(table.data());
    const auto* const end = rows.table + (answer == NO_ERROR ? rows.dwNumEntries : 0);
    const auto* const row = std::find_if(rows.table, end, [&](const MIB_TCPROW& each) {
        return each.dwLocalPort == ours.sin_port && each.dwRemotePort == theirs.sin_port;
    });
    return row != end &&
           (row->dwState == MIB_TCP_STATE_CLOSE_WAIT || row->dwState == MIB_TCP_STATE_LAST_ACK ||
            row->dwState == MIB_TCP_STATE_CLOSING || row->dwState == MIB_TCP_STATE_TIME_WAIT);
}

struct DriverPoll {
    LARGE_INTEGER timeout;
    ULONG count;
    ULONG exclusive;
    HANDLE handle;
    ULONG events;
    NTSTATUS status;
};
constexpr ULONG driver_poll_code = 0x00012024;
constexpr ULONG driver_receive = 0x0001 | 0x0080;
constexpr ULONG driver_send = 0x0004;
constexpr ULONG driver_disconnect = 0x0008;
constexpr ULONG driver_abort = 0x0010 | 0x0020 | 0x0100;

HANDLE open_driver() {
    wchar_t path[] = L"\\Device\\Afd\\Tests";
    UNICODE_STRING name{sizeof path - sizeof *path, sizeof path, path};
    OBJECT_ATTRIBUTES attributes{};
    attributes.Length = sizeof attributes;
    attributes.ObjectName = &name;
    IO_STATUS_BLOCK outcome{};
    HANDLE driver = nullptr;
    ::NtCreateFile(&driver, SYNCHRONIZE, &attributes, &outcome, nullptr, 0,
                   FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0, nullptr, 0);
    return driver;
}

/// The events of one socket that came within the time; 0 if none did.
ULONG driver_events(SOCKET socket, ULONG events, int timeout_ms) {
    static const HANDLE driver = open_driver();
    const HANDLE done = ::CreateEventW(nullptr, TRUE, FALSE, nullptr);
    DriverPoll poll{};
    // Relative, in units of 100 ns; a negative one of poll(2) is no limit.
    poll.timeout.QuadPart = timeout_ms < 0 ? LLONG_MAX : -10000LL * timeout_ms;
    poll.count = 1;
    poll.handle = reinterpret_cast<HANDLE>(socket);
    poll.events = events;
    IO_STATUS_BLOCK outcome{};
    const NTSTATUS status =
        ::NtDeviceIoControlFile(driver, done, nullptr, nullptr, &outcome, driver_poll_code, &poll,
                                sizeof poll, &poll, sizeof poll);
    if (status == STATUS_PENDING) {
        ::WaitForSingleObject(done, INFINITE);
    }
    ::CloseHandle(done);
    return status >= 0 && outcome.Status >= 0 && outcome.Status != STATUS_TIMEOUT && poll.count != 0
               ? poll.events
               : 0;
}

short poll_one(const pollfd& entry, int timeout_ms) {
    const ULONG wanted = ((entry.events & poll_in) != 0 ? driver_receive | driver_disconnect : 0) |
                         ((entry.events & poll_out) != 0 ? driver_send : 0) |
                         ((entry.events & poll_peer_hang_up) != 0 ? driver_disconnect : 0) |
                         driver_abort;
    const ULONG events = driver_events(native(entry.fd), wanted, timeout_ms);
    short found = 0;
    if ((events & driver_abort) != 0) {
        return poll_error | poll_hang_up;
    }
    if ((events & (driver_receive | driver_disconnect)) != 0) {
        found |= poll_in;
    }
    if ((events & driver_send) != 0) {
        found |= poll_out;
    }
    if ((events & driver_disconnect) != 0) {
        found |= poll_peer_hang_up;
    }
    return static_cast<short>(found & (entry.events | poll_error | poll_hang_up));
}

}  // namespace

// ---- sockets ----

int socket(int family, int type, int protocol) {
    start();
    constexpr int flags = open_nonblocking | open_cloexec;
    return adopted(::WSASocketW(family, type & ~flags, protocol, nullptr, 0, WSA_FLAG_OVERLAPPED),
                   type & flags);
}

int socketpair(int, int, int, int*) {
    errno = EAFNOSUPPORT;
    return -1;
}

int bind(int fd, const sockaddr* address, socklen_t length) {
    return noted(::bind(native(fd), native(address), static_cast<int>(length)));
}

int listen(int fd, int backlog) {
    return noted(::listen(native(fd), backlog));
}

int connect(int fd, const sockaddr* address, socklen_t length) {
    const int result = noted(::connect(native(fd), native(address), static_cast<int>(length)));
    if (result < 0 && errno == EAGAIN) {
        errno = EINPROGRESS;
    }
    return result;
}

int accept(int fd, sockaddr* address, socklen_t* length) {
    return adopted(::accept(native(fd), native(address), native(length)), 0);
}

int getsockname(int fd, sockaddr* address, socklen_t* length) {
    return noted(::getsockname(native(fd), native(address), native(length)));
}

int getpeername(int fd, sockaddr* address, socklen_t* length) {
    return noted(::getpeername(native(fd), native(address), native(length)));
}

int setsockopt(int fd, int level, int name, const void* value, socklen_t length) {
    constexpr int receive_low_water_mark = 0x1004;
    if (level == SOL_SOCKET && name == receive_low_water_mark) {
        LowWaterMarks& marks = low_water_marks();
        const std::lock_guard lock(marks.mutex);
        marks.bytes[fd] = *static_cast<const int*>(value);
        return 0;
    }
    return noted(::setsockopt(native(fd), level, name, static_cast<const char*>(value),
                              static_cast<int>(length)));
}

int getsockopt(int fd, int level, int name, void* value, socklen_t* length) {
    const int result =
        noted(::getsockopt(native(fd), level, name, static_cast<char*>(value), native(length)));
    if (result == 0 && level == SOL_SOCKET && name == SO_ERROR) {
        int& error = *static_cast<int*>(value);
        error = error == 0 ? 0 : errno_of(error);
    }
    return result;
}

int shutdown(int fd, int how) {
    return noted(::shutdown(native(fd), how));
}

ssize_t send(int fd, const void* bytes, std::size_t count, int flags) {
    return noted(::send(native(fd), static_cast<const char*>(bytes), clamped(count), flags));
}

ssize_t recv(int fd, void* into, std::size_t count, int flags) {
    return noted(::recv(native(fd), static_cast<char*>(into), clamped(count), flags));
}

ssize_t sendto(int fd, const void* bytes, std::size_t count, int flags, const sockaddr* address,
               socklen_t length) {
    return noted(::sendto(native(fd), static_cast<const char*>(bytes), clamped(count), flags,
                          native(address), static_cast<int>(length)));
}

ssize_t recvfrom(int fd, void* into, std::size_t count, int flags, sockaddr* address,
                 socklen_t* length) {
    return noted(::recvfrom(native(fd), static_cast<char*>(into), clamped(count), flags,
                            native(address), native(length)));
}

unsigned if_nametoindex(const char*) {
    return 1;  // The loopback, the only interface that tests name.
}

int inet_pton(int family, const char* text, void* into) {
    return ::inet_pton(family, text, into);
}

const char* inet_ntop(int family, const void* address, char* into, socklen_t length) {
    return ::inet_ntop(family, address, into, length);
}

// ---- waiting and flags ----

int poll(pollfd* entries, nfds_t count, int timeout_ms) {
    if (count != 1) {
        errno = ENOSYS;
        return -1;
    }
    const int mark = low_water_mark(entries->fd);
    const bool for_end = (entries->events & poll_peer_hang_up) != 0;
    if (mark <= 1 && !for_end) {
        entries->revents = poll_one(*entries, timeout_ms);
        return entries->revents != 0 ? 1 : 0;
    }
    const ULONGLONG deadline = ::GetTickCount64() + static_cast<ULONGLONG>(timeout_ms);
    for (;;) {
        entries->revents = poll_one(*entries, 0);
        if (for_end && peer_has_ended(entries->fd)) {
            entries->revents |= poll_peer_hang_up;
        }
        const bool enough =
            mark <= 1 || waiting_in(entries->fd) >= mark || (entries->revents & poll_error) != 0;
        if (enough && entries->revents != 0) {
            return 1;
        }
        if (::GetTickCount64() >= deadline) {
            return 0;
        }
        ::Sleep(1);
    }
}

int fcntl(int fd, Control command, int flags) {
    DWORD information = 0;
    if (::GetHandleInformation(handle_of(fd), &information) == 0) {
        errno = EBADF;
        return -1;
    }
    switch (command) {
        case Control::get_flags:
            return 0;
        case Control::set_flags: {
            u_long nonblocking = (flags & open_nonblocking) != 0 ? 1 : 0;
            return noted(::ioctlsocket(native(fd), static_cast<long>(FIONBIO), &nonblocking));
        }
        case Control::set_descriptor_flags:
            return ::SetHandleInformation(handle_of(fd), HANDLE_FLAG_INHERIT,
                                          flags != 0 ? 0 : HANDLE_FLAG_INHERIT) != 0
                       ? 0
                       : -1;
        case Control::duplicate: {
            const HANDLE self = ::GetCurrentProcess();
            HANDLE copy = INVALID_HANDLE_VALUE;
            ::DuplicateHandle(self, handle_of(fd), self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS);
            return static_cast<int>(reinterpret_cast<std::intptr_t>(copy));
        }
        case Control::get_descriptor_flags:
            break;
    }
    return (information & HANDLE_FLAG_INHERIT) != 0 ? 0 : 1;
}

int ioctl(int fd, unsigned long, int* value) {
    *value = waiting_in(fd);
    return noted(*value < 0 ? -1 : 0);
}

int pipe(int* ends) {
    ::sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    socklen_t length = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    const bool made = bind(listener, any, length) == 0 && listen(listener, 1) == 0 &&
                      getsockname(listener, any, &length) == 0 &&
                      connect(ends[1], any, length) == 0;
    ends[0] = made ? accept(listener, nullptr, nullptr) : -1;
    ::closesocket(native(listener));
    return ends[0] < 0 ? -1 : 0;
}

// ---- the C library ----

int setenv(const char* name, const char* value, int) {
    return ::_putenv_s(name, value);
}

int unsetenv(const char* name) {
    return ::_putenv_s(name, "");
}

// ---- files ----

char* mkdtemp(char* name) {
    return ::_mktemp(name) != nullptr && ::_mkdir(name) == 0 ? name : nullptr;
}

int mkostemp(char* name, int) {
    return ::_mktemp(name) != nullptr
               ? ::_open(name, _O_RDWR | _O_CREAT | _O_EXCL | _O_BINARY | _O_NOINHERIT,
                         _S_IREAD | _S_IWRITE)
               : -1;
}

int getrlimit(int, rlimit* limit) {
    limit->rlim_cur = limit->rlim_max = UINT64_MAX;
    return 0;
}

int setrlimit(int, const rlimit*) {
    errno = ENOSYS;
    return -1;
}

}  // namespace sluice_posix

// ---- what the C library has for its own descriptors ----

// The linker sends the tests' close(), read() and write() here (--wrap): of a socket they mean what they
// mean on POSIX.
extern "C" {

int __wrap_close(int fd);
int __wrap_read(int fd, void* into, unsigned count);
int __wrap_write(int fd, const void* bytes, unsigned count);

static bool is_socket(int fd) {
    int type = 0;
    int length = sizeof type;
    return ::getsockopt(sluice_posix::native(fd), SOL_SOCKET, SO_TYPE,
                        reinterpret_cast<char*>(&type), &length) == 0;
}

int __wrap_close(int fd) {
    return is_socket(fd) ? ::closesocket(sluice_posix::native(fd)) : ::_close(fd);
}

int __wrap_read(int fd, void* into, unsigned count) {
    return is_socket(fd) ? static_cast<int>(sluice_posix::recv(fd, into, count, 0))
                         : ::_read(fd, into, count);
}

int __wrap_write(int fd, const void* bytes, unsigned count) {
    return is_socket(fd) ? static_cast<int>(sluice_posix::send(fd, bytes, count, 0))
                         : ::_write(fd, bytes, count);
}
}
