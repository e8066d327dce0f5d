// The TLS engine on its own: no socket, no loop, no transport. Any cutting of the ciphertext gives
// the same result, every status means what the header says, and a failed engine stays failed.
//
// The client engine's input is the server engine's output and the other way round; foreign peers are
// in the conformance tests.
#include <sluice/detail/tls_engine.hpp>
#include <sluice/detail/tls_transport.hpp>
#include <sluice/limits.hpp>
#include <sluice/tls.hpp>

#include "tls_pair.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::test {
namespace {

using detail::TlsEngine;
using detail::TlsStatus;

/// An engine, what came out of it, and what it has not been given yet.
class End final : public detail::TlsOutput {
public:
    End(const TlsContext& context, const detail::TlsEndpoint& endpoint)
        : engine_(context, endpoint, *this) {}

    [[nodiscard]] bool sealed(Bytes ciphertext) noexcept override {
        if (refuses_output) {
            return false;
        }
        output += as_text(ciphertext);
        return true;
    }
    /// Lends it `bytes` and lets `operation` run; keeps what it has not consumed.
    template <class Operation>
    auto with(std::string_view bytes, Operation&& operation) {
        waiting_ += bytes;
        const std::string lent = std::exchange(waiting_, {});
        engine_.set_input(as_bytes(lent));
        auto result = operation(engine_);
        waiting_ = as_text(engine_.input());
        engine_.set_input({});
        return result;
    }
    TlsStatus handshake(std::string_view bytes = {}) {
        return with(bytes, [](TlsEngine& engine) { return engine.handshake(); });
    }
    /// Reads with this much room at a time until something stops it.
    TlsStatus read(std::string_view bytes, std::string& plaintext, std::size_t room = 1024) {
        return with(bytes, [&](TlsEngine& engine) {
            std::vector<std::byte> space(room);
            TlsStatus status = TlsStatus::done;
            while (status == TlsStatus::done) {
                std::size_t count = 0;
                status = engine.read(space, count);
                EXPECT_LE(count, room);
                EXPECT_TRUE(status != TlsStatus::done || count == room) << "done means full";
                plaintext += as_text(Bytes(space).first(count));
            }
            return status;
        });
    }
    TlsStatus write(std::string_view text) {
        std::size_t count = 0;
        const TlsStatus status = engine_.write(as_bytes(text), count);
        EXPECT_TRUE(status != TlsStatus::done || count == text.size());
        return status;
    }
    std::string take_output() { return std::exchange(output, {}); }
    [[nodiscard]] TlsEngine& engine() noexcept { return engine_; }
    [[nodiscard]] bool has_input() const noexcept { return !waiting_.empty(); }

    std::string output;
    bool refuses_output = false;

private:
    std::string waiting_;
    TlsEngine engine_;
};

const TlsContext& client_context() {
    static const TlsContext context =
        TlsContext::client(trusting_client().session_resumption(false));
    return context;
}

const TlsContext& server_context() {
    static const TlsContext context = usual_server();
    return context;
}

struct Ends {
    End client{client_context(), {.server_side = false, .host = "example.test", .port = 443}};
    End server{server_context(), {.server_side = true, .host = {}, .port = 0}};

    /// Whole flights, until both are open.
    void shake_hands() {
        std::string nothing;
        ASSERT_EQ(client.handshake(), TlsStatus::want_input);
        ASSERT_EQ(server.handshake(client.take_output()), TlsStatus::want_input);
        ASSERT_EQ(client.handshake(server.take_output()), TlsStatus::done);
        ASSERT_EQ(server.handshake(client.take_output()), TlsStatus::done);
        ASSERT_EQ(client.read(server.take_output(), nothing), TlsStatus::want_input);
        ASSERT_EQ(nothing, "");
    }
};

std::string numbered(std::size_t size, unsigned seed = 0) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
        text[i] = static_cast<char>(i * 31 + seed + (i >> 8));
    }
    return text;
}

