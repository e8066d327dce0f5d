// TLS after the handshake (group J of asyncio's behaviour): data, back-pressure, and what the peer
// may do to a connection that is in order.
//
// How connections end is in tls_ending_test.cpp. What TLS has in common with plain transports is
// tested by the TLS columns of the conformance suite.
#include "support/tls_fixture.hpp"

#include <array>

#include <sys/socket.h>

namespace sluice::test {
namespace {

class TlsData : public TlsTest {
protected:
    /// Our server's end of a connection with a foreign client.
    Transport& ours() { return connections().back()->transport(); }
    Recorder& told() { return *connections().back(); }
    /// Runs `body` as a callback of the loop, where gathering applies.
    void in_callback(std::function<void()> body) {
        bool ran = false;
        loop().call_soon([&] {
            ran = true;
            body();
        });
        ASSERT_TRUE(run_until([&] { return ran; }));
    }
};
INSTANTIATE_TEST_SUITE_P(Every, TlsData, testing::ValuesIn(backends()), backend_case_name);

/// Everything the kernel has for this socket, undecrypted.
std::string raw_bytes(Peer& peer) {
    std::array<char, 64 * 1024> space;
    std::string bytes;
    for (;;) {
        const ssize_t count = ::recv(peer.fd(), space.data(), space.size(), MSG_DONTWAIT);
        if (count <= 0) {
            return bytes;
        }
        bytes.append(space.data(), static_cast<std::size_t>(count));
    }
}

/// The plaintext of a TLS 1.3 record with a 16-byte tag and its hidden type (RFC 8446, 5.2).
constexpr std::size_t record_overhead = 17;
constexpr std::size_t header_bytes = 5;
constexpr unsigned application_data = 23;

TEST_P(TlsData, sixteen_small_writes_of_one_callback_are_one_record_and_one_send) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    const std::uint64_t sends = loop().counters().send_calls;
    in_callback([&] {
        for (int i = 0; i < 16; ++i) {
            ours().write(pattern(64, static_cast<unsigned>(i)));
        }
        EXPECT_EQ(ours().get_write_buffer_size(), 16U * 64);
    });
    run_idle();
    EXPECT_EQ(loop().counters().send_calls, sends + 1);
    const std::vector<RecordHeader> records = records_of(raw_bytes(peer));
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].type, application_data);
    EXPECT_EQ(records[0].bytes, 16 * 64 + record_overhead);
    shut_down(server);
}

TEST_P(TlsData, a_large_write_leaves_in_full_records_and_one_send) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    // The window that kernels before 6.6 make of the usual buffer does not take all of it.
    set_buffers(peer.fd(), {.send_bytes = {}, .receive_bytes = 256 * 1024});
    const std::uint64_t sends = loop().counters().send_calls;
    ours().write(pattern(100'000));
    EXPECT_EQ(loop().counters().send_calls, sends + 1);
    ASSERT_TRUE(wait_for_arrival(peer.fd(), 100'000 + 7 * (header_bytes + record_overhead)));
    const std::vector<RecordHeader> records = records_of(raw_bytes(peer));
    ASSERT_EQ(records.size(), 7U);
    for (std::size_t i = 0; i < 6; ++i) {
        EXPECT_EQ(records[i].bytes, limits::tls_record_bytes + record_overhead);
    }
    shut_down(server);
}

TEST_P(TlsData, several_small_records_arrive_as_one_chunk) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    ours().pause_reading();
    for (int i = 0; i < 16; ++i) {
        peer.send(pattern(64, static_cast<unsigned>(i)));
    }
    ASSERT_TRUE(wait_for_arrival(fd_of(ours()), 16 * (header_bytes + 64 + record_overhead)));
    run_idle();
    EXPECT_EQ(told().count('D'), 0U);
    ours().resume_reading();
    ASSERT_TRUE(run_until([&] { return told().received().size() == 16U * 64; }));
    EXPECT_EQ(told().count('D'), 1U);
    shut_down(server);
}

TEST_P(TlsData, J170_G5_pausing_in_data_received_withholds_what_the_engine_has_already) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    const std::string text = pattern(10 * limits::tls_record_bytes);
    told().on_data = [&](Bytes) { ours().pause_reading(); };
    // Chunks of one record each: the engine has the rest when the callback pauses.
    std::vector<std::byte> room(limits::tls_record_bytes);
    told().on_get_buffer = [&](std::size_t) { return MutableBytes(room); };
    ours().set_protocol(make_recording_protocol(ProtocolKind::buffered, told()));
    peer.send(text);
    ASSERT_TRUE(run_until([&] { return told().count('D') == 1; }));
    for (std::size_t chunks = 1; told().received().size() < text.size(); ++chunks) {
        run_idle();
        ASSERT_EQ(told().count('D'), chunks) << "delivered while paused";
        ours().resume_reading();
        ASSERT_EQ(told().count('D'), chunks) << "delivered inside resume_reading()";
        ASSERT_TRUE(run_until([&] { return told().count('D') == chunks + 1; }));
    }
    EXPECT_EQ(told().received(), text);
    shut_down(server);
}

TEST_P(TlsData, tiny_buffers_of_the_protocol_lose_nothing) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    const std::string text = pattern(40'000);
    std::array<std::byte, 7> room{};
    told().on_get_buffer = [&](std::size_t) { return MutableBytes(room); };
    ours().set_protocol(make_recording_protocol(ProtocolKind::buffered, told()));
    peer.send(text);
    ASSERT_TRUE(run_until([&] { return told().received().size() == text.size(); }));
    EXPECT_EQ(told().received(), text);
    shut_down(server);
}

TEST_P(TlsData, D14_a_million_bytes_written_one_by_one_and_at_once_arrive_the_same) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    const std::string text = pattern(1'000'000);
    ours().set_write_buffer_limits(64 * 1024 * 1024);
    in_callback([&] {
        for (const char byte : text) {
            ours().write(std::string_view(&byte, 1));
        }
    });
    ours().write(text);
    ASSERT_TRUE(run_with({&peer}, [&] { return peer.received().size() == 2 * text.size(); }));
    EXPECT_EQ(peer.received(), text + text);
    EXPECT_EQ(ours().get_write_buffer_size(), 0U);
    shut_down(server);
}

