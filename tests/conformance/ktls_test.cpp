// Kernel TLS: when it is on, when it is not and what TlsInfo says then (F1, F4 of reliability.md), and
// what differs from TLS in user space: files, control records, changes of keys.
//
// The same cases run on any machine and in the guest of tests/ktls/run.sh, whose kernel does TLS; there
// the kernel has to take the keys. The conformance suite's columns `ktls` show all the rest.
#include "support/relay_transport.hpp"
#include "support/temp_file.hpp"
#include "support/tls_fixture.hpp"

#include <cstdlib>
#include <optional>
#include <ostream>

#include <gmock/gmock.h>

namespace sluice::test {
namespace {

constexpr std::size_t mebibyte = 1024 * 1024;

/// The guest's kernel does TLS, others perhaps; what a machine cannot is not to be demanded of it.
bool kernel_must() {
    return std::getenv("KTLS_VM") != nullptr;
}

/// Everything a kernel may be asked to do.
struct Combination {
    const char* name;
    bool server_side;
    TlsVersion version;
    const char* cipher;
};

constexpr Combination combinations[] = {
    {"client, 1.3, AES-128", false, TlsVersion::tls1_3, "TLS_AES_128_GCM_SHA256"},
    {"server, 1.3, AES-128", true, TlsVersion::tls1_3, "TLS_AES_128_GCM_SHA256"},
    {"server, 1.3, AES-256", true, TlsVersion::tls1_3, "TLS_AES_256_GCM_SHA384"},
    {"server, 1.3, ChaCha20", true, TlsVersion::tls1_3, "TLS_CHACHA20_POLY1305_SHA256"},
    {"client, 1.2, AES-128", false, TlsVersion::tls1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"server, 1.2, AES-128", true, TlsVersion::tls1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"server, 1.2, AES-256", true, TlsVersion::tls1_2, "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"server, 1.2, ChaCha20", true, TlsVersion::tls1_2, "ECDHE-ECDSA-CHACHA20-POLY1305"},
};

TlsOptions asking(const Combination& which, KernelTls use) {
    TlsOptions options = trusting();
    options.ktls(use).minimum_version(which.version).maximum_version(which.version);
    return which.version == TlsVersion::tls1_3 ? options.ciphersuites(which.cipher)
                                               : options.ciphers(which.cipher);
}

/// Our end, whose kernel is asked to do TLS, and a foreign one.
class Ktls : public TlsTest {
protected:
    void open(const Combination& which, KernelTls use = KernelTls::send,
              SSL_CTX* foreign_context = nullptr) {
        if (which.server_side) {
            server_ = serve(server_with(pki().server(), asking(which, use)));
            peer_ = connect_foreign(port_of(server_), foreign_context);
            ours_ = connections().back();
        } else {
            ForeignServer foreign = connect_to_foreign(nullptr, client_with(asking(which, use)));
            peer_ = std::move(foreign.peer);
            ours_ = foreign.ours;
        }
        settle({&peer_});
    }
    /// Our plain connection, for start_tls.
    void open_plain() {
        Listener listener;
        ours_ = &connect(listener.port(), ConnectOptions());
        ASSERT_TRUE(run_until([&] {
            if (std::optional<Peer> accepted = listener.accept()) {
                peer_ = std::move(*accepted);
            }
            return peer_.is_open();
        }));
    }
    /// What start_tls makes of it, asking for the kernel.
    Ref<Transport> upgrade(const Ref<Transport>& plain) {
        peer_.speak_tls(std::make_unique<PeerTls>(true));
        auto upgrading = loop().create_task(
            loop().start_tls(plain, TlsContext::client(asking(combinations[0], KernelTls::send)),
                             StartTlsOptions().server_hostname("example.test")));
        run_with({&peer_}, [&] { return upgrading.done(); });
        return upgrading.result();
    }
    /// close() on our side, close_notify and all.
    void close() {
        transport().close();
        ASSERT_TRUE(run_with({&peer_}, [&] { return ours_->lost(); }));
        EXPECT_EQ(ours_->reason(), std::error_code());
        EXPECT_TRUE(peer_.tls()->saw_every_end());
        EXPECT_FALSE(peer_.tls()->failed());
        forget();
    }
    void forget() {
        ours_->forget_transport();
        peer_ = Peer();
        if (server_) {
            shut_down(std::exchange(server_, {}));
        }
    }
    template <class Body>
    void for_all(KernelTls use, Body&& body) {
        for (const Combination& which : combinations) {
            SCOPED_TRACE(which.name);
            open(which, use);
            if (HasFatalFailure()) {
                return;
            }
            body(which);
            if (HasFatalFailure()) {
                return;
            }
        }
    }

    /// Lets so many iterations of the loop pass, without a pause.
    static Task<> turn(unsigned times) {
        for (unsigned time = 0; time < times; ++time) {
            co_await sleep(std::chrono::seconds(0));
        }
    }

    void release_resources() override { peer_ = Peer(); }

    Transport& transport() { return ours_->transport(); }
    TlsInfo info() { return transport().get_extra_info(extra::tls); }
    void peer_receives(std::size_t byte_count) {
        ASSERT_TRUE(run_with({&peer_}, [&] { return peer_.received().size() >= byte_count; }));
        ASSERT_EQ(peer_.received().size(), byte_count);
    }
    void exchange(const std::string& text) {
        transport().write(text);
        peer_receives(text.size());
        EXPECT_TRUE(peer_.take_received() == text);
        const std::size_t before = ours_->received().size();
        peer_.send(text);
        ASSERT_TRUE(
            run_with({&peer_}, [&] { return ours_->received().size() >= before + text.size(); }));
        EXPECT_TRUE(ours_->received().substr(before) == text);
    }

    Ref<Server> server_;
    Peer peer_;
    Recorder* ours_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Every, Ktls, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Ktls, F1_data_is_the_same_whoever_seals_and_opens_it) {
    for (const KernelTls use : {KernelTls::send, KernelTls::send_and_receive}) {
        for_all(use, [&](const Combination&) {
            for (const std::size_t size : {1U, 100U, 16'384U, 16'385U, 300'000U}) {
                exchange(pattern(size));
            }
            close();
        });
    }
}

TEST_P(Ktls, F1_the_kernel_seals_where_it_can_and_TlsInfo_says_so) {
    for_all(KernelTls::send, [&](const Combination&) {
        const TlsInfo what = info();
        EXPECT_FALSE(what.ktls_recv());
        if (what.ktls_send()) {
            EXPECT_EQ(what.ktls_reason(), "receiving was not asked for");
        } else {
            EXPECT_FALSE(kernel_must()) << what.ktls_reason();
            EXPECT_THAT(what.ktls_reason(), testing::StartsWith("the kernel "));
        }
        close();
    });
}

TEST_P(Ktls, F1_the_kernel_opens_TLS_1_2_where_it_can) {
    for_all(KernelTls::send_and_receive, [&](const Combination& which) {
        const TlsInfo what = info();
        if (what.ktls_recv()) {
            EXPECT_EQ(which.version, TlsVersion::tls1_2);
            EXPECT_EQ(what.ktls_reason(), "");
        } else if (kernel_must()) {
            EXPECT_EQ(which.version, TlsVersion::tls1_3) << what.ktls_reason();
            EXPECT_THAT(
                what.ktls_reason(),
                testing::StartsWith("OpenSSL hands over no keys for receiving with TLSv1.3"));
        }
        EXPECT_TRUE(what.ktls_send() || !kernel_must());
        close();
    });
}

TEST_P(Ktls, F1_what_is_not_asked_for_is_not_done) {
    open(combinations[1], KernelTls::off);
    EXPECT_FALSE(info().ktls_send());
    EXPECT_EQ(info().ktls_reason(), "not asked for");
    close();
}

TEST_P(Ktls, F1_a_cipher_that_is_not_handed_over_stays_in_user_space) {
    constexpr const char* suite = "TLS_AES_128_CCM_SHA256";
    const SslContextPtr client = foreign_client_context();
    ASSERT_EQ(SSL_CTX_set_ciphersuites(client.get(), suite), 1);
    open({"CCM", true, TlsVersion::tls1_3, suite}, KernelTls::send, client.get());
    EXPECT_FALSE(info().ktls_send());
    EXPECT_EQ(info().ktls_reason(),
              "OpenSSL hands over no keys for TLSv1.3 and TLS_AES_128_CCM_SHA256");
    exchange(pattern(50'000));
    close();
}

TEST_P(Ktls, F1_after_start_tls_over_a_socket_of_ours_the_kernel_seals) {
    open_plain();
    transport().write("STARTTLS");
    ASSERT_TRUE(run_with({&peer_}, [&] { return peer_.take_received() == "STARTTLS"; }));
    const Ref<Transport> secure = upgrade(Ref<Transport>(&transport()));
    const TlsInfo what = secure->get_extra_info(extra::tls);
    EXPECT_TRUE(what.ktls_send() || !kernel_must()) << what.ktls_reason();
    EXPECT_THAT(what.ktls_reason(),
                testing::AnyOf("receiving was not asked for", testing::StartsWith("the kernel ")));
    const TempFile file(pattern(300'000));
    secure->write("head");
    secure->sendfile(file.fd(), 0, {}, {}, {});
    secure->write("tail");
    peer_receives(300'008);
    EXPECT_TRUE(peer_.take_received() == "head" + pattern(300'000) + "tail");
    peer_.send("and back");
    ASSERT_TRUE(run_with({&peer_}, [&] { return ours_->received() == "and back"; }));
    secure->close();
    ASSERT_TRUE(run_with({&peer_}, [&] { return ours_->lost(); }));
    EXPECT_TRUE(peer_.tls()->saw_every_end());
}

TEST_P(Ktls, F1_over_a_transport_of_somebody_else_it_stays_in_user_space_and_says_so) {
    open_plain();
    Recorder& told = make_recorder();
    const Ref<Transport> relay = RelayTransport::wrap(
        loop(), transport(), make_recording_protocol(ProtocolKind::simple, told));
    told.take_over(*relay);
    const Ref<Transport> secure = upgrade(relay);
    const TlsInfo what = secure->get_extra_info(extra::tls);
    EXPECT_FALSE(what.ktls_send());
    EXPECT_EQ(what.ktls_reason(), "not directly over a socket of ours");
    secure->write(pattern(50'000));
    peer_receives(50'000);
    EXPECT_TRUE(peer_.received() == pattern(50'000));
    secure->close();
    ASSERT_TRUE(run_with({&peer_}, [&] { return told.lost(); }));
}

TEST_P(Ktls, F1_many_small_writes_arrive_in_order) {
    for_all(KernelTls::send, [&](const Combination&) {
        std::string all;
        loop().call_soon([&] {
            for (unsigned i = 0; i < 1000; ++i) {
                const std::string piece = pattern(1 + i % 300, i);
                transport().write(piece);
                all += piece;
            }
        });
        ASSERT_TRUE(run_with({&peer_}, [&] { return !all.empty(); }));
        peer_receives(all.size());
        EXPECT_TRUE(peer_.received() == all);
        close();
    });
}

TEST_P(Ktls, a_slow_peer_gets_everything_and_close_notify_last) {
    for_all(KernelTls::send, [&](const Combination&) {
        const std::string large = pattern(8 * mebibyte);
        bool paused = false;
        ours_->on_pause = [&] { paused = true; };
        loop().call_soon([&] {
            transport().write("header");
            transport().write(large);
            transport().write("trailer");
            transport().close();
        });
        ASSERT_TRUE(run_until([&] { return transport().is_closing(); }));
        EXPECT_TRUE(paused) << "the kernel cannot take all of it";
        ASSERT_TRUE(run_with({&peer_}, [&] { return ours_->lost(); }));
        EXPECT_EQ(ours_->reason(), std::error_code());
        EXPECT_TRUE(peer_.received() == "header" + large + "trailer");
        EXPECT_TRUE(peer_.tls()->saw_every_end());
        forget();
    });
}

TEST_P(Ktls, files_and_writes_keep_their_order) {
    const std::string content = pattern(3 * mebibyte + 11);
    const TempFile file(content);
    for_all(KernelTls::send, [&](const Combination&) {
        unsigned done = 0;
        const auto count = [&](const SendfileResult& result) {
            EXPECT_FALSE(result.error) << result.error.message();
            ++done;
        };
        transport().write("before ");
        transport().sendfile(file.fd(), 0, {}, {}, count);
        transport().write(" between ");
        transport().sendfile(file.fd(), 1000, 5000, {}, count);
        transport().write(" behind");
        const std::string expected =
            "before " + content + " between " + content.substr(1000, 5000) + " behind";
        peer_receives(expected.size());
        EXPECT_TRUE(peer_.take_received() == expected);
        EXPECT_TRUE(run_with({&peer_}, [&] { return done == 2; }));
        exchange("and on");
        close();
    });
}

TEST_P(Ktls, the_kernel_alone_sends_a_file_where_it_seals) {
    const TempFile file(pattern(100'000));
    open(combinations[1]);
    const SendfileOptions no_fallback{.fallback = false};
    bool sent = false;
    const auto note = [&](const SendfileResult& result) { sent = !result.error; };
    if (info().ktls_send()) {
        transport().sendfile(file.fd(), 0, {}, no_fallback, note);
        peer_receives(100'000);
        EXPECT_TRUE(run_with({&peer_}, [&] { return sent; }));
    } else {
        EXPECT_THROW(transport().sendfile(file.fd(), 0, {}, no_fallback, note), std::system_error);
    }
    close();
}

TEST_P(Ktls, an_abort_in_the_middle_of_a_file_tells_how_much_went) {
    const TempFile file(pattern(32 * mebibyte));
    for_all(KernelTls::send, [&](const Combination&) {
        std::optional<SendfileResult> result;
        transport().sendfile(file.fd(), 0, {}, {},
                             [&](const SendfileResult& told) { result = told; });
        ASSERT_TRUE(run_with({&peer_}, [&] { return peer_.received().size() > 100'000; }));
        transport().abort();
        ASSERT_TRUE(run_with({&peer_}, [&] { return ours_->lost() && result; }));
        EXPECT_TRUE(result->error);
        EXPECT_GT(result->sent, 100'000U);
        EXPECT_LT(result->sent, 32 * mebibyte);
        forget();
    });
}

TEST_P(Ktls, a_change_of_keys_that_asks_for_an_answer_ends_a_connection_whose_kernel_seals) {
    open(combinations[1]);
    const bool sealing = info().ktls_send();
    exchange(pattern(20'000));
    static int alert_received;
    alert_received = -1;
    SSL_set_info_callback(peer_.tls()->ssl(), [](const SSL*, int where, int value) {
        if (where == SSL_CB_READ_ALERT) {
            alert_received = value & 0xff;
        }
    });
    ASSERT_EQ(SSL_key_update(peer_.tls()->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    peer_.send("behind new keys");
    if (!sealing) {
        exchange(pattern(20'000));
        close();
        return;
    }
    ASSERT_TRUE(run_with({&peer_}, [&] { return ours_->lost(); }));
    EXPECT_EQ(ours_->reason(), Error::tls_key_update);
    EXPECT_THAT(transport().get_extra_info(extra::tls_failure).text,
                testing::HasSubstr("the peer asked for other keys"));
    settle({&peer_});
    EXPECT_EQ(alert_received, SSL_AD_INTERNAL_ERROR) << "it can read what it gets";
    forget();
}

TEST_P(Ktls, a_change_of_keys_that_asks_for_none_is_survived) {
    open(combinations[1]);
    exchange(pattern(20'000));
    ASSERT_EQ(SSL_key_update(peer_.tls()->ssl(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    exchange(pattern(20'000));
    close();
}

TEST_P(Ktls, a_part_of_a_record_does_not_keep_the_loop_busy) {
    for_all(KernelTls::send_and_receive, [&](const Combination&) {
        exchange("words");
        const std::size_t before = ours_->received().size();
        const std::string text = pattern(10'000);
        ASSERT_EQ(SSL_write(peer_.tls()->ssl(), text.data(), static_cast<int>(text.size())),
                  static_cast<int>(text.size()));
        const std::string record = peer_.tls()->take_output();
        peer_.send_raw(record.substr(0, 5'000));
        const std::uint64_t calls_before = loop().counters().receive_calls;
        constexpr unsigned turns = 5'000;
        loop().run_until_complete(turn(turns));
        EXPECT_LT(loop().counters().receive_calls - calls_before, turns / 10);
        EXPECT_EQ(ours_->received().size(), before);
        peer_.send_raw(record.substr(5'000));
        ASSERT_TRUE(run_until([&] { return ours_->received().size() >= before + text.size(); }));
        EXPECT_TRUE(ours_->received().substr(before) == text);
        close();
    });
}

TEST_P(Ktls, a_stream_that_is_cut_is_told_from_one_that_ended) {
    for_all(KernelTls::send_and_receive, [&](const Combination&) {
        exchange("words");
        peer_.shutdown_write_raw();
        ASSERT_TRUE(run_with({&peer_}, [&] { return ours_->lost(); }));
        EXPECT_EQ(ours_->reason(), Error::tls_truncated);
        forget();
    });
}

}  // namespace
}  // namespace sluice::test
