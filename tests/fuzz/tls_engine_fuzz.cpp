// A libFuzzer target for the TLS engine. The first byte of an input chooses what the rest is: what a
// server sends to a client of ours, what a client sends to a server of ours, or a sequence of
// operations on a connected pair with a man in the middle.
//
// Beyond crashes it checks what tls_engine.hpp promises. It knows no transport and no socket. How to
// run it: tests/fuzz/run.sh.
#include <sluice/detail/tls_engine.hpp>
#include <sluice/tls.hpp>

#include "support/tls_pki.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#ifndef SLUICE_HEADER_ONLY
#error "the library must be compiled into the target, with the fuzzer's instrumentation"
#endif

namespace {

using sluice::Bytes;
using sluice::TlsContext;
using sluice::TlsOptions;
using sluice::detail::TlsEngine;
using sluice::detail::TlsStatus;

void require(bool condition, const char* promise) {
    if (!condition) {
        std::fprintf(stderr, "broken promise: %s\n", promise);
        std::abort();
    }
}

/// The bytes of an input, one decision after the other; zeros when they are used up.
class Decisions {
public:
    Decisions(const std::uint8_t* data, std::size_t size) : left_(data, size) {}

    [[nodiscard]] bool empty() const noexcept { return left_.empty(); }
    std::size_t next() {
        if (left_.empty()) {
            return 0;
        }
        const std::uint8_t value = left_.front();
        left_ = left_.subspan(1);
        return value;
    }
    std::string take(std::size_t count) {
        const auto piece = left_.first(std::min(count, left_.size()));
        left_ = left_.subspan(piece.size());
        return {piece.begin(), piece.end()};
    }

private:
    std::span<const std::uint8_t> left_;
};

/// An engine with its promises watched.
class End final : public sluice::detail::TlsOutput {
public:
    End(const TlsContext& context, const sluice::detail::TlsEndpoint& endpoint)
        : engine_(context, endpoint, *this) {}

    [[nodiscard]] bool sealed(Bytes ciphertext) noexcept override {
        require(!ciphertext.empty(), "only real output is handed over");
        if (refuses_output) {
            return false;
        }
        out += sluice::as_text(ciphertext);
        return true;
    }

    /// Gives it ciphertext in storage that is gone afterwards, as a transport does.
    void feed(std::string_view ciphertext, std::size_t room) {
        const std::string lent = std::exchange(waiting_, {}).append(ciphertext);
        engine_.set_input(sluice::as_bytes(lent));
        if (!open) {
            open = watched(engine_.handshake()) == TlsStatus::done;
        }
        while (open && read_once(room)) {
        }
        waiting_ = sluice::as_text(engine_.input());
        engine_.set_input({});
    }
    void write(std::string_view text) {
        if (!open || closed) {
            return;
        }
        std::size_t count = 0;
        const TlsStatus status = watched(engine_.write(sluice::as_bytes(text), count));
        require(count <= text.size(), "write() takes at most what it is given");
        require(status != TlsStatus::done || count == text.size(), "done means everything taken");
        said.append(text.substr(0, count));
    }
    void shut_down() {
        if (open) {
            closed = true;
            watched(engine_.shutdown());
        }
    }
    void keep_buffers(bool on) { engine_.keep_buffers(on); }

    std::string out;      // ciphertext
    std::string said;     // plaintext written
    std::string heard;    // plaintext read
    bool open = false;    // the handshake is complete
    bool closed = false;  // shut_down() was called
    bool failed = false;
    bool refuses_output = false;

private:
    TlsStatus watched(TlsStatus status) {
        require(!failed || status == TlsStatus::failed, "failed means failed for good");
        if (status == TlsStatus::failed) {
            failed = true;
            require(static_cast<bool>(engine_.failure()), "a failure is described");
            require(static_cast<bool>(engine_.failure_code()), "a failure has a code");
        }
        return status;
    }
    bool read_once(std::size_t room) {
        std::array<std::byte, 20'000> space;
        std::size_t count = 0;
        const sluice::MutableBytes into(space.data(), std::min(room, space.size()));
        const TlsStatus status = watched(engine_.read(into, count));
        require(count <= into.size(), "read() gives at most what there is room for");
        require(status != TlsStatus::done || count == into.size(), "done means full");
        require(status != TlsStatus::want_input || engine_.input().empty(),
                "input is wanted only when there is none");
        heard += sluice::as_text(Bytes(into).first(count));
        return status == TlsStatus::done;
    }

