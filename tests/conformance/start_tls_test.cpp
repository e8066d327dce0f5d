// start_tls (group K of asyncio's behaviour, E of the reliability list): upgrading connections in
// use, in both roles, over transports of ours and of others.
//
// Every transport's behaviour after the upgrade is tested by the columns of the conformance suite.
#include "support/relay_transport.hpp"
#include "support/tls_fixture.hpp"
#include "support/transport_pair.hpp"

#include <stdexcept>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class StartTls : public TlsTest {
protected:
    using Upgrade = TaskHandle<Ref<Transport>>;

    /// Our plain connection as a client, the peer's end accepted. The recorder is told().
    void open_plain(ProtocolKind kind = ProtocolKind::simple) {
        Listener listener;
        told_ = &make_recorder();
        const auto made = run(
            loop().create_connection([this, kind] { return make_recording_protocol(kind, *told_); },
                                     "127.0.0.1", listener.port()));
        ASSERT_TRUE(run_until([&] {
            if (std::optional<Peer> accepted = listener.accept()) {
                peer_ = std::move(*accepted);
            }
            return peer_.is_open();
        }));
    }
    static StartTlsOptions as_client() { return StartTlsOptions().server_hostname("example.test"); }
    Upgrade start_client(StartTlsOptions options = as_client()) {
        return loop().create_task(
            loop().start_tls(Ref<Transport>(&plain()), test_client_context(), std::move(options)));
    }
    Upgrade start_server(Transport& transport, StartTlsOptions options = StartTlsOptions()) {
        return loop().create_task(loop().start_tls(Ref<Transport>(&transport),
                                                   test_server_context(), std::move(options)));
    }
    Ref<Transport> finish_with_peer(Upgrade upgrade) {
        run_with({&peer_}, [&] { return upgrade.done(); });
        return upgrade.result();
    }
    struct Layers {
        Ref<Transport> inner;
        Ref<Transport> outer;
    };
    /// Our client speaks TLS inside TLS.
    Layers open_two_layers() {
        open_plain();
        peer_.speak_tls(std::make_unique<PeerTls>(true, 2));
        const Ref<Transport> inner = finish_with_peer(start_client());
        auto upgrading =
            loop().create_task(loop().start_tls(inner, test_client_context(), as_client()));
        return {inner, finish_with_peer(std::move(upgrading))};
    }
    /// From here on the peer's OpenSSL is a server.
    void peer_serves_tls() { peer_.speak_tls(std::make_unique<PeerTls>(true)); }
    void end(const Ref<Transport>& transport) {
        transport->abort();
        ASSERT_TRUE(run_until([this] { return told_->lost(); }));
    }

    Transport& plain() { return told_->transport(); }
    void release_resources() override { peer_ = Peer(); }

    Recorder* told_ = nullptr;
    Peer peer_;
};
INSTANTIATE_TEST_SUITE_P(Every, StartTls, testing::ValuesIn(backends()), backend_case_name);

// ---- upgrades that succeed ----

TEST_P(StartTls, K183_K188_a_client_upgrades_and_is_not_told_connection_made_again) {
    for (const ProtocolKind kind : {ProtocolKind::simple, ProtocolKind::buffered}) {
        open_plain(kind);
        plain().write("STARTTLS\r\n");
        peer_.send("220 go ahead\r\n");
        ASSERT_TRUE(run_with({&peer_}, [&] {
            return told_->received() == "220 go ahead\r\n" && peer_.received() == "STARTTLS\r\n";
        }));
        StreamProtocol* const protocol = plain().get_protocol();
        peer_serves_tls();
        const Ref<Transport> secure = finish_with_peer(start_client());
        EXPECT_NE(secure.get(), &plain());
        EXPECT_EQ(secure->get_protocol(), protocol);
        EXPECT_EQ(secure->get_extra_info(extra::peername), plain().get_extra_info(extra::peername));
        EXPECT_EQ(fd_of(*secure), fd_of(plain()));
        EXPECT_TRUE(secure->get_extra_info(extra::tls));
        EXPECT_EQ(peer_.take_received(), "STARTTLS\r\n");
        secure->write("EHLO");
        peer_.send("250 fine");
        ASSERT_TRUE(run_with({&peer_}, [&] {
            return told_->received() == "220 go ahead\r\n250 fine" && peer_.received() == "EHLO";
        }));
        secure->close();
        ASSERT_TRUE(run_with({&peer_}, [&] { return told_->lost(); }));
        EXPECT_EQ(told_->trace(), "M D14 D8 L(None)");
        EXPECT_FALSE(peer_.truncated());
    }
}

