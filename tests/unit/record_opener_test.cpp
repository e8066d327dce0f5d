// Records that we open ourselves: whatever a client says, the engine must make of it what OpenSSL's
// record layer makes of it.
//
// The client is forged: OpenSSL shakes hands, and from then on the test seals records of its own
// making with the client's secret. The same records go to two engines, one of which leaves everything
// to OpenSSL; a case passes when both say the same.
#include <sluice/detail/record_opener.hpp>
#include <sluice/detail/tls_engine.hpp>
#include <sluice/limits.hpp>

#include "forger.hpp"
#include "support/conformance.hpp"
#include "support/peer_tls.hpp"
#include "tls_pair.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/err.h>

namespace sluice::test {
namespace {

using detail::RecordOpener;
using detail::TlsEngine;
using detail::TlsStatus;
using namespace content;

/// A server engine whose client has shaken hands and is forged from then on.
class Hearer final : public detail::TlsOutput {
public:
    explicit Hearer(bool openssl_record_layer)
        : Hearer(usual_server(TlsOptions().openssl_record_layer(openssl_record_layer))) {}
    explicit Hearer(const TlsContext& server, const std::string& asked_for = "")
        : engine(server, {.server_side = true, .host = {}, .port = 0}, *this) {
        const std::unique_ptr<SSL_CTX, SslFree> context(SSL_CTX_new(TLS_client_method()));
        EXPECT_EQ(SSL_CTX_set_ciphersuites(context.get(), "TLS_AES_128_GCM_SHA256"), 1);
        SSL_CTX_set_keylog_callback(context.get(), note_client_secret);
        client = std::make_unique<PeerTls>(context.get(), false);
        SSL_set_app_data(client->ssl(), &secret);
        if (!asked_for.empty()) {
            SSL_set_tlsext_host_name(client->ssl(), asked_for.c_str());
        }
        std::string nothing;
        TlsStatus status = TlsStatus::want_input;
        for (int flights = 0; flights < 6 && status == TlsStatus::want_input; ++flights) {
            client->read(nothing);
            const std::string said = client->take_output();
            engine.set_input(as_bytes(said));
            status = engine.handshake();
            client->feed(std::exchange(output, {}));
        }
        EXPECT_EQ(status, TlsStatus::done);
        client->read(nothing);
        EXPECT_EQ(secret.size(), 32);
    }

    [[nodiscard]] bool sealed(Bytes ciphertext) noexcept override {
        output += as_text(ciphertext);
        return true;
    }
    /// What arrives, read with room for `room` bytes at a time, until the engine wants more.
    TlsStatus hear(std::string_view ciphertext, std::size_t room) {
        // Where it may be read and nowhere behind.
        const std::vector<char> exact(ciphertext.begin(), ciphertext.end());
        engine.set_input(as_bytes(std::string_view(exact.data(), exact.size())));
        std::vector<std::byte> space(room);
        TlsStatus status = TlsStatus::done;
        while (status == TlsStatus::done) {
            std::size_t count = 0;
            status = engine.read(space, count);
            heard += as_text(Bytes(space).first(count));
        }
        EXPECT_TRUE(status != TlsStatus::want_input || engine.input().empty());
        engine.set_input({});
        return status;
    }

    std::string output;
    std::string heard;
    std::string secret;
    TlsEngine engine;
    std::unique_ptr<PeerTls> client;
};

/// What became of the connection.
std::string told(const Hearer& hearer, TlsStatus status) {
    return std::to_string(static_cast<int>(status)) + ", alert '" +
           hearer.engine.failure().alert_sent + "' '" + hearer.engine.failure().alert_received +
           "'";
}

/// One hearer of each kind, told the same.
class Both {
public:
    /// `opening`: ours has come to open by itself, which two messages bring about.
    explicit Both(bool opening = true)
        : ours(false), openssls(true), our_forger(ours.secret), their_forger(openssls.secret) {
        EXPECT_TRUE(ours.engine.reads_directly());
        EXPECT_FALSE(openssls.engine.reads_directly());
        if (opening) {
            tell_record(application_data, "first");
            tell_record(application_data, "second");
            ours.heard.clear();
            openssls.heard.clear();
        }
        EXPECT_EQ(ours.engine.has_opener(), opening);
    }

