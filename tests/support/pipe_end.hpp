// PipeEnd: the test's end of a pipe, FIFO or terminal, as a bare non-blocking descriptor.
//
// It knows the library as little as Peer does, which is the same for sockets.
#pragma once

#include "support/raw_descriptors.hpp"
#include "support/system.hpp"

#include <string>
#include <string_view>
#include <utility>

namespace sluice::test {

/// Owns a descriptor. Failures of the system, apart from those it tells of, throw std::system_error.
class PipeEnd {
public:
    PipeEnd() noexcept = default;
    /// Takes the descriptor over and makes it non-blocking.
    explicit PipeEnd(int fd);
    PipeEnd(PipeEnd&& other) noexcept;
    PipeEnd& operator=(PipeEnd&& other) noexcept;
    ~PipeEnd() { close(); }

    [[nodiscard]] int fd() const noexcept { return fd_; }
    /// Writes what the kernel takes at once; the count.
    std::size_t write_some(std::string_view bytes);
    /// Writes everything; throws std::logic_error if the kernel does not take it at once.
    void write(std::string_view bytes);
    /// Reads what is there into received().
    void read_available();
    /// Reads at most this much.
    void read_at_most(std::size_t byte_count);
    [[nodiscard]] const std::string& received() const noexcept { return received_; }
    /// The other end is closed; a terminal says EIO then.
    [[nodiscard]] bool saw_end() const noexcept { return saw_end_; }
    void close() noexcept;

private:
    int fd_ = -1;
    std::string received_;
    bool saw_end_ = false;
};

/// Both ends of a terminal, raw: {master, slave}, blocking and close-on-exec.
std::pair<int, int> make_terminal();
[[nodiscard]] bool is_nonblocking(int fd);

}  // namespace sluice::test
