// The certificate stores of Windows in a test's hands. It must not know the library.
#pragma once

#include <string>

namespace sluice::test {

/// A certificate in a store of the user, as long as this lives.
class StoredCertificate {
public:
    /// `der` goes into the store of this name. `only_purpose` is the one that the administrator leaves
    /// it, as an object identifier; empty: every one.
    StoredCertificate(std::wstring store_name, const std::string& der,
                      std::string only_purpose = {});
    StoredCertificate(const StoredCertificate&) = delete;
    StoredCertificate& operator=(const StoredCertificate&) = delete;
    ~StoredCertificate();

private:
    std::wstring store_name_;
    std::string der_;
};

}  // namespace sluice::test
