// The open descriptors of this process, as Linux and macOS tell them. See peer.hpp.
#include "support/peer.hpp"

#include <algorithm>
#include <filesystem>

namespace sluice::test {

std::vector<int> open_descriptors() {
    std::vector<int> descriptors;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/fd")) {
        descriptors.push_back(std::stoi(entry.path().filename().string()));
    }
    std::sort(descriptors.begin(), descriptors.end());
    // The directory itself was open during the walk.
    std::erase_if(descriptors, [](int fd) { return !descriptor_is_open(fd); });
    return descriptors;
}

}  // namespace sluice::test
