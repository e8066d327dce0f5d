// What the tests' own sockets need of POSIX, over Winsock: so the suites are the same files on Windows as
// elsewhere, and their peers still know nothing of the library.
//
// A namespace of its own, since Winsock has the same names for other types; posix_names.hpp opens it.
// Descriptors are handles of sockets. Errors are in errno, with POSIX's numbers.
#pragma once

#include <cstddef>
#include <cstdint>

#include <sys/types.h>

namespace sluice_posix {

using socklen_t = std::uint32_t;
using sa_family_t = std::uint16_t;
using rlim_t = std::uint64_t;
using nfds_t = unsigned long;

struct sockaddr {
    sa_family_t sa_family;
    char sa_data[14];
};

struct in_addr {
    std::uint32_t s_addr;
};
struct sockaddr_in {
    sa_family_t sin_family;
    std::uint16_t sin_port;
    in_addr sin_addr;
    char sin_zero[8];
};

struct in6_addr {
    std::uint8_t s6_addr[16];
};
struct sockaddr_in6 {
    sa_family_t sin6_family;
    std::uint16_t sin6_port;
    std::uint32_t sin6_flowinfo;
    in6_addr sin6_addr;
    std::uint32_t sin6_scope_id;
};

struct sockaddr_un {
    sa_family_t sun_family;
    char sun_path[108];
};

struct sockaddr_storage {
    sa_family_t ss_family;
    alignas(8) char rest[120];
};

struct linger {
    std::uint16_t l_onoff;
    std::uint16_t l_linger;
};

struct pollfd {
    int fd;
    short events;
    short revents;
};

struct rlimit {
    rlim_t rlim_cur;
    rlim_t rlim_max;
};

// Flags of ours: Winsock has no such.
inline constexpr int open_nonblocking = 0x0100;
inline constexpr int open_cloexec = 0x0200;
inline constexpr short poll_in = 0x01;
inline constexpr short poll_out = 0x04;
inline constexpr short poll_error = 0x08;
inline constexpr short poll_hang_up = 0x10;
inline constexpr short poll_peer_hang_up = 0x20;
enum class Control : std::uint8_t {
    get_flags,
    set_flags,
    get_descriptor_flags,
    set_descriptor_flags,
    duplicate
};

int socket(int family, int type, int protocol);
int socketpair(int family, int type, int protocol, int* ends);
int bind(int fd, const sockaddr* address, socklen_t length);
int listen(int fd, int backlog);
int connect(int fd, const sockaddr* address, socklen_t length);
int accept(int fd, sockaddr* address, socklen_t* length);
int getsockname(int fd, sockaddr* address, socklen_t* length);
int getpeername(int fd, sockaddr* address, socklen_t* length);
int setsockopt(int fd, int level, int name, const void* value, socklen_t length);
int getsockopt(int fd, int level, int name, void* value, socklen_t* length);
int shutdown(int fd, int how);
ssize_t send(int fd, const void* bytes, std::size_t count, int flags);
ssize_t recv(int fd, void* into, std::size_t count, int flags);
ssize_t sendto(int fd, const void* bytes, std::size_t count, int flags, const sockaddr* address,
               socklen_t length);
ssize_t recvfrom(int fd, void* into, std::size_t count, int flags, sockaddr* address,
                 socklen_t* length);
unsigned if_nametoindex(const char* name);
int inet_pton(int family, const char* text, void* into);
const char* inet_ntop(int family, const void* address, char* into, socklen_t length);

int poll(pollfd* entries, nfds_t count, int timeout_ms);
int fcntl(int fd, Control command, int flags = 0);
int ioctl(int fd, unsigned long request, int* value);
/// The bytes that wait in `fd`, the only request of ioctl().
inline constexpr unsigned long bytes_waiting = 1;
/// Two ends of a connection, since no other kind of pipe can be waited for.
int pipe(int* ends);

int setenv(const char* name, const char* value, int overwrite);
int unsetenv(const char* name);
char* mkdtemp(char* name);
int mkostemp(char* name, int flags);

// A process has no limit of that kind.
int getrlimit(int resource, rlimit* limit);
int setrlimit(int resource, const rlimit* limit);

}  // namespace sluice_posix
