// The descriptors of this process, on Windows: its sockets. See support/peer.hpp.
#include "support/peer.hpp"

#include <winsock2.h>

namespace sluice::test {

std::vector<int> open_descriptors() {
    std::vector<int> descriptors;
    // Handles are multiples of 4, and low numbers are given away first: behind a long gap are no more.
    constexpr int step = 4;
    constexpr int longest_gap = 256;
    int gap = 0;
    for (int number = step; gap < longest_gap; number += step) {
        DWORD flags = 0;
        const auto value = static_cast<std::intptr_t>(number);
        if (::GetHandleInformation(reinterpret_cast<HANDLE>(value), &flags) == 0) {
            ++gap;
            continue;
        }
        gap = 0;
        int type = 0;
        int length = sizeof type;
        if (::getsockopt(static_cast<SOCKET>(value), SOL_SOCKET, SO_TYPE,
                         reinterpret_cast<char*>(&type), &length) == 0) {
            descriptors.push_back(number);
        }
    }
    return descriptors;
}

}  // namespace sluice::test
