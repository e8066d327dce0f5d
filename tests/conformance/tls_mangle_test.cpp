// A man in the middle between our own client and server (reliability D1, D2, D11): whatever he does
// to the bytes, what is delivered is a prefix of what was sent, and nothing false is called a clean
// end. With splitting, merging and delays alone nothing changes at all.
//
// What is in the bytes is of no interest here; every case runs over many seeds.
#include "support/tls_fixture.hpp"

#include <algorithm>
#include <random>

namespace sluice::test {
namespace {

class TlsMangle : public TlsTest {
protected:
    struct Ends {
        Recorder* client = nullptr;
        Recorder* server = nullptr;
    };

    /// Both ends over the man in the middle.
    Ends join(TlsLink& link) {
        const std::size_t known = connections().size();
        Ends ends;
        ends.client = &connect(link);
        run_with(link,
                 [&] { return connections().size() > known && connections().back()->made(); });
        ends.server = connections().back();
        return ends;
    }
    bool both_lost(const Ends& ends) { return ends.client->lost() && ends.server->lost(); }

    /// Expects a prefix of `sent`, and an end that nobody takes for a clean one.
    static void expect_harmless(const Recorder& recorder, const std::string& sent) {
        EXPECT_EQ(recorder.received(), sent.substr(0, recorder.received().size()));
        if (recorder.received().size() < sent.size()) {
            EXPECT_TRUE(recorder.reason()) << recorder.trace();
        }
    }
};
INSTANTIATE_TEST_SUITE_P(Every, TlsMangle, testing::ValuesIn(backends()), backend_case_name);

TEST_P(TlsMangle, D1_splitting_merging_and_delaying_change_nothing) {
    const Ref<Server> server = serve(secure_server());
    for (unsigned seed = 0; seed < 30; ++seed) {
        SCOPED_TRACE(seed);
        TlsLink link(port_of(server));
        std::mt19937 random(seed);
        link.mangle = [&](Direction, std::string& waiting) {
            // Now and then a piece of any size, from one byte to everything that waits.
            std::string piece;
            if (random() % 3 == 0) {
                const std::size_t size = random() % 2 == 0 ? random() % 64 + 1 : random() % 70'000;
                piece = waiting.substr(0, size);
                waiting.erase(0, piece.size());
            }
            return piece;
        };
        const Ends ends = join(link);
        const std::string question = pattern(100'000, seed);
        const std::string answer = pattern(200'000, seed + 1000);
        ends.client->transport().write(question);
        ends.server->transport().write(answer);
        ends.server->on_eof = [&] { return false; };
        ASSERT_TRUE(run_with(link, [&] {
            return ends.server->received().size() == question.size() &&
                   ends.client->received().size() == answer.size();
        }));
        ends.client->transport().close();
        ASSERT_TRUE(run_with(link, [&] { return both_lost(ends); }));
        EXPECT_EQ(ends.server->received(), question);
        EXPECT_EQ(ends.client->received(), answer);
        EXPECT_EQ(ends.client->reason(), std::error_code());
        EXPECT_EQ(ends.server->reason(), std::error_code());
    }
    shut_down(server);
}

TEST_P(TlsMangle, D11_any_flipped_bit_of_a_record_is_noticed_and_nothing_of_it_delivered) {
    const Ref<Server> server = serve(secure_server());
    // Header, ciphertext and tag of a record with 100 bytes in it.
    constexpr std::size_t record_bytes = 5 + 100 + 17;
    for (std::size_t offset = 0; offset < record_bytes; ++offset) {
        SCOPED_TRACE(offset);
        TlsLink link(port_of(server));
        const Ends ends = join(link);
        ends.client->transport().write(pattern(50));
        ASSERT_TRUE(run_with(link, [&] { return ends.server->received().size() == 50; }));
        std::size_t seen = 0;
        link.mangle = [&](Direction direction, std::string& waiting) {
            std::string piece = std::exchange(waiting, {});
            if (direction == Direction::to_server) {
                if (offset >= seen && offset - seen < piece.size()) {
                    piece[offset - seen] =
                        static_cast<char>(piece[offset - seen] ^ (1 << offset % 8));
                }
                seen += piece.size();
            }
            return piece;
        };
        ends.client->transport().write(pattern(100));
        // A length that has become larger makes it wait for bytes that belong to the next records.
        ASSERT_TRUE(run_with(link, [&] {
            if (seen < 40'000 && !ends.client->transport().is_closing()) {
                ends.client->transport().write(pattern(10'000));
            }
            return ends.server->lost();
        }));
        EXPECT_EQ(ends.server->received(), pattern(50));
        EXPECT_EQ(ends.server->count('E'), 0U);
        EXPECT_EQ(ends.server->reason(), Error::tls_protocol_error);
        ASSERT_TRUE(run_with(link, [&] { return ends.client->lost(); }));
    }
    shut_down(server);
}

TEST_P(TlsMangle, D11_flipping_any_bit_of_a_whole_connection_delivers_nothing_false) {
    const Ref<Server> server = serve(secure_server());
    // A resumed handshake is shorter by an unknown amount.
    const ConnectOptions options = client_with(trusting().session_resumption(false));
    const std::string question = pattern(2'000, 1);
    const std::string answer = pattern(3'000, 2);
    int refused = 0;
    for (unsigned seed = 0; seed < 200; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        TlsLink link(port_of(server));
        const Direction where = random() % 2 == 0 ? Direction::to_server : Direction::to_client;
        // Somewhere in what one side says in such a connection.
        const std::size_t offset = random() % (where == Direction::to_server ? 2'500 : 4'500);
        std::size_t seen = 0;
        link.mangle = [&](Direction direction, std::string& waiting) {
            std::string piece = std::exchange(waiting, {});
            if (direction == where) {
                if (offset >= seen && offset - seen < piece.size()) {
                    piece[offset - seen] =
                        static_cast<char>(piece[offset - seen] ^ (1 << seed % 8));
                }
                seen += piece.size();
            }
            return piece;
        };
        const std::size_t known = connections().size();
        Recorder& client = make_recorder();
        client.on_made = [&](Transport& transport) { transport.write(question); };
        client.on_data = [&](Bytes) {
            if (client.received().size() == answer.size()) {
                client.transport().close();
            }
        };
        auto connecting = loop().create_task(loop().create_connection<RecordingProtocol>(
            "127.0.0.1", link.port(), options, &client));
        int rounds = 0;
        ASSERT_TRUE(run_with(link, [&] {
            if (connections().size() > known && connections().back()->made() &&
                !connections().back()->on_data) {
                Recorder& told = *connections().back();
                told.on_data = [&told, &question, &answer](Bytes) {
                    if (told.received().size() == question.size()) {
                        told.transport().write(answer);
                    }
                };
                told.on_data({});
            }
            // A length that has grown leaves both waiting; then the man in the middle hangs up.
            if (++rounds == 300) {
                link.cut();
            }
            const bool server_over = connections().size() == known || connections().back()->lost();
            return connecting.done() && (!client.made() || client.lost()) && server_over &&
                   server->connection_count() == 0;
        })) << client.trace();
        if (connecting.exception()) {
            ++refused;
            EXPECT_THROW(connecting.result(), TlsError);
        } else {
            expect_harmless(client, answer);
        }
        if (connections().size() > known) {
            expect_harmless(*connections().back(), question);
        }
    }
    EXPECT_GT(refused, 10) << "hardly any handshake was hit";
    EXPECT_LT(refused, 190) << "hardly any data was hit";
    EXPECT_EQ(loop().counters().exceptions_reported, 0U);
    shut_down(server);
}

TEST_P(TlsMangle, D2_injected_bytes_end_the_connection_and_are_not_delivered) {
    const Ref<Server> server = serve(secure_server());
    for (unsigned seed = 0; seed < 50; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        TlsLink link(port_of(server));
        const Ends ends = join(link);
        const std::string text = pattern(60'000, seed);
        const std::size_t offset = random() % text.size();
        const std::string foreign = pattern(random() % 100 + 1, seed + 1);
        std::size_t seen = 0;
        bool injected = false;
        link.mangle = [&](Direction direction, std::string& waiting) {
            std::string piece = std::exchange(waiting, {});
            if (direction == Direction::to_server) {
                if (!injected && offset < seen + piece.size()) {
                    piece.insert(offset - seen, foreign);
                    injected = true;
                }
                seen += piece.size();
            }
            return piece;
        };
        ends.client->transport().write(text);
        ends.client->transport().close();
        ASSERT_TRUE(run_with(link, [&] { return both_lost(ends); }));
        EXPECT_TRUE(injected);
        EXPECT_LT(ends.server->received().size(), text.size());
        expect_harmless(*ends.server, text);
        EXPECT_TRUE(ends.server->reason() == Error::tls_protocol_error ||
                    ends.server->reason() == Error::tls_truncated)
            << ends.server->reason().message();
    }
    shut_down(server);
}

TEST_P(TlsMangle, cutting_anywhere_is_an_error_for_connecting_or_a_truncation) {
    const Ref<Server> server = serve(secure_server());
    const ConnectOptions options = client_with(trusting().session_resumption(false));
    const std::string text = pattern(9'000);
    int refused = 0;
    for (std::size_t limit = 0; limit < 7'000; limit += 97) {
        for (const bool by_reset : {false, true}) {
            SCOPED_TRACE(std::to_string(limit) + (by_reset ? " reset" : " cut"));
            TlsLink link(port_of(server));
            // Both directions together may pass this much.
            std::size_t left = limit;
            link.mangle = [&](Direction, std::string& waiting) {
                std::string piece = waiting.substr(0, left);
                left -= piece.size();
                waiting.erase(0, piece.size());
                return piece;
            };
            const std::size_t known = connections().size();
            Recorder& client = make_recorder();
            client.on_made = [&](Transport& transport) { transport.write(text); };
            auto connecting = loop().create_task(loop().create_connection<RecordingProtocol>(
                "127.0.0.1", link.port(), options, &client));
            ASSERT_TRUE(run_with(link, [&] { return left == 0; }));
            run_with(link, [rounds = 0]() mutable { return ++rounds > 3; });
            by_reset ? link.reset() : link.cut();
            ASSERT_TRUE(run_until([&] {
                return connecting.done() && (!client.made() || client.lost()) &&
                       server->connection_count() == 0;
            }));
            if (connecting.exception()) {
                ++refused;
                const auto error = caught<TlsError>([&] { connecting.result(); });
                ASSERT_TRUE(error);
                EXPECT_EQ(error->code(), std::errc::connection_reset);
            } else {
                EXPECT_TRUE(client.reason() == Error::tls_truncated ||
                            client.reason() == std::errc::connection_reset ||
                            client.reason() == std::errc::broken_pipe)
                    << client.trace();
            }
            if (connections().size() > known) {
                expect_harmless(*connections().back(), text);
                EXPECT_TRUE(connections().back()->reason());
            }
        }
    }
    EXPECT_GT(refused, 5);
    EXPECT_EQ(loop().counters().exceptions_reported, 0U);
    shut_down(server);
}

}  // namespace
}  // namespace sluice::test
