// Prepares the machine: see machine.hpp. Everything is done by system calls, so that no tool has to be installed.
#include "machine.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace bench {

namespace {

constexpr std::size_t wanted_descriptors = 256UL * 1024;

bool write_file(const char* path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    file.flush();
    return file.good();
}

std::string first_line(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::string cpu_model() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const auto colon = line.find(": ");
        if (line.starts_with("model name") && colon != std::string::npos) {
            return line.substr(colon + 2);
        }
    }
    return "unknown";
}

std::vector<int> allowed_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    std::vector<int> cores;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
        if (CPU_ISSET(core, &set)) {
            cores.push_back(core);
        }
    }
    return cores;
}

bool enter_namespace() {
    if (unshare(CLONE_NEWNET) == 0) {
        return true;
    }
    // Without root a user namespace may still give us one. The identity must be mapped, or nothing here can be written.
    const std::string user = std::to_string(geteuid());
    const std::string group = std::to_string(getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
        return false;
    }
    write_file("/proc/self/uid_map", user + " " + user + " 1");
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/gid_map", group + " " + group + " 1");
    return true;
}

bool bring_up_loopback() {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
    bool up = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0;
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP | IFF_RUNNING);
    up = up && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return up;
}

void prepare_network(Machine& machine) {
    machine.own_namespace = enter_namespace();
    if (!machine.own_namespace) {
        machine.labels.emplace_back(
            "No network namespace of our own (not root): the machine's network settings were "
            "measured, too.");
    } else if (!bring_up_loopback()) {
        machine.labels.emplace_back(
            "The loopback device of our namespace could not be brought up.");
    }
    if (machine.own_namespace) {
        // Pacing congestion controls (bbr) run timers, which would be measured in place of the servers.
        write_file("/proc/sys/net/ipv4/tcp_congestion_control", "reno");
        // The accept rate needs many short connections; the default range would run out of ports.
        write_file("/proc/sys/net/ipv4/ip_local_port_range", "1025 65535");
    }
    machine.congestion_control = first_line("/proc/sys/net/ipv4/tcp_congestion_control");
    if (machine.congestion_control != "reno") {
        machine.labels.push_back("TCP congestion control is " + machine.congestion_control +
                                 ", not reno.");
    }
}

void choose_cores(Machine& machine) {
    machine.cores = allowed_cores();
    if (machine.cores.size() < 2) {
        machine.labels.emplace_back(
            "One core only: server and load share it, so rates and latencies mean little.");
        machine.cores.resize(1);
    }
    machine.server_core = machine.cores.front();
    machine.load_core = machine.cores.back();
    pin_to({machine.load_core});
}

void label_other_load(Machine& machine) {
    // The average of the last minute; a build or a second benchmark raises it by one at least.
    constexpr double much_load = 0.5;
    std::ifstream file("/proc/loadavg");
    double load = 0;
    if (file >> load && load > much_load) {
        std::ostringstream text;
        text << "Other programs were busy (load average " << load << " at the start).";
        machine.labels.push_back(text.str());
    }
}

void raise_descriptor_limit(Machine& machine) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < wanted_descriptors) {
        const rlimit more{wanted_descriptors, wanted_descriptors};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0) {
            limit = more;
        }
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    machine.descriptor_limit = limit.rlim_cur;
}

}  // namespace

void pin_to(const std::vector<int>& cores) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int core : cores) {
        CPU_SET(core, &set);
    }
    sched_setaffinity(0, sizeof set, &set);
}

Machine prepare_machine() {
    Machine machine;
    label_other_load(machine);
    machine.cpu_model = cpu_model();
    utsname name{};
    uname(&name);
    machine.kernel = name.release;
    // Before the namespace: in a user namespace the limit can no longer be raised.
    raise_descriptor_limit(machine);
    prepare_network(machine);
    choose_cores(machine);
    return machine;
}

}  // namespace bench