TEST_P(StartTls, K184_a_server_upgrades_and_answers) {
    const Ref<Server> server = serve();
    Peer client = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    Recorder& told = *connections()[0];
    auto upgrade = start_server(told.transport());
    client.speak_tls(std::make_unique<PeerTls>(false));
    ASSERT_TRUE(run_with({&client}, [&] { return upgrade.done(); }));
    const Ref<Transport> secure = upgrade.result();
    upgrade = {};
    told.on_data = [&](Bytes data) { secure->write(data); };
    client.send("secret");
    ASSERT_TRUE(run_with({&client}, [&] { return client.received() == "secret"; }));
    EXPECT_EQ(server->connection_count(), 1U);
    server->close();
    server->close_clients();
    ASSERT_TRUE(run_with({&client}, [&] { return told.lost(); }));
    EXPECT_EQ(told.trace(), "M D6 L(None)") << "the server's calls did not reach the upgrade";
    EXPECT_FALSE(client.truncated());
    run(server->wait_closed());
    EXPECT_EQ(server->connection_count(), 0U);
}

TEST_P(StartTls, the_drain_of_a_server_waits_for_upgraded_connections) {
    const Ref<Server> server = serve();
    Peer client = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    auto upgrade = start_server(connections()[0]->transport());
    client.speak_tls(std::make_unique<PeerTls>(false));
    ASSERT_TRUE(run_with({&client}, [&] { return upgrade.done(); }));
    const Ref<Transport> secure = upgrade.result();
    auto draining = loop().create_task(server->drain(10s));
    settle({&client});
    EXPECT_FALSE(draining.done());
    secure->close();
    ASSERT_TRUE(run_with({&client}, [&] { return draining.done(); }));
    EXPECT_TRUE(draining.result()) << "it had to abort a connection that ended by itself";
}

TEST_P(StartTls, bytes_the_kernel_has_already_go_to_the_engine) {
    const Ref<Server> server = serve();
    Peer client = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    Recorder& told = *connections()[0];
    // The hello is there before start_tls is called, and nobody has read it.
    told.transport().pause_reading();
    client.speak_tls(std::make_unique<PeerTls>(false));
    ASSERT_TRUE(wait_readable(fd_of(told.transport())));
    auto upgrade = start_server(told.transport());
    ASSERT_TRUE(run_with({&client}, [&] { return upgrade.done(); }));
    EXPECT_NO_THROW(upgrade.result());
    EXPECT_EQ(told.received(), "");
    upgrade = {};
    shut_down(server);
}

TEST_P(StartTls, bytes_the_protocol_was_given_already_go_to_the_engine_by_received) {
    const Ref<Server> server = serve();
    Peer client = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    Recorder& told = *connections()[0];
    // The command and the first half of the hello arrive together.
    PeerTls tls(false);
    std::string nothing;
    tls.read(nothing);
    const std::string hello = tls.take_output();
    const std::string command = "STARTTLS\r\n";
    StartTls::Upgrade upgrade;
    told.on_data = [&](Bytes data) {
        upgrade = start_server(told.transport(),
                               StartTlsOptions().received(data.subspan(command.size())));
    };
    client.send(command + hello.substr(0, 100));
    ASSERT_TRUE(run_until([&] { return static_cast<bool>(upgrade); }));
    client.send(hello.substr(100));
    ASSERT_TRUE(run_until([&] {
        client.receive_available();
        tls.feed(client.take_received());
        tls.read(nothing);
        client.send(tls.take_output());
        return upgrade.done();
    }));
    EXPECT_NO_THROW(upgrade.result());
    EXPECT_TRUE(tls.handshaken());
    EXPECT_EQ(told.count('D'), 1U);
    upgrade = {};
    shut_down(server);
}

