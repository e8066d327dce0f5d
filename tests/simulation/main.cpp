// One program, two uses: with options of the simulation it runs seeds and prints what it finds
// (tests/simulate.sh); without them it is a GoogleTest program like every other.
#include "simulation/program.hpp"
#include "simulation/runner.hpp"

#include <cstdlib>
#include <cstring>
#include <string_view>

#include <gmock/gmock.h>

namespace {

constexpr const char* usage =
    "usage: simulate --first-seed N --seeds M [--backend B] [--transport tcp] [--verbose] "
    "[--apart] [--without OPERATION]...\n"
    "  --backend  epoll, or io_uring where the build has it; without it every second seed has "
    "that\n"
    "  --verbose  prints the program and a line per system call and callback\n"
    "  --apart    runs each seed in a process of its own, so that a crash is shrunk too\n"
    "  --without  leaves an operation (write_releasing, abort ... or late_handles) out of all "
    "programs\n";

[[noreturn]] void refuse(std::string_view what) {
    std::fprintf(stderr, "simulate: %.*s\n%s", static_cast<int>(what.size()), what.data(), usage);
    std::exit(2);
}

std::uint64_t number(const char* text) {
    char* end = nullptr;
    const std::uint64_t value = std::strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        refuse(std::string("not a number: ") + text);
    }
    return value;
}

std::uint32_t left_out_by(std::string_view name) {
    if (name == "late_handles") {
        return sluice::test::leave_out_late_handles;
    }
    const auto op = sluice::test::op_named(name);
    if (!op) {
        refuse(std::string("no operation: ").append(name));
    }
    return 1U << static_cast<unsigned>(*op);
}

bool is_io_uring(std::string_view backend) {
    if (backend == "io_uring" && sluice::test::has_io_uring) {
        return true;
    }
    if (backend != "epoll") {
        refuse(std::string("this build has no backend ").append(backend));
    }
    return false;
}

int simulate(int argc, char** argv) {
    sluice::test::RunRequest request;
    request.progress = true;
    for (int index = 1; index < argc; ++index) {
        const std::string_view option = argv[index];
        if (option == "--verbose") {
            request.verbose = true;
            continue;
        }
        if (option == "--apart") {
            request.apart = true;
            continue;
        }
        if (index + 1 == argc) {
            refuse(std::string(option) + " is unknown or wants a value");
        }
        const char* value = argv[++index];
        if (option == "--first-seed") {
            request.first_seed = number(value);
        } else if (option == "--seeds") {
            request.seeds = number(value);
        } else if (option == "--without") {
            request.left_out |= left_out_by(value);
        } else if (option == "--backend") {
            request.over_io_uring = is_io_uring(value);
        } else if (option == "--transport" && std::string_view(value) != "tcp") {
            refuse("this build has one transport: tcp");
        } else if (option != "--transport") {
            refuse(std::string(option) + " is unknown");
        }
    }
    return sluice::test::run_seeds(request, stdout).empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    for (int index = 1; index < argc; ++index) {
        if (std::strcmp(argv[index], "--first-seed") == 0 ||
            std::strcmp(argv[index], "--seeds") == 0) {
            return simulate(argc, argv);
        }
    }
    ::testing::InitGoogleMock(&argc, argv);
    return RUN_ALL_TESTS();
}
