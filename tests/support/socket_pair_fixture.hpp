// SocketPairTest: two connected sockets that stay the test's own, for the socket calls.
#pragma once

#include "support/loop_fixture.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace sluice::test {

class SocketPairTest : public BackendTest {
protected:
    SocketPairTest() {
        auto [near_end, far_end] = connected_peers();
        near_ = std::move(near_end);
        far_ = std::move(far_end);
    }
    void release_resources() override {
        near_.close();
        far_.close();
    }
    static std::string text_of(const std::vector<std::byte>& bytes) {
        return std::string(as_text(bytes));
    }

    Peer near_;
    Peer far_;
};

}  // namespace sluice::test