    /// `seal` makes the bytes with the forger it is given. `pieces`: how they arrive.
    template <class Seal>
    void tell(Seal&& seal, std::size_t room = 100, std::size_t piece = 1'000'000) {
        our_status = tell(ours, seal(our_forger), room, piece);
        const TlsStatus their_status = tell(openssls, seal(their_forger), room, piece);
        ASSERT_EQ(told(ours, our_status), told(openssls, their_status));
        ASSERT_EQ(ours.heard, openssls.heard);
    }
    void tell_record(std::uint8_t type, const std::string& data, std::size_t padding = 0) {
        tell([&](Forger& forger) { return forger.seal(type, data, padding); });
    }

    Hearer ours;
    Hearer openssls;
    Forger our_forger;
    Forger their_forger;
    TlsStatus our_status = TlsStatus::want_input;

private:
    static TlsStatus tell(Hearer& hearer, std::string_view bytes, std::size_t room,
                          std::size_t piece) {
        TlsStatus status = TlsStatus::want_input;
        while (!bytes.empty() && status == TlsStatus::want_input) {
            const std::string_view next = bytes.substr(0, piece);
            bytes.remove_prefix(next.size());
            status = hearer.hear(next, room);
        }
        return status;
    }
};

TEST(RecordOpener, data_of_every_size_arrives_in_whatever_pieces_and_rooms) {
    for (const std::size_t size : {1U, 2U, 15U, 16U, 17U, 64U, 1'000U, 16'383U, 16'384U}) {
        for (const std::size_t room : {std::size_t{1}, std::size_t{16}, size, size + 1, 5 * size}) {
            for (const std::size_t piece : {1U, 4U, 5U, 6U, 1'000U, 1'000'000U}) {
                if (size * size > 1'000'000 && (room == 1 || piece < 1'000)) {
                    continue;  // minutes, and nothing new
                }
                SCOPED_TRACE("size " + std::to_string(size) + ", room " + std::to_string(room) +
                             ", piece " + std::to_string(piece));
                Both both(false);
                const std::string data = pattern(size);
                both.tell(
                    [&](Forger& forger) {
                        std::string records;
                        for (int i = 0; i < 3; ++i) {
                            records += forger.seal(application_data, data);
                        }
                        return records;
                    },
                    room, piece);
                ASSERT_EQ(both.ours.heard, data + data + data);
                ASSERT_TRUE(both.ours.engine.reads_directly());
            }
        }
    }
}

TEST(RecordOpener, padding_is_no_data) {
    for (const std::size_t padding : {1U, 15U, 255U, 10'000U}) {
        Both both;
        both.tell_record(application_data, "padded", padding);
        both.tell_record(application_data, "", padding);
        both.tell_record(application_data, "again");
        EXPECT_EQ(both.ours.heard, "paddedagain");
    }
}

TEST(RecordOpener, empty_records_are_endured_as_long_as_OpenSSL_endures_them) {
    Both patient;
    for (int i = 0; i < 100; ++i) {
        patient.tell_record(application_data, "");
        if (i % 20 == 0) {
            patient.tell_record(application_data, "x");
        }
    }
    EXPECT_EQ(patient.our_status, TlsStatus::want_input);
    EXPECT_EQ(patient.ours.heard, "xxxxx");
    Both flooded;
    for (int i = 0; i < 100; ++i) {
        flooded.tell_record(application_data, "");
    }
    EXPECT_EQ(flooded.our_status, TlsStatus::failed);
}

TEST(RecordOpener, a_warning_now_and_then_is_endured_and_a_flood_is_not) {
    const std::string user_cancelled = {'\1', '\132'};
    Both patient;
    for (int i = 0; i < 20; ++i) {
        patient.tell_record(alert, user_cancelled);
        patient.tell_record(application_data, "x");
    }
    EXPECT_EQ(patient.our_status, TlsStatus::want_input);
    EXPECT_EQ(patient.ours.heard, std::string(20, 'x'));
    Both flooded;
    for (int i = 0; i < 20; ++i) {
        flooded.tell_record(alert, user_cancelled);
    }
    EXPECT_EQ(flooded.our_status, TlsStatus::failed);
}

TEST(RecordOpener, nothing_is_heard_behind_the_clients_close_notify) {
    const std::string close_notify = {'\1', '\0'};
    Both both;
    both.tell_record(application_data, "before");
    both.tell([&](Forger& forger) {
        std::string bytes = forger.seal(application_data, " the end");
        bytes += forger.seal(alert, close_notify);
        bytes += forger.seal(application_data, "behind");
        return bytes;
    });
    EXPECT_EQ(both.our_status, TlsStatus::peer_closed);
    EXPECT_EQ(both.ours.heard, "before the end");
    EXPECT_EQ(both.ours.engine.shutdown(), TlsStatus::done);
}

TEST(RecordOpener, the_clients_fatal_alert_is_understood) {
    for (const bool opening : {false, true}) {
        Both both(opening);
        both.tell_record(application_data, "before");
        both.tell_record(alert, {'\2', '\62'});
        EXPECT_EQ(both.our_status, TlsStatus::failed);
        EXPECT_EQ(both.ours.engine.failure().alert_received, "decode_error");
    }
}

TEST(RecordOpener, a_record_sent_again_is_refused_whichever_it_is) {
    for (const std::size_t which : {0U, 1U, 2U, 3U, 4U}) {
        SCOPED_TRACE(which);
        Both both;
        std::vector<std::string> ours;
        std::vector<std::string> theirs;
        const auto tell = [&](std::uint8_t type, const std::string& data) {
            ours.push_back(both.our_forger.seal(type, data));
            theirs.push_back(both.their_forger.seal(type, data));
            both.tell([&](const Forger& forger) {
                return &forger == &both.our_forger ? ours.back() : theirs.back();
            });
        };
        tell(application_data, "pay 100;");
        tell(alert, {'\1', '\132'});
        tell(application_data, "second;");
        tell(application_data, "");
        tell(application_data, "third;");
        both.tell([&](const Forger& forger) {
            return &forger == &both.our_forger ? ours[which] : theirs[which];
        });
        EXPECT_EQ(both.our_status, TlsStatus::failed);
        EXPECT_EQ(both.ours.heard, "pay 100;second;third;");
        EXPECT_EQ(both.ours.engine.failure().alert_sent, "bad_record_mac");
    }
}

TEST(RecordOpener, a_key_update_in_however_many_pieces_hands_opening_back_to_OpenSSL) {
    const std::string key_update = {'\x18', '\0', '\0', '\1', '\0'};
    for (const auto& [bytes, arriving] :
         {std::pair{5U, 1'000U}, {5U, 1U}, {5U, 4U}, {5U, 10U}, {4U, 1'000U}, {1U, 3U}}) {
        Both both;
        both.tell_record(application_data, "before");
        for (std::size_t at = 0; at < key_update.size(); at += bytes) {
            const std::string part = key_update.substr(at, bytes);
            both.tell([&](Forger& forger) { return forger.seal(handshake, part); }, 100, arriving);
        }
        EXPECT_EQ(both.our_status, TlsStatus::want_input);
        EXPECT_FALSE(both.ours.engine.reads_directly());
        both.our_forger = Forger(expand_label(both.ours.secret, "traffic upd", 32));
        both.their_forger = Forger(expand_label(both.openssls.secret, "traffic upd", 32));
        both.tell_record(application_data, " behind");
        EXPECT_EQ(both.ours.heard, "before behind");
    }
}

TEST(RecordOpener, broken_rules_are_answered_as_OpenSSL_answers_them) {
    const std::vector<std::pair<const char*, std::string>> inners = {
        {"only padding", std::string(20, '\0')},
        {"one zero", std::string(1, '\0')},
        {"unknown type", "data\x63"},
        {"change_cipher_spec inside", std::string("\1\x14")},
        {"too much data", std::string(16'385, 'x') + '\x17'},
        {"a ClientHello", std::string("\1\0\0\1\0", 5) + '\x16'},
        {"two key updates in a record", std::string("\x18\0\0\1\0\x18\0\0\1\0", 10) + '\x16'},
        {"a key update for nobody", std::string("\x18\0\0\1\7", 5) + '\x16'},
        {"a short alert", std::string("\1\x15")},
        {"an empty alert", std::string("\x15")},
        {"an empty handshake record", std::string("\x16")},
    };
    for (const auto& [opening, after_data] :
         {std::pair(false, false), {false, true}, {true, false}}) {
        for (const auto& [name, inner] : inners) {
            SCOPED_TRACE(name);
            Both both(opening);
            if (after_data) {
                both.tell_record(application_data, "before");
            }
            both.tell([&](Forger& forger) { return forger.seal(inner); });
            EXPECT_EQ(both.our_status, TlsStatus::failed);
        }
    }
}

TEST(RecordOpener, what_is_no_record_of_ours_is_answered_as_OpenSSL_answers_it) {
    const std::vector<std::pair<const char*, std::string>> all = {
        {"a flipped bit", "\x17\3\3" + std::string("\0\x20", 2) + std::string(32, 'x')},
        {"plain HTTP", "GET / HTTP/1.1\r\n\r\n"},
        {"another version", "\x17\3\1" + std::string("\0\x20", 2) + std::string(32, 'x')},
        {"too long", std::string("\x17\3\3\x41\1") + std::string(16'641, 'x')},
        {"too short for a tag", "\x17\3\3" + std::string("\0\x10", 2) + std::string(16, 'x')},
        {"empty", "\x17\3\3" + std::string("\0\0", 2)},
        {"a plain alert", "\x15\3\3" + std::string("\0\2\2\0", 4)},
        {"a change_cipher_spec", "\x14\3\3" + std::string("\0\1\1", 3)},
        {"a plain handshake record", "\x16\3\3" + std::string("\0\5\x18\0\0\1\0", 7)},
    };
    for (const bool after_data : {false, true}) {
        for (const auto& [name, bytes] : all) {
            for (const std::size_t piece : {1U, 7U, 100'000U}) {
                SCOPED_TRACE(name);
                Both both(after_data);
                if (after_data) {
                    both.tell_record(application_data, "before");
                }
                both.tell([&](Forger&) { return bytes; }, 100, piece);
                EXPECT_EQ(both.our_status, TlsStatus::failed);
                EXPECT_EQ(both.ours.heard, after_data ? "before" : "");
            }
        }
    }
}

TEST(RecordOpener, random_conversations_come_out_as_with_OpenSSL) {
    for (unsigned seed = 0; seed < 300; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        const auto below = [&](std::size_t limit) { return std::size_t{random()} % limit; };
        Both both(seed % 2 == 0);
        for (int step = 0; step < 30 && both.our_status == TlsStatus::want_input; ++step) {
            std::vector<std::pair<std::uint8_t, std::string>> records;
            for (std::size_t i = below(4) + 1; i != 0; --i) {
                const std::size_t kind = below(40);
                const std::size_t size = below(10) == 0 ? below(16'385) : below(200);
                if (kind == 0) {
                    records.emplace_back(alert, std::string{'\1', '\132'});
                } else if (kind == 1) {
                    records.emplace_back(static_cast<std::uint8_t>(below(256)), pattern(size));
                } else {
                    records.emplace_back(application_data, pattern(size));
                }
            }
            const bool flips = below(100) == 0;
            const std::size_t padding = below(8) == 0 ? below(300) : 0;
            const std::size_t at = below(10'000);
            both.tell(
                [&](Forger& forger) {
                    std::string bytes;
                    for (const auto& [type, data] : records) {
                        bytes += forger.seal(type, data,
                                             std::min(padding, std::size_t{16'384} - data.size()));
                    }
                    if (flips) {
                        char& byte = bytes[at % bytes.size()];
                        byte = static_cast<char>(byte ^ 1);
                    }
                    return bytes;
                },
                below(300) + 1, below(2) == 0 ? 1'000'000 : below(2'000) + 1);
            both.ours.engine.keep_buffers(below(2) == 0);
            if (testing::Test::HasFatalFailure()) {
                return;
            }
        }
    }
}

TEST(RecordOpener, records_that_OpenSSL_opened_before_do_not_matter) {
    using Record = std::pair<std::uint8_t, std::string>;
    const std::vector<Record> kinds = {
        {application_data, "a message"}, {application_data, "x"},
        {application_data, ""},          {application_data, pattern(1'000)},
        {alert, {'\1', '\132'}},         {alert, {'\1', '\0'}},
        {alert, {'\2', '\50'}},          {handshake, {'\30', '\0', '\0', '\1', '\0'}}};
    for (const Record& first : kinds) {
        for (const Record& second : kinds) {
            for (const std::size_t room : {10U, 2'000U}) {
                Both both(false);
                for (const Record& record : {first, second, Record{application_data, "y"}, first}) {
                    if (both.our_status == TlsStatus::want_input) {
                        both.tell(
                            [&](Forger& forger) {
                                return forger.seal(record.first, record.second);
                            },
                            room);
                    }
                }
                if (testing::Test::HasFatalFailure()) {
                    return;
                }
            }
        }
    }
}

TEST(RecordOpener, a_message_that_is_read_in_parts_may_be_followed_by_another_meanwhile) {
    Both both;
    const std::string first = both.our_forger.seal(application_data, "in two parts");
    const std::string second = both.our_forger.seal(application_data, ", and on");
    TlsEngine& engine = both.ours.engine;
    std::array<std::byte, 6> room{};
    std::size_t count = 0;
    engine.set_input(as_bytes(first));
    EXPECT_EQ(engine.read(room, count), TlsStatus::done);
    EXPECT_EQ(as_text(Bytes(room).first(count)), "in two");
    both.ours.heard = "in two";
    EXPECT_EQ(both.ours.hear(second, 100), TlsStatus::want_input);
    EXPECT_EQ(both.ours.heard, "in two parts, and on");
}

TEST(RecordOpener, connections_that_ask_for_certificates_leave_opening_to_OpenSSL) {
    const TlsContext strict = usual_server(TlsOptions()
                                               .certificate_authority_file(pki().root_file())
                                               .client_certificates(ClientCertificates::optional));
    detail::TlsRecordOfTroubles troubles;
    const detail::SslPtr ssl =
        detail::make_ssl(strict, {.server_side = true, .host = {}, .port = 0}, troubles);
    SSL_CTX* const before = SSL_get_SSL_CTX(ssl.get());
    detail::ask_for_peer_secret(*ssl);
    EXPECT_EQ(SSL_get_SSL_CTX(ssl.get()), before);
}

/// Who opens what arrives, and who seals what leaves.
std::pair<bool, bool> own_record_layer(const TlsContext& server, const std::string& name = "") {
    const Hearer hearer(server, name);
    return {hearer.engine.reads_directly(), hearer.engine.writes_directly()};
}

TEST(RecordOpener, the_context_chosen_by_name_decides_who_opens_and_seals) {
    const TlsContext ours = usual_server();
    const TlsContext openssls = usual_server(TlsOptions().openssl_record_layer(true));
    EXPECT_EQ(own_record_layer(ours), std::pair(true, true));
    EXPECT_EQ(own_record_layer(openssls), std::pair(false, false));
    const TlsContext mixed = usual_server(TlsOptions().server_name("plain.test", openssls));
    EXPECT_EQ(own_record_layer(mixed, "plain.test"), std::pair(false, false));
    EXPECT_EQ(own_record_layer(mixed, "example.test"), std::pair(true, true));
    const TlsContext reversed =
        usual_server(TlsOptions().openssl_record_layer(true).server_name("fast.test", ours));
    EXPECT_EQ(own_record_layer(reversed, "fast.test"), std::pair(true, true));
}

TEST(RecordOpener, what_native_handle_changes_is_respected) {
    const TlsContext greedy = usual_server();
    SSL_CTX_set_read_ahead(greedy.native_handle(), 1);
    EXPECT_EQ(own_record_layer(greedy), std::pair(false, true)) << "OpenSSL may have read data";
    const TlsContext logging = usual_server();
    static int lines = 0;
    SSL_CTX_set_keylog_callback(logging.native_handle(), [](const SSL*, const char*) { ++lines; });
    EXPECT_EQ(own_record_layer(logging), std::pair(false, true));
    EXPECT_EQ(lines, 5) << "no line is missing";
}

TEST(RecordOpener, a_secret_of_an_unknown_suite_is_declined) {
    const std::string secret(32, 's');
    EXPECT_EQ(RecordOpener::make(0x1304, as_bytes(secret), 0), nullptr);
    EXPECT_EQ(RecordOpener::make(0xc02f, as_bytes(secret), 0), nullptr);
    EXPECT_NE(RecordOpener::make(0x1301, as_bytes(secret), 0), nullptr);
}

}  // namespace
}  // namespace sluice::test