TEST(TlsEngine, four_steps_make_a_connection_and_bytes_go_both_ways) {
    Ends ends;
    ends.shake_hands();
    EXPECT_EQ(ends.client.engine().info(0).version(), "TLSv1.3");
    const std::string text = numbered(100'000);
    ASSERT_EQ(ends.client.write(text), TlsStatus::done);
    std::string received;
    EXPECT_EQ(ends.server.read(ends.client.take_output(), received), TlsStatus::want_input);
    EXPECT_EQ(received, text);
    ASSERT_EQ(ends.server.write(text), TlsStatus::done);
    received.clear();
    EXPECT_EQ(ends.client.read(ends.server.take_output(), received, 7), TlsStatus::want_input);
    EXPECT_EQ(received, text);
    EXPECT_FALSE(ends.client.engine().failure());
}

TEST(TlsEngine, where_the_users_buffers_lie_in_their_pages_changes_nothing) {
    Ends ends;
    ends.shake_hands();
    const std::string text = numbered(40'000);
    std::vector<std::byte> memory(text.size() + 2 * 4096);
    const auto misaligned = reinterpret_cast<std::uintptr_t>(memory.data()) % 4096;
    for (std::size_t offset = 0; offset < 4096; offset += 16) {
        SCOPED_TRACE(offset);
        const MutableBytes place =
            MutableBytes(memory).subspan(4096 - misaligned + offset, text.size());
        std::ranges::copy(as_bytes(text), place.begin());
        ASSERT_EQ(ends.client.write(as_text(place)), TlsStatus::done);
        std::ranges::fill(place, std::byte{});
        const auto status = ends.server.with(ends.client.take_output(), [&](TlsEngine& engine) {
            std::size_t count = 0;
            const TlsStatus read = engine.read(place, count);
            EXPECT_EQ(count, text.size());
            return read;
        });
        EXPECT_NE(status, TlsStatus::failed);
        ASSERT_EQ(as_text(place), text);
    }
}

TEST(TlsEngine, a_thousand_random_cuttings_of_a_connection_change_nothing) {
    for (unsigned seed = 0; seed < 1000; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        Ends ends;
        const std::string question = numbered(random() % 6'000 + 1, seed);
        const std::string answer = numbered(random() % 6'000 + 1, seed + 1);
        std::string to_server;
        std::string to_client;
        std::string at_server;
        std::string at_client;
        bool client_open = false;
        bool server_open = false;
        const auto piece_of = [&](std::string& waiting) {
            // Seed 0 goes byte by byte.
            const std::size_t most = seed == 0 ? 1 : random() % (1 + random() % 5'000) + 1;
            std::string piece = waiting.substr(0, most);
            waiting.erase(0, most);
            return piece;
        };
        const auto step = [&](End& end, bool& open, std::string& in, std::string& out,
                              const std::string& says, std::string& hears) {
            const std::string piece = piece_of(in);
            TlsStatus status = TlsStatus::want_input;
            if (!open) {
                status = end.handshake(piece);
                if (status == TlsStatus::done) {
                    open = true;
                    ASSERT_EQ(end.write(says), TlsStatus::done);
                    status = end.read({}, hears, random() % 3'000 + 1);
                }
            } else {
                status = end.read(piece, hears, random() % 3'000 + 1);
            }
            ASSERT_EQ(status, TlsStatus::want_input) << end.engine().failure().text;
            EXPECT_FALSE(end.has_input()) << "want_input with input left";
            out += end.take_output();
        };
        for (int i = 0; i < 200'000 && !HasFatalFailure(); ++i) {
            step(ends.client, client_open, to_client, to_server, question, at_client);
            step(ends.server, server_open, to_server, to_client, answer, at_server);
            if (at_server.size() == question.size() && at_client.size() == answer.size()) {
                break;
            }
        }
        ASSERT_EQ(at_server, question);
        ASSERT_EQ(at_client, answer);
    }
}

TEST(TlsEngine, full_records_are_made_of_large_writes) {
    Ends ends;
    ends.shake_hands();
    ASSERT_EQ(ends.client.write(numbered(4 * limits::tls_record_bytes)), TlsStatus::done);
    // Header, type and tag of a TLS 1.3 record (RFC 8446, 5.2).
    EXPECT_EQ(ends.client.output.size(), 4 * (limits::tls_record_bytes + 5 + 17));
}

TEST(TlsEngine, both_close_notifies_are_needed_for_a_complete_shutdown) {
    Ends ends;
    ends.shake_hands();
    EXPECT_EQ(ends.client.engine().shutdown(), TlsStatus::want_input);
    std::string received;
    EXPECT_EQ(ends.server.read(ends.client.take_output(), received), TlsStatus::peer_closed);
    EXPECT_EQ(ends.server.read({}, received), TlsStatus::peer_closed) << "it stays so";
    EXPECT_EQ(ends.server.write("the last words"), TlsStatus::done) << "its own half is open";
    EXPECT_EQ(ends.server.engine().shutdown(), TlsStatus::done);
    EXPECT_EQ(ends.client.read(ends.server.take_output(), received), TlsStatus::peer_closed);
    EXPECT_EQ(received, "the last words");
    EXPECT_EQ(ends.client.engine().shutdown(), TlsStatus::done);
    EXPECT_EQ(ends.client.output, "") << "close_notify is sent once";
}

TEST(TlsEngine, a_failure_is_final_described_and_says_an_alert) {
    Ends ends;
    ends.shake_hands();
    ASSERT_EQ(ends.client.write("secret"), TlsStatus::done);
    std::string forged = ends.client.take_output();
    forged.back() = static_cast<char>(forged.back() ^ 1);
    std::string received;
    EXPECT_EQ(ends.server.read(forged, received), TlsStatus::failed);
    EXPECT_EQ(received, "");
    const TlsFailure failure = ends.server.engine().failure();
    EXPECT_EQ(failure.phase, "data");
    EXPECT_EQ(failure.alert_sent, "bad_record_mac");
    EXPECT_EQ(ends.server.engine().failure_code(), Error::tls_protocol_error);
    const std::string alert = ends.server.take_output();
    EXPECT_EQ(ends.client.read(alert, received), TlsStatus::failed);
    EXPECT_EQ(ends.client.engine().failure().alert_received, "bad_record_mac");
    // Whatever comes next.
    EXPECT_EQ(ends.server.write("more"), TlsStatus::failed);
    EXPECT_EQ(ends.server.read(alert, received), TlsStatus::failed);
    EXPECT_EQ(ends.server.handshake(), TlsStatus::failed);
    EXPECT_EQ(ends.server.engine().failure().text, failure.text) << "the first reason stays";
    EXPECT_EQ(ends.server.output, "");
}

TEST(TlsEngine, a_failure_after_our_close_notify_is_final_too) {
    Ends ends;
    ends.shake_hands();
    EXPECT_EQ(ends.server.engine().shutdown(), TlsStatus::want_input);
    std::string received;
    EXPECT_EQ(ends.server.read("no record at all", received), TlsStatus::failed);
    EXPECT_EQ(ends.server.engine().shutdown(), TlsStatus::failed);
}

TEST(TlsEngine, output_that_cannot_be_kept_is_the_end) {
    Ends ends;
    ends.shake_hands();
    ends.client.refuses_output = true;
    EXPECT_EQ(ends.client.write("lost"), TlsStatus::failed);
    EXPECT_EQ(ends.client.engine().failure_code(), std::errc::not_enough_memory);
    ends.client.refuses_output = false;
    EXPECT_EQ(ends.client.write("again"), TlsStatus::failed) << "a record is missing";
    EXPECT_EQ(ends.client.output, "");
}

TEST(TlsEngine, operations_before_the_handshake_is_complete_continue_it) {
    Ends ends;
    std::string received;
    std::size_t count = 1;
    // Reading and writing are allowed any time: they shake hands first, and need input for that.
    EXPECT_EQ(ends.client.engine().write(as_bytes("early"), count), TlsStatus::want_input);
    EXPECT_EQ(count, 0U);
    EXPECT_EQ(ends.server.read(ends.client.take_output(), received), TlsStatus::want_input);
    EXPECT_EQ(ends.client.read(ends.server.take_output(), received), TlsStatus::want_input);
    EXPECT_EQ(ends.client.write("early"), TlsStatus::done);
    EXPECT_EQ(ends.server.read(ends.client.take_output(), received), TlsStatus::want_input);
    EXPECT_EQ(received, "early");
}

TEST(TlsEngine, buffers_may_be_kept_or_dropped_between_any_two_pieces) {
    Ends ends;
    ends.shake_hands();
    const std::string text = numbered(50'000);
    ASSERT_EQ(ends.client.write(text), TlsStatus::done);
    const std::string wire = ends.client.take_output();
    std::string received;
    std::mt19937 random(1);
    for (std::size_t offset = 0; offset < wire.size();) {
        ends.server.engine().keep_buffers(random() % 2 == 0);
        const std::size_t size = random() % 9'000 + 1;
        ASSERT_EQ(ends.server.read(std::string_view(wire).substr(offset, size), received),
                  TlsStatus::want_input);
        offset += size;
    }
    EXPECT_EQ(received, text);
}

TEST(TlsEngine, two_engines_do_not_mistake_each_others_errors_for_their_own) {
    Ends good;
    good.shake_hands();
    Ends bad;
    std::string received;
    EXPECT_EQ(bad.server.handshake("GET / HTTP/1.1\r\n\r\n"), TlsStatus::failed);
    EXPECT_EQ(good.server.read({}, received), TlsStatus::want_input);
    ASSERT_EQ(good.client.write("fine"), TlsStatus::done);
    EXPECT_EQ(bad.server.handshake("more of it"), TlsStatus::failed);
    EXPECT_EQ(good.server.read(good.client.take_output(), received), TlsStatus::want_input);
    EXPECT_EQ(received, "fine");
}

/// docs/performance.md, part TLS: 15 KiB for an idle connection, of which OpenSSL takes 13.4. What is
/// rare belongs behind a pointer.
TEST(TlsEngine, what_every_idle_connection_holds_stays_small) {
    EXPECT_LE(sizeof(detail::TlsRecordOfTroubles), 88);
    EXPECT_LE(sizeof(TlsEngine), 264);
    EXPECT_LE(sizeof(detail::TlsTransport), 808);
    EXPECT_LE(sizeof(detail::RecordOpener), 176);
    EXPECT_LE(sizeof(detail::RecordSealer), 80);
}

}  // namespace
}  // namespace sluice::test