TEST_P(StartTls, plaintext_sent_before_its_time_never_reaches_the_protocol) {
    open_plain();
    told_->on_data = [&](Bytes) { plain().pause_reading(); };
    peer_.send("220 go ahead\r\n");
    ASSERT_TRUE(run_until([&] { return told_->count('D') == 1; }));
    // What an attacker adds behind the server's answer is no TLS.
    peer_.send("250 injected\r\n");
    auto upgrade = start_client();
    ASSERT_TRUE(run_until([&] { return upgrade.done() && told_->lost(); }));
    const auto error = caught<TlsError>([&] { upgrade.result(); });
    ASSERT_TRUE(error);
    EXPECT_THAT(error->what(), HasSubstr("does not speak TLS"));
    EXPECT_EQ(told_->received(), "220 go ahead\r\n");
    EXPECT_EQ(told_->count('L'), 1U);
}

TEST_P(StartTls, E3_plaintext_that_waits_goes_out_first_and_writing_resumes_over_TLS) {
    open_plain();
    set_buffers(fd_of(plain()), {64 * 1024, std::nullopt});
    const std::string text = pattern(4 * 1024 * 1024);
    plain().write(text);
    EXPECT_EQ(told_->trace(), "M P");
    auto upgrade = start_client();
    run_idle();
    EXPECT_FALSE(upgrade.done());
    // The peer reads plaintext exactly to its end; the next byte is the hello's.
    ASSERT_TRUE(run_until([&] {
        peer_.receive_at_most(text.size() - peer_.received().size());
        return peer_.received().size() == text.size();
    }));
    EXPECT_EQ(peer_.take_received(), text);
    peer_serves_tls();
    const Ref<Transport> secure = finish_with_peer(std::move(upgrade));
    ASSERT_TRUE(run_until([&] { return told_->count('R') == 1; }));
    secure->write("over TLS");
    ASSERT_TRUE(run_with({&peer_}, [&] { return peer_.received() == "over TLS"; }));
    EXPECT_EQ(told_->trace(), "M P R");
    end(secure);
}