TEST_P(TlsData, the_write_buffer_size_counts_every_byte_that_the_kernel_does_not_have) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    ours().set_write_buffer_limits(64 * 1024 * 1024);
    const std::string text = pattern(8 * 1024 * 1024);
    ours().write(text);
    const auto sealed = ours().get_extra_info(extra::counters).bytes_sent;
    ASSERT_LT(sealed, text.size()) << "the kernel took everything";
    const std::uint64_t by_kernel = loop().counters().bytes_sent;
    const std::size_t waiting = ours().get_write_buffer_size();
    EXPECT_GT(waiting, text.size() - sealed) << "the ciphertext that waits is not counted";
    EXPECT_LE(waiting, text.size() - sealed + limits::tls_burst_bytes + 20 * 1024)
        << "more than one burst was sealed ahead";
    EXPECT_GT(by_kernel, 0U);
    ASSERT_TRUE(run_with({&peer}, [&] { return peer.received().size() == text.size(); }));
    EXPECT_EQ(ours().get_write_buffer_size(), 0U);
    EXPECT_EQ(ours().get_extra_info(extra::counters).bytes_sent, text.size());
    shut_down(server);
}

TEST_P(TlsData, a_slow_peer_pauses_the_protocol_once_and_resumes_it_once) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    const std::string text = pattern(8 * 1024 * 1024);
    ours().write(text);
    run_idle();
    EXPECT_EQ(told().trace(), "M P");
    ASSERT_TRUE(run_with({&peer}, [&] { return peer.received().size() == text.size(); }));
    EXPECT_EQ(peer.received(), text);
    ASSERT_TRUE(run_until([&] { return told().count('R') == 1; }));
    EXPECT_EQ(told().trace(), "M P R");
    shut_down(server);
}

