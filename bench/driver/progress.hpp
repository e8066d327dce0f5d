// One line on stderr that says what is being measured and how long the rest will take. On a terminal it is rewritten in
// place; elsewhere a line is printed for each tenth of the way. Knows no measurements.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>

namespace bench {

class Progress {
public:
    Progress();

    /// Adds to the amount of work ahead; a unit is one server measured once.
    void expect(std::size_t units) { expected_ += units; }
    void begin(std::string_view what);
    /// Work that is done, or that will not be.
    void done(std::size_t units = 1);
    /// Removes the line, so that other output can follow.
    void clear() const;

private:
    bool terminal_;
    std::size_t expected_ = 0;
    std::size_t done_ = 0;
    std::size_t tenth_ = 0;
    std::chrono::steady_clock::time_point start_;
};

}  // namespace bench
