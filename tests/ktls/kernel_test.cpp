// Whether the kernel below seals TLS records, by plain OpenSSL over sockets of the loopback: the guard that the guest of
// tests/ktls/run.sh is what all tests that run in it take it for.
//
// It must not use the library. Where KTLS_VM is set the kernel has to be able to do TLS; on any other machine that cannot,
// these cases are skipped and say why.
#include "support/patience.hpp"
#include "support/peer.hpp"
#include "support/peer_tls.hpp"
#include "support/tls_link.hpp"
#include "support/tls_pki.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {
namespace {

constexpr std::size_t file_bytes = 1024 * 1024;

using Context = std::unique_ptr<SSL_CTX, SslFree>;
using Session = std::unique_ptr<SSL, SslFree>;

/// Empty when the kernel has TLS. A socket that is not connected is refused with ENOTCONN only after
/// the protocol was found, and loaded if need be.
std::error_code why_the_kernel_has_no_tls() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int result = ::setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls");
    const int error = result == 0 ? 0 : errno;
    ::close(fd);
    return error == ENOTCONN ? std::error_code() : std::error_code(error, std::system_category());
}

/// A line of /proc/net/tls_stat: connections since the machine started.
std::uint64_t kernel_count(const std::string& wanted) {
    std::ifstream file("/proc/net/tls_stat");
    std::string name;
    std::uint64_t value = 0;
    while (file >> name >> value) {
        if (name == wanted) {
            return value;
        }
    }
    ADD_FAILURE() << "/proc/net/tls_stat has no " << wanted;
    return 0;
}

struct Suite {
    const char* test_name;
    int version;
    const char* cipher;
};

void PrintTo(const Suite& suite, std::ostream* out) {
    *out << suite.cipher;
}

