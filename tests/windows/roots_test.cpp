// Whom Windows trusts, as the library reads it.
#include <sluice/detail/sys_roots.hpp>

#include "support/tls_certificates.hpp"
#include "windows/certificate_store.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::test {
namespace {

constexpr const char* to_name_servers = "1.3.6.1.5.5.7.3.1";
constexpr const char* to_name_clients = "1.3.6.1.5.5.7.3.2";

std::string der_of(X509& certificate) {
    std::string der(static_cast<std::size_t>(i2d_X509(&certificate, nullptr)), '\0');
    auto* into = reinterpret_cast<unsigned char*>(der.data());
    i2d_X509(&certificate, &into);
    return der;
}

class WindowsRoots : public testing::Test {
protected:
    [[nodiscard]] bool has_ours() const {
        const std::vector<std::string> roots = detail::sys::trusted_roots();
        return std::find(roots.begin(), roots.end(), ours_) != roots.end();
    }

    const std::string ours_ =
        der_of(*make_authority("A Root of a Test", TlsKey::p256, nullptr).certificate);
};

TEST_F(WindowsRoots, are_the_certificates_of_the_store) {
    EXPECT_FALSE(has_ours());
    {
        const StoredCertificate stored(L"ROOT", ours_);
        EXPECT_TRUE(has_ours());
    }
    EXPECT_FALSE(has_ours());
}

TEST_F(WindowsRoots, may_have_the_purpose_of_naming_servers) {
    const StoredCertificate stored(L"ROOT", ours_, to_name_servers);
    EXPECT_TRUE(has_ours());
}

TEST_F(WindowsRoots, leave_out_who_may_vouch_for_others_only) {
    const StoredCertificate stored(L"ROOT", ours_, to_name_clients);
    EXPECT_FALSE(has_ours());
}

TEST_F(WindowsRoots, leave_out_who_is_no_longer_trusted) {
    const StoredCertificate stored(L"ROOT", ours_);
    const StoredCertificate other(
        L"Disallowed",
        der_of(*make_authority("Another Root of a Test", TlsKey::p256, nullptr).certificate));
    EXPECT_TRUE(has_ours()) << "it is another that is not trusted";
    const StoredCertificate disallowed(L"Disallowed", ours_);
    EXPECT_FALSE(has_ours());
}

}  // namespace
}  // namespace sluice::test
