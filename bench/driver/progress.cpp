// The progress line: see progress.hpp.
#include "progress.hpp"

#include <cstdio>

#include <fmt/core.h>
#include <unistd.h>

namespace bench {

namespace {

constexpr std::string_view erase_line = "\r\x1b[K";

}  // namespace

Progress::Progress()
    : terminal_(isatty(STDERR_FILENO) != 0), start_(std::chrono::steady_clock::now()) {}

void Progress::begin(std::string_view what) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start_;
    const double rest_seconds =
        done_ == 0
            ? 0
            : spent.count() * static_cast<double>(expected_ - done_) / static_cast<double>(done_);
    const auto seconds = static_cast<unsigned>(rest_seconds);
    const auto line = fmt::format("[{}/{}, {}:{:02} to go] {}", done_ + 1, expected_, seconds / 60,
                                  seconds % 60, what);
    if (terminal_) {
        // 79 columns: a wrapped line could not be rewritten.
        fmt::print(stderr, "{}{:.79}", erase_line, line);
    } else if (done_ * 10 / expected_ >= tenth_) {
        fmt::print(stderr, "{}\n", line);
        tenth_ = done_ * 10 / expected_ + 1;
    }
    std::fflush(stderr);
}

void Progress::done(std::size_t units) {
    done_ += units;
}

void Progress::clear() const {
    if (terminal_) {
        fmt::print(stderr, "{}", erase_line);
        std::fflush(stderr);
    }
}

}  // namespace bench
