// Whom Windows trusts, as the library reads it.
#include <sluice/detail/sys_roots.hpp>

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::test {
namespace {

TEST(WindowsRoots, are_those_of_the_store_as_certificates) {
    // Wine fills the store with what the machine has in /etc/ssl/certs.
    const std::vector<std::string> roots = detail::sys::trusted_roots();
    ASSERT_FALSE(roots.empty());
    constexpr char sequence = 0x30;
    for (const std::string& root : roots) {
        EXPECT_EQ(root.front(), sequence) << "a certificate begins so (X.690)";
    }
}

}  // namespace
}  // namespace sluice::test
