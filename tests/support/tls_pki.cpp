// See tls_pki.hpp: which certificates there are, and where their files are. How they are made is
// tls_certificates.
#include "support/tls_pki.hpp"

#include "support/tls_certificates.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace sluice::test {
namespace {

std::vector<std::string> usual_names() {
    return {std::begin(TlsPki::server_names), std::end(TlsPki::server_names)};
}

}  // namespace

struct TlsPki::Authorities {
    Authority root = make_authority("Sluice Test Root", TlsKey::p256, nullptr);
    Authority intermediate = make_authority("Sluice Test Intermediate", TlsKey::p256, &root);
    Authority unknown = make_authority("Unknown Test Root", TlsKey::p256, nullptr);
    std::string root_pem = pem_of(*root.certificate);
    std::string intermediate_pem = pem_of(*intermediate.certificate);
    std::string unknown_pem = pem_of(*unknown.certificate);
    std::string root_file;
    std::string unknown_file;
};

TlsPki::TlsPki() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-pki-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
        throw std::system_error(errno, std::system_category(), "mkdtemp");
    }
    folder_ = std::move(name);
}

TlsPki::~TlsPki() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

std::string TlsPki::write_file(const std::string& name, std::string_view content) {
    const std::lock_guard lock(mutex_);
    std::string path = folder_ + "/" + std::to_string(++files_) + "-" + name;
    std::ofstream file(path, std::ios::binary);
    file << content;
    file.close();
    if (!file) {
        throw std::runtime_error("cannot write " + path);
    }
    return path;
}

TlsPki::Authorities& TlsPki::authorities() {
    if (!authorities_) {
        authorities_ = std::make_unique<Authorities>();
        authorities_->root_file = write_file("root.pem", authorities_->root_pem);
        authorities_->unknown_file = write_file("unknown-root.pem", authorities_->unknown_pem);
    }
    return *authorities_;
}

const std::string& TlsPki::root_file() {
    const std::lock_guard lock(mutex_);
    return authorities().root_file;
}

const std::string& TlsPki::root_pem() {
    const std::lock_guard lock(mutex_);
    return authorities().root_pem;
}

const std::string& TlsPki::unknown_root_file() {
    const std::lock_guard lock(mutex_);
    return authorities().unknown_file;
}

TlsIdentity TlsPki::save(const std::string& name, TlsIdentity identity) {
    identity.certificate_file = write_file(name + ".pem", identity.pem);
    identity.key_file = write_file(name + "-key.pem", identity.key_pem);
    if (identity.root_file.empty()) {
        identity.root_file = write_file(name + "-root.pem", identity.root_pem);
    }
    return identity;
}

TlsIdentity TlsPki::issue(const TlsCertificateSpec& spec) {
    const std::lock_guard lock(mutex_);
    Authorities& known = authorities();
    TlsIdentity identity;
    switch (spec.issuer) {
        case TlsIssuer::intermediate:
            identity = make_end(spec, &known.intermediate);
            identity.pem += known.intermediate_pem;
            identity.root_pem = known.root_pem;
            identity.root_file = known.root_file;
            break;
        case TlsIssuer::root:
            identity = make_end(spec, &known.root);
            identity.root_pem = known.root_pem;
            identity.root_file = known.root_file;
            break;
        case TlsIssuer::unknown:
            identity = make_end(spec, &known.unknown);
            identity.root_pem = known.unknown_pem;
            identity.root_file = known.unknown_file;
            break;
        case TlsIssuer::itself:
            identity = make_end(spec, nullptr);
            identity.root_pem = identity.pem;
            break;
    }
    std::string name = spec.common_name;
    std::ranges::replace(name, ' ', '-');
    return save(name, std::move(identity));
}

TlsIdentity TlsPki::issue_deep(std::size_t depth) {
    const std::lock_guard lock(mutex_);
    std::vector<Authority> chain;
    for (std::size_t i = 1; i < depth; ++i) {
        chain.push_back(make_authority("Sluice Test Level " + std::to_string(i), TlsKey::p256,
                                       chain.empty() ? &authorities().root : &chain.back()));
    }
    TlsIdentity identity = make_end({.common_name = "deep", .names = usual_names()},
                                    chain.empty() ? &authorities().root : &chain.back());
    for (auto level = chain.rbegin(); level != chain.rend(); ++level) {
        identity.pem += pem_of(*level->certificate);
    }
    identity.root_pem = authorities().root_pem;
    identity.root_file = authorities().root_file;
    return save("deep", std::move(identity));
}

const TlsIdentity* TlsPki::find(const std::string& name) {
    const auto found = identities_.find(name);
    return found == identities_.end() ? nullptr : &found->second;
}