TEST_P(StartTls, the_limits_of_the_write_buffer_carry_over) {
    open_plain();
    plain().set_write_buffer_limits(1000, 100);
    plain().set_write_buffer_cap(10'000, OverflowPolicy::refuse_write);
    peer_serves_tls();
    const Ref<Transport> secure = finish_with_peer(start_client());
    EXPECT_EQ(secure->get_write_buffer_limits().high, 1000U);
    EXPECT_EQ(secure->get_write_buffer_limits().low, 100U);
    secure->write(pattern(32 * 1024 * 1024));
    const auto error = caught<std::system_error>([&] { secure->write("beyond the cap"); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Error::write_buffer_full);
    end(secure);
}

TEST_P(StartTls, the_size_of_the_outer_buffer_counts_every_layer) {
    const auto [inner, outer] = open_two_layers();
    EXPECT_EQ(outer->get_extra_info(extra::tls).layer(), 1);
    outer->set_write_buffer_limits(64 * 1024 * 1024);
    const std::string text = pattern(8 * 1024 * 1024);
    outer->write(text);
    const std::size_t unsealed = text.size() - outer->get_extra_info(extra::counters).bytes_sent;
    EXPECT_GT(plain().get_write_buffer_size(), 0U);
    EXPECT_GE(inner->get_write_buffer_size(), plain().get_write_buffer_size());
    EXPECT_EQ(outer->get_write_buffer_size(), unsealed + inner->get_write_buffer_size());
    ASSERT_TRUE(run_with({&peer_}, [&] { return peer_.received().size() == text.size(); }));
    EXPECT_EQ(peer_.received(), text);
    EXPECT_EQ(outer->get_write_buffer_size(), 0U);
    end(outer);
}

TEST_P(StartTls, the_end_of_a_lower_layer_truncates_the_upper_and_debug_mode_has_nothing_to_add) {
    loop().set_debug(true);
    loop().set_slow_callback_duration(1h);
    const Ref<Transport> outer = open_two_layers().outer;
    peer_.tls()->below()->shut_down();
    peer_.send_some({});
    ASSERT_TRUE(run_with({&peer_}, [&] { return told_->lost(); }));
    EXPECT_EQ(told_->reason(), Error::tls_truncated);
    EXPECT_EQ(loop().counters().exceptions_reported, 0U);
    static_cast<void>(take_reports());
}

TEST_P(StartTls, K197_somebody_elses_transport_is_upgraded_on_the_servers_side) {
    const Ref<Server> server = serve();
    Peer client = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    Recorder& told = make_recorder();
    {
        const Ref<Transport> relay =
            RelayTransport::wrap(loop(), connections()[0]->transport(),
                                 make_recording_protocol(ProtocolKind::simple, told));
        told.take_over(*relay);
        client.speak_tls(std::make_unique<PeerTls>(false));
        auto upgrade = start_server(*relay);
        ASSERT_TRUE(run_with({&client}, [&] { return upgrade.done(); }));
        const Ref<Transport> secure = upgrade.result();
        told.on_data = [secure = secure.get()](Bytes data) { secure->write(data); };
        const std::string text = pattern(500'000);
        std::string_view left = text;
        ASSERT_TRUE(run_with({&client}, [&] {
            left.remove_prefix(client.send_some(left));
            return client.received().size() == text.size();
        }));
        EXPECT_EQ(client.received(), text);
        client.shutdown_write();
        ASSERT_TRUE(run_with({&client}, [&] { return told.lost(); }));
    }
    EXPECT_EQ(told.reason(), std::error_code());
    EXPECT_FALSE(client.truncated());
    server->close();
    run(server->wait_closed());
}

TEST_P(StartTls, a_transport_of_somebody_elses_that_ends_without_a_word_was_truncated) {
    open_plain();
    peer_serves_tls();
    Recorder& told = make_recorder();
    const Ref<Transport> relay =
        RelayTransport::wrap(loop(), plain(), make_recording_protocol(ProtocolKind::simple, told));
    told.take_over(*relay);
    auto upgrade = loop().create_task(loop().start_tls(relay, test_client_context(), as_client()));
    const Ref<Transport> secure = finish_with_peer(std::move(upgrade));
    // connection_lost without eof_received before, and without an error.
    plain().abort();
    ASSERT_TRUE(run_until([&] { return told.lost(); }));
    EXPECT_EQ(told.count('E'), 0U);
    EXPECT_EQ(told.reason(), Error::tls_truncated);
}

// ---- what is refused ----

TEST_P(StartTls, K185_E4_wrong_calls_are_refused_and_harm_nothing) {
    open_plain();
    const auto call = [&](const Ref<Transport>& transport, const TlsContext& context,
                          StartTlsOptions options) {
        return [&, options] { auto task = loop().start_tls(transport, context, options); };
    };
    const Ref<Transport> transport(&plain());
    EXPECT_THROW(call(Ref<Transport>(), test_client_context(), as_client())(),
                 std::invalid_argument);
    EXPECT_THROW(call(transport, test_client_context(), StartTlsOptions())(), std::invalid_argument)
        << "a client must say whom it talks to";
    EXPECT_THROW(call(transport, test_client_context(), StartTlsOptions().server_hostname("a b"))(),
                 std::invalid_argument);
    EXPECT_TRUE(transport->is_reading()) << "a refused call paused it";
    peer_serves_tls();
    const Ref<Transport> secure = finish_with_peer(start_client());
    EXPECT_THAT(message_of<std::logic_error>(call(transport, test_client_context(), as_client())),
                HasSubstr("carries a TLS transport already"));
    EXPECT_THROW(transport->write("bypassing TLS"), std::logic_error);
    EXPECT_THROW(transport->write_static("bypassing TLS"), std::logic_error);
    EXPECT_THROW(transport->writelines({as_bytes("bypassing TLS")}), std::logic_error);
    secure->close();
    EXPECT_THAT(message_of<std::logic_error>(call(secure, test_client_context(), as_client())),
                HasSubstr("closing"));
    ASSERT_TRUE(run_with({&peer_}, [&] { return told_->lost(); }));
    EXPECT_EQ(peer_.received(), "");
}

TEST_P(StartTls, E4_a_second_call_during_the_handshake_is_refused) {
    open_plain();
    auto upgrade = start_client();
    run_idle();
    EXPECT_THROW(
        {
            auto task =
                loop().start_tls(Ref<Transport>(&plain()), test_client_context(), as_client());
        },
        std::logic_error);
    peer_serves_tls();
    end(finish_with_peer(std::move(upgrade)));
}

TEST_P(StartTls, E4_of_two_calls_before_either_has_run_the_second_is_refused) {
    open_plain();
    peer_serves_tls();
    auto first = start_client();
    auto second = start_client();
    const Ref<Transport> secure = finish_with_peer(std::move(first));
    EXPECT_THROW(second.result(), std::logic_error);
    secure->write("unharmed");
    ASSERT_TRUE(run_with({&peer_}, [&] { return peer_.received() == "unharmed"; }));
    end(secure);
}

TEST_P(StartTls, E5_a_failed_handshake_is_thrown_and_tells_connection_lost_once) {
    open_plain();
    const SslContextPtr context = foreign_server_context(pki().other_server());
    const int fd = fd_of(plain());
    peer_.speak_tls(std::make_unique<PeerTls>(context.get(), true));
    auto upgrade = start_client();
    ASSERT_TRUE(run_with({&peer_}, [&] { return upgrade.done() && told_->lost(); }));
    const auto error = caught<TlsError>([&] { upgrade.result(); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Error::tls_certificate_rejected);
    EXPECT_EQ(error->failure().host, "example.test");
    EXPECT_EQ(told_->count('L'), 1U);
    EXPECT_EQ(told_->reason(), Error::tls_certificate_rejected);
    EXPECT_FALSE(descriptor_is_open(fd));
}

TEST_P(StartTls, E6_the_handshake_timeout_holds_for_upgrades) {
    open_plain();
    auto upgrade = start_client(as_client().tls_handshake_timeout(20ms));
    ASSERT_TRUE(run_until([&] { return upgrade.done() && told_->lost(); }));
    const auto error = caught<TlsError>([&] { upgrade.result(); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Error::tls_handshake_timeout);
    EXPECT_EQ(told_->reason(), Error::tls_handshake_timeout);
    EXPECT_EQ(loop().counters().timers_pending, 0U);
}

TEST_P(StartTls, K186_cancelling_an_upgrade_closes_the_connection) {
    for (int steps = 0; steps < 8; ++steps) {
        SCOPED_TRACE(steps);
        open_plain();
        auto upgrade = start_client();
        for (int step = 0; step < steps; ++step) {
            loop().run_once();
        }
        ASSERT_TRUE(upgrade.cancel());
        ASSERT_TRUE(run_until([&] { return upgrade.done(); }));
        EXPECT_TRUE(upgrade.cancelled());
        if (steps > 0) {
            ASSERT_TRUE(run_until([&] { return told_->lost(); }));
            EXPECT_EQ(told_->trace(), "M L(None)");
            EXPECT_EQ(loop().counters().timers_pending, 0U);
        } else {
            // The task never ran: nothing was taken over.
            end(Ref<Transport>(&plain()));
        }
    }
}

TEST_P(StartTls, a_connection_that_ends_before_the_task_runs_is_an_error) {
    open_plain();
    auto upgrade = start_client();
    plain().abort();
    ASSERT_TRUE(run_until([&] { return upgrade.done() && told_->lost(); }));
    EXPECT_THROW(upgrade.result(), std::system_error);
    EXPECT_EQ(told_->trace(), "M L(None)");
}

TEST_P(StartTls, a_peer_that_hangs_up_in_the_handshake_is_a_reset_connection) {
    open_plain();
    auto upgrade = start_client();
    ASSERT_TRUE(run_with({&peer_}, [&] { return !peer_.received().empty(); }));
    peer_.close();
    ASSERT_TRUE(run_until([&] { return upgrade.done() && told_->lost(); }));
    const auto error = caught<TlsError>([&] { upgrade.result(); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::connection_reset);
    EXPECT_EQ(told_->count('L'), 1U);
}

TEST_P(StartTls, K194_closing_any_layer_while_the_next_shakes_hands_ends_all_of_them) {
    for (const bool outer_first : {false, true}) {
        open_plain();
        peer_serves_tls();
        const Ref<Transport> inner = finish_with_peer(start_client());
        auto upgrade =
            loop().create_task(loop().start_tls(inner, test_client_context(), as_client()));
        settle({&peer_});
        ASSERT_FALSE(upgrade.done()) << "the peer has no second layer";
        if (outer_first) {
            upgrade.cancel();
        } else {
            inner->close();
        }
        ASSERT_TRUE(run_with({&peer_}, [&] { return upgrade.done() && told_->lost(); }));
        EXPECT_EQ(upgrade.cancelled(), outer_first);
        if (!outer_first) {
            const auto error = caught<TlsError>([&] { upgrade.result(); });
            ASSERT_TRUE(error);
            EXPECT_EQ(error->code(), std::errc::connection_aborted);
        }
        EXPECT_TRUE(inner->is_closing());
        EXPECT_TRUE(plain().is_closing());
        EXPECT_EQ(told_->count('L'), 1U);
    }
}

}  // namespace
}  // namespace sluice::test