    std::string waiting_;
    TlsEngine engine_;
};

const TlsContext& client_context() {
    static const TlsContext context =
        TlsContext::client(TlsOptions()
                               .certificate_authority_file(sluice::test::pki().root_file())
                               .session_resumption(false)
                               .alpn({"h2", "http/1.1"}));
    return context;
}

const TlsContext& server_context() {
    static const TlsContext context = TlsContext::server(
        sluice::test::pki().server().certificate_file, sluice::test::pki().server().key_file,
        TlsOptions().alpn({"h2", "http/1.1"}));
    return context;
}

End make_client() {
    return {client_context(), {.server_side = false, .host = "example.test", .port = 443}};
}

End make_server() {
    return {server_context(), {.server_side = true, .host = {}, .port = 0}};
}

/// A stranger's bytes, in pieces.
void feed_bytes(End& end, Decisions& decisions) {
    end.feed({}, 1);
    for (std::size_t size = decisions.next(); !decisions.empty(); size = decisions.next()) {
        end.feed(decisions.take(size + 1), 1 + size * 64);
    }
    require(end.heard.empty(), "a stranger without keys says nothing");
}

void mangle(std::string& wire, Decisions& decisions, bool& mangled) {
    const std::size_t kind = decisions.next() % 3;
    if (wire.empty()) {
        return;
    }
    const std::size_t place = (decisions.next() * 256 + decisions.next()) % wire.size();
    mangled = true;
    if (kind == 0) {
        wire[place] = static_cast<char>(wire[place] ^ (1 << decisions.next() % 8));
    } else if (kind == 1) {
        wire.erase(place, decisions.next() + 1);
    } else {
        wire.insert(place, decisions.take(decisions.next() + 1));
    }
}

/// What can be done to two engines and the wire between them.
void run_operations(Decisions& decisions) {
    End client = make_client();
    End server = make_server();
    client.feed({}, 1);
    bool mangled = false;
    bool refused = false;
    std::string to_server;
    std::string to_client;
    while (!decisions.empty()) {
        to_server += std::exchange(client.out, {});
        to_client += std::exchange(server.out, {});
        const std::size_t operation = decisions.next();
        const bool at_client = operation % 2 == 0;
        End& end = at_client ? client : server;
        std::string& incoming = at_client ? to_client : to_server;
        switch (operation / 2 % 8) {
            case 0:
            case 1: {
                const std::size_t size = std::min(decisions.next() * 100 + 1, incoming.size());
                const std::string piece = incoming.substr(0, size);
                incoming.erase(0, size);
                end.feed(piece, decisions.next() * 80 + 1);
                break;
            }
            case 2:
                end.feed(std::exchange(incoming, {}), 20'000);
                break;
            case 3:
                end.write(std::string(decisions.next() * 150 + 1, static_cast<char>(operation)));
                break;
            case 4:
                end.shut_down();
                break;
            case 5:
                end.keep_buffers(decisions.next() % 2 == 0);
                break;
            case 6:
                mangle(incoming, decisions, mangled);
                break;
            default:
                // Rarely, or nothing else would ever be tried.
                if (decisions.next() == 0xff) {
                    end.refuses_output = refused = true;
                }
                break;
        }
        require(client.said.starts_with(server.heard), "a prefix is heard at the server");
        require(server.said.starts_with(client.heard), "a prefix is heard at the client");
        require(mangled || refused || (!client.failed && !server.failed),
                "honest ends do not fail each other");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Decisions decisions(data, size);
    switch (decisions.next() % 3) {
        case 0: {
            End client = make_client();
            feed_bytes(client, decisions);
            break;
        }
        case 1: {
            End server = make_server();
            feed_bytes(server, decisions);
            break;
        }
        default:
            run_operations(decisions);
            break;
    }
    return 0;
}