const TlsIdentity& TlsPki::put(const std::string& name, TlsIdentity identity) {
    return identities_.emplace(name, std::move(identity)).first->second;
}

const TlsIdentity& TlsPki::remembered(const std::string& name, const TlsCertificateSpec& spec) {
    const std::lock_guard lock(mutex_);
    const TlsIdentity* known = find(name);
    return known != nullptr ? *known : put(name, issue(spec));
}

const TlsIdentity& TlsPki::server() {
    return remembered("server", {.common_name = "server", .names = usual_names()});
}

const TlsIdentity& TlsPki::server_rsa() {
    return remembered("rsa",
                      {.common_name = "rsa", .names = usual_names(), .key = TlsKey::rsa2048});
}

const TlsIdentity& TlsPki::server_ed25519() {
    const std::lock_guard lock(mutex_);
    if (const TlsIdentity* known = find("ed25519")) {
        return *known;
    }
    const Authority root = make_authority("Sluice Test Ed25519", TlsKey::ed25519, nullptr);
    TlsIdentity identity =
        make_end({.common_name = "ed25519", .names = usual_names(), .key = TlsKey::ed25519}, &root);
    identity.root_pem = pem_of(*root.certificate);
    return put("ed25519", save("ed25519", std::move(identity)));
}

const TlsIdentity& TlsPki::other_server() {
    return remembered("other", {.common_name = "other", .names = {"DNS:other.test"}});
}

const TlsIdentity& TlsPki::client() {
    return remembered("client", {.common_name = "client", .usage = "clientAuth"});
}

const TlsIdentity& TlsPki::expired() {
    return remembered("expired", {.common_name = "expired",
                                  .names = usual_names(),
                                  .not_before = std::chrono::hours(-48),
                                  .not_after = std::chrono::hours(-24)});
}

const TlsIdentity& TlsPki::not_yet_valid() {
    return remembered("not-yet-valid", {.common_name = "not yet valid",
                                        .names = usual_names(),
                                        .not_before = std::chrono::hours(24),
                                        .not_after = std::chrono::hours(48)});
}

const TlsIdentity& TlsPki::self_signed() {
    return remembered(
        "self-signed",
        {.common_name = "self-signed", .names = usual_names(), .issuer = TlsIssuer::itself});
}

const TlsIdentity& TlsPki::unknown() {
    return remembered(
        "unknown",
        {.common_name = "unknown", .names = usual_names(), .issuer = TlsIssuer::unknown});
}

const TlsIdentity& TlsPki::unknown_client() {
    return remembered(
        "unknown-client",
        {.common_name = "unknown client", .issuer = TlsIssuer::unknown, .usage = "clientAuth"});
}

const TlsIdentity& TlsPki::common_name_only() {
    return remembered("common-name-only", {.common_name = "example.test"});
}

const TlsIdentity& TlsPki::revoked() {
    return remembered("revoked", {.common_name = "revoked", .names = usual_names()});
}

const TlsIdentity& TlsPki::encrypted_key() {
    const std::lock_guard lock(mutex_);
    if (const TlsIdentity* known = find("encrypted")) {
        return *known;
    }
    TlsIdentity identity = server();
    const KeyPtr key = parse_key(identity.key_pem);
    identity.key_pem = pem_of(*key, password);
    return put("encrypted", save("encrypted", std::move(identity)));
}

const std::string& TlsPki::revocation_list(const std::string& name, std::chrono::hours updated,
                                           std::chrono::hours next_update) {
    const std::lock_guard lock(mutex_);
    const auto known = lists_.find(name);
    if (known != lists_.end()) {
        return known->second;
    }
    const CertificatePtr certificate = parse_certificate(revoked().pem);
    const std::string lists =
        make_list(authorities().root, nullptr, updated, next_update) +
        make_list(authorities().intermediate, certificate.get(), updated, next_update);
    return lists_.emplace(name, write_file(name + ".pem", lists)).first->second;
}

const std::string& TlsPki::revocation_list_file() {
    return revocation_list("revoked", std::chrono::hours(-1), std::chrono::hours(24));
}

const std::string& TlsPki::outdated_revocation_list_file() {
    return revocation_list("outdated", std::chrono::hours(-48), std::chrono::hours(-24));
}

std::string TlsPki::ocsp_response_file(TlsStanding standing) {
    const std::lock_guard lock(mutex_);
    const CertificatePtr certificate = parse_certificate(server().pem);
    return write_file("ocsp.der", make_ocsp(*certificate, authorities().intermediate, standing));
}

TlsPki& pki() {
    static TlsPki instance;
    return instance;
}

}  // namespace sluice::test