/// Those that OpenSSL 3.0 gives to the kernel.
constexpr Suite suites[] = {
    {"tls_1_2_aes_128_gcm", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"tls_1_2_aes_256_gcm", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"tls_1_2_chacha20_poly1305", TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"tls_1_3_aes_128_gcm", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},
    {"tls_1_3_aes_256_gcm", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"},
    {"tls_1_3_chacha20_poly1305", TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},
};

Context make_context(bool server_side, const Suite& suite) {
    Context context(SSL_CTX_new(server_side ? TLS_server_method() : TLS_client_method()));
    SSL_CTX_set_min_proto_version(context.get(), suite.version);
    SSL_CTX_set_max_proto_version(context.get(), suite.version);
    SSL_CTX_set_options(context.get(), SSL_OP_ENABLE_KTLS);
    const int known = suite.version == TLS1_3_VERSION
                          ? SSL_CTX_set_ciphersuites(context.get(), suite.cipher)
                          : SSL_CTX_set_cipher_list(context.get(), suite.cipher);
    EXPECT_EQ(known, 1) << suite.cipher;
    if (server_side) {
        const TlsIdentity& identity = pki().server();
        EXPECT_EQ(
            SSL_CTX_use_certificate_chain_file(context.get(), identity.certificate_file.c_str()),
            1);
        EXPECT_EQ(
            SSL_CTX_use_PrivateKey_file(context.get(), identity.key_file.c_str(), SSL_FILETYPE_PEM),
            1);
    }
    return context;
}

std::string some_bytes(std::size_t count) {
    std::minstd_rand random(1);
    std::string bytes(count, '\0');
    for (char& byte : bytes) {
        byte = static_cast<char>(random() >> 8);
    }
    return bytes;
}

std::string openssl_reason() {
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason != nullptr ? reason : "no reason";
}

/// A client and a server in one thread, on sockets that do not block.
class KernelTls : public testing::TestWithParam<Suite> {
protected:
    void SetUp() override {
        if (const std::error_code reason = why_the_kernel_has_no_tls()) {
            ASSERT_EQ(std::getenv("KTLS_VM"), nullptr)
                << "the guest's kernel cannot do TLS: " << reason.message();
            GTEST_SKIP() << "this kernel cannot do TLS: " << reason.message();
        }
    }

    void connect() {
        auto [client_end, server_end] = connected_peers();
        client_socket_ = std::move(client_end);
        server_socket_ = std::move(server_end);
        client_ = make_session(client_socket_, false);
        server_ = make_session(server_socket_, true);
        bool client_done = false;
        bool server_done = false;
        while (!client_done || !server_done) {
            client_done = finished(*client_, SSL_do_handshake(client_.get()));
            server_done = finished(*server_, SSL_do_handshake(server_.get()));
            ASSERT_FALSE(broken_) << openssl_reason();
            if (!client_done || !server_done) {
                ASSERT_TRUE(wait_for_progress(false)) << "the handshake does not go on";
            }
        }
    }

    /// True once an operation is done; remembers when it can never be.
    bool finished(SSL& ssl, int result) {
        if (result > 0) {
            return true;
        }
        const int reason = SSL_get_error(&ssl, result);
        broken_ = broken_ || (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE);
        return false;
    }

    /// Waits until one of the two has something to read, or the server room to send.
    bool wait_for_progress(bool server_sends) {
        const short server_events = server_sends ? POLLIN | POLLOUT : POLLIN;
        pollfd entries[] = {{client_socket_.fd(), POLLIN, 0},
                            {server_socket_.fd(), server_events, 0}};
        return ::poll(entries, 2, patience_ms()) > 0;
    }

    /// Onto received_, until nothing is left.
    void client_reads() {
        static char room[64 * 1024];
        int count = 0;
        while (finished(*client_, count = SSL_read(client_.get(), room, sizeof room))) {
            received_.append(room, static_cast<std::size_t>(count));
        }
    }

    Session client_;
    Session server_;
    std::string received_;
    bool broken_ = false;

private:
    Session make_session(const Peer& socket, bool server_side) {
        // With the option OpenSSL sends a TLS 1.2 flight in two pieces, and the second would wait for
        // the acknowledgement of the first.
        send_at_once(socket.fd());
        const Context context = make_context(server_side, GetParam());
        Session session(SSL_new(context.get()));
        SSL_set_fd(session.get(), socket.fd());
        if (server_side) {
            SSL_set_accept_state(session.get());
        } else {
            SSL_set_connect_state(session.get());
        }
        return session;
    }

    Peer client_socket_;
    Peer server_socket_;
};

INSTANTIATE_TEST_SUITE_P(Every, KernelTls, testing::ValuesIn(suites),
                         [](const auto& tested) { return std::string(tested.param.test_name); });

TEST_P(KernelTls, the_handshake_hands_the_keys_to_the_kernel) {
    const std::uint64_t sealing_before = kernel_count("TlsTxSw");
    const std::uint64_t opening_before = kernel_count("TlsRxSw");
    ASSERT_NO_FATAL_FAILURE(connect());
    EXPECT_EQ(BIO_get_ktls_send(SSL_get_wbio(client_.get())), 1);
    EXPECT_EQ(BIO_get_ktls_send(SSL_get_wbio(server_.get())), 1);
    // Others may use the kernel's TLS as well.
    EXPECT_GE(kernel_count("TlsTxSw"), sealing_before + 2);
    if (GetParam().version == TLS1_2_VERSION) {
        // With TLS 1.3 only OpenSSL 3.2 and newer lets the kernel open records.
        EXPECT_EQ(BIO_get_ktls_recv(SSL_get_rbio(client_.get())), 1);
        EXPECT_EQ(BIO_get_ktls_recv(SSL_get_rbio(server_.get())), 1);
        EXPECT_GE(kernel_count("TlsRxSw"), opening_before + 2);
    }
}

TEST_P(KernelTls, a_file_sent_by_the_kernel_arrives_as_it_is_and_close_notify_after_it) {
    const std::string content = some_bytes(file_bytes);
    const std::string path = pki().write_file("sent by the kernel", content);
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(file, 0) << path;
    ASSERT_NO_FATAL_FAILURE(connect());
    std::size_t sent = 0;
    while (received_.size() < content.size()) {
        if (sent < content.size()) {
            const ossl_ssize_t count = SSL_sendfile(server_.get(), file, static_cast<off_t>(sent),
                                                    content.size() - sent, 0);
            if (finished(*server_, static_cast<int>(count))) {
                sent += static_cast<std::size_t>(count);
            }
        }
        client_reads();
        ASSERT_FALSE(broken_) << openssl_reason();
        if (received_.size() < content.size()) {
            ASSERT_TRUE(wait_for_progress(sent < content.size()))
                << sent << " bytes were sent and " << received_.size() << " arrived";
        }
    }
    ::close(file);
    // Without EXPECT_EQ: nobody wants to see a mebibyte.
    EXPECT_TRUE(received_ == content);

    EXPECT_EQ(SSL_shutdown(server_.get()), 0);
    ASSERT_TRUE(wait_for_progress(false));
    char more = 0;
    EXPECT_EQ(SSL_get_error(client_.get(), SSL_read(client_.get(), &more, 1)),
              SSL_ERROR_ZERO_RETURN);
}

}  // namespace
}  // namespace sluice::test