TEST_P(TlsData, a_key_update_of_the_peer_is_answered_and_data_goes_on) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    told().on_data = [&](Bytes data) { ours().write(data); };
    const std::string text = pattern(20'000);
    for (std::size_t round = 1; round <= 50; ++round) {
        ASSERT_EQ(SSL_key_update(peer.tls()->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
        peer.send(text);
        ASSERT_TRUE(
            run_with({&peer}, [&] { return peer.received().size() == round * text.size(); }));
    }
    EXPECT_EQ(peer.received().substr(49 * text.size()), text);
    EXPECT_FALSE(told().lost());
    shut_down(server);
}

TEST_P(TlsData, a_key_update_without_data_is_no_data) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    ASSERT_EQ(SSL_key_update(peer.tls()->ssl(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ASSERT_EQ(SSL_do_handshake(peer.tls()->ssl()), 1);
    peer.send_some({});
    ASSERT_TRUE(wait_readable(fd_of(ours())));
    run_idle();
    EXPECT_EQ(told().trace(), "M");
    peer.send("after");
    ASSERT_TRUE(run_until([&] { return told().received() == "after"; }));
    shut_down(server);
}

TEST_P(TlsData, what_is_written_amid_a_message_of_the_peer_leaves_once_that_is_complete) {
    AmidTicket connection = connect_amid_ticket(Sealing::by_openssl);
    Transport& client = connection.ours->transport();
    const std::string text = pattern(100'000);
    client.write(text);
    EXPECT_EQ(client.get_write_buffer_size(), text.size()) << "OpenSSL was asked";
    run_idle();
    EXPECT_EQ(connection.ours->trace(), "M P");
    connection.peer.send_raw(connection.rest);
    ASSERT_TRUE(run_with({&connection.peer},
                         [&] { return connection.peer.received().size() == text.size(); }));
    EXPECT_EQ(connection.peer.received(), text);
    client.write("and more");
    connection.peer.send("data");
    ASSERT_TRUE(run_with({&connection.peer}, [&] {
        return connection.peer.received() == text + "and more" &&
               connection.ours->received() == "data";
    }));
    EXPECT_EQ(connection.ours->trace(), "M P R D4");
    client.abort();
    ASSERT_TRUE(run_until([&] { return connection.ours->lost(); }));
}

TEST_P(TlsData, what_is_written_amid_a_message_does_not_wait_if_OpenSSL_has_no_part_in_it) {
    AmidTicket connection = connect_amid_ticket(Sealing::by_us);
    Transport& client = connection.ours->transport();
    client.write("at once");
    EXPECT_EQ(client.get_write_buffer_size(), 0U);
    ASSERT_TRUE(
        run_with({&connection.peer}, [&] { return connection.peer.received() == "at once"; }));
    connection.peer.send_raw(connection.rest);
    connection.peer.send("data");
    ASSERT_TRUE(
        run_with({&connection.peer}, [&] { return connection.ours->received() == "data"; }));
    client.abort();
    ASSERT_TRUE(run_until([&] { return connection.ours->lost(); }));
}

TEST_P(TlsData, D12_ten_thousand_session_tickets_cost_no_memory) {
    const SslContextPtr context = foreign_server_context();
    SSL_CTX_set_num_tickets(context.get(), 1);
    ForeignServer connection = connect_to_foreign(context.get());
    Peer& peer = connection.peer;
    const auto send_tickets = [&](int count) {
        for (int i = 0; i < count; ++i) {
            ASSERT_EQ(SSL_new_session_ticket(peer.tls()->ssl()), 1);
            ASSERT_EQ(SSL_do_handshake(peer.tls()->ssl()), 1);
            if (i % 50 == 0) {
                peer.send_some({});
                settle({&peer});
            }
        }
        peer.send_some("x");
    };
    send_tickets(200);
    ASSERT_TRUE(run_until([&] { return connection.ours->received() == "x"; }));
    const std::size_t before = live_openssl_bytes();
    send_tickets(10'000);
    ASSERT_TRUE(run_until([&] { return connection.ours->received() == "xx"; }));
    // A ticket has some 250 bytes, the session it belongs to a KiB.
    EXPECT_LT(live_openssl_bytes(), before + 64 * 1024);
    EXPECT_EQ(connection.ours->trace(), "M D1 D1");
    connection.ours->transport().abort();
    ASSERT_TRUE(run_until([&] { return connection.ours->lost(); }));
}

TEST_P(TlsData, C16_a_client_cannot_renegotiate) {
    const Ref<Server> server = serve(secure_server());
    Recorder& other = connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    Recorder& others_end = *connections()[0];
    const SslContextPtr context = foreign_client_context();
    ASSERT_EQ(SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION), 1);
    Peer peer = connect_foreign(port_of(server), context.get());
    settle({&peer});
    const auto ciphertext_before = loop().counters().bytes_sent;
    ASSERT_EQ(SSL_renegotiate(peer.tls()->ssl()), 1);
    SSL_do_handshake(peer.tls()->ssl());
    peer.send_some({});
    ASSERT_TRUE(wait_readable(fd_of(ours())));
    settle({&peer});
    // A refusal is one small alert; a server's flight has a certificate in it.
    EXPECT_GT(loop().counters().bytes_sent, ciphertext_before);
    EXPECT_LT(loop().counters().bytes_sent, ciphertext_before + 200);
    EXPECT_TRUE(peer.tls()->failed()) << "the alert no_renegotiation did not arrive";
    EXPECT_FALSE(other.lost());
    EXPECT_FALSE(others_end.lost());
    shut_down(server);
}

TEST_P(TlsData, D13_tickets_do_not_allow_early_data) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    ours().write("after the ticket");
    ASSERT_TRUE(run_with({&peer}, [&] { return peer.received() == "after the ticket"; }));
    SSL_SESSION* const session = SSL_get0_session(peer.tls()->ssl());
    ASSERT_NE(session, nullptr);
    EXPECT_EQ(SSL_SESSION_is_resumable(session), 1);
    EXPECT_EQ(SSL_SESSION_get_max_early_data(session), 0U);
    shut_down(server);
}

TEST_P(TlsData, J176_a_new_protocol_gets_the_rest_of_what_the_engine_has) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    const std::string text = pattern(4 * limits::tls_record_bytes);
    Recorder& second = make_recorder();
    second.take_over(ours());
    std::vector<std::byte> room(limits::tls_record_bytes);
    told().on_get_buffer = [&](std::size_t) { return MutableBytes(room); };
    told().on_data = [&](Bytes) {
        ours().set_protocol(make_recording_protocol(ProtocolKind::simple, second));
    };
    ours().set_protocol(make_recording_protocol(ProtocolKind::buffered, told()));
    peer.send(text);
    ASSERT_TRUE(run_until(
        [&] { return told().received().size() + second.received().size() == text.size(); }));
    EXPECT_EQ(told().received() + second.received(), text);
    EXPECT_EQ(told().count('D'), 1U);
    shut_down(server);
}

}  // namespace
}  // namespace sluice::test
