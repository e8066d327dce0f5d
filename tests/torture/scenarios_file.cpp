// Scenarios that send files: by the kernel, in pieces because the kernel refuses, and over TLS; with
// files in memory and files that threads have to read.
//
// Awaited values have names: GCC 12 miscompiles some temporaries in co_await.
#include <sluice/tls.hpp>

#include "torture/scenarios.hpp"
#include "torture/scene.hpp"
#include "torture/stage.hpp"
#include "torture/tls_contexts.hpp"

#include <memory>
#include <string>
#include <system_error>

namespace sluice::test {

namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t file_bytes = 30'000;

/// The byte of the file at `offset`.
std::byte file_byte(std::uint64_t offset) {
    return static_cast<std::byte>(offset * 7 / 3);
}

std::string part_of_file(std::uint64_t offset, std::uint64_t count) {
    std::string part;
    for (std::uint64_t index = 0; index < count; ++index) {
        part += static_cast<char>(file_byte(offset + index));
    }
    return part;
}

Descriptor open_file(Stage& stage) {
    return Descriptor(
        stage.kernel.open_file(file_bytes, [](std::uint64_t offset, MutableBytes into) {
            for (std::byte& byte : into) {
                byte = file_byte(offset++);
            }
        }));
}

Task<std::uint64_t> send(Stage& stage, const Ref<Transport>& transport, const Descriptor& file,
                         std::int64_t offset, std::optional<std::int64_t> count) {
    if (transport->is_closing()) {
        // Whoever sends now makes a mistake.
        throw std::system_error(std::make_error_code(std::errc::connection_aborted));
    }
    return stage.loop.sendfile(transport, file.get(), offset, count,
                               {.fallback = true, .fallback_chunk_size = 4'000});
}

Task<void> send_files(Stage& stage, const std::shared_ptr<std::string>& arrived) {
    const Descriptor file = open_file(stage);
    auto connecting = stage.loop.create_connection<SinkActor>("127.0.0.1", 9000, ConnectOptions(),
                                                              std::ref(stage), 1'000'000U);
    const Connection<SinkActor> connection = co_await connecting;
    const Ref<Transport> transport = connection.transport;
    transport->write("header");
    Task<std::uint64_t> first = send(stage, transport, file, 0, {});
    transport->write("between");
    Task<std::uint64_t> second = send(stage, transport, file, 10'000, 5'000);
    transport->write("trailer");
    const std::uint64_t all = co_await first;
    const std::uint64_t part = co_await second;
    Task<std::uint64_t> nothing = send(stage, transport, file, 30'000, {});
    const std::uint64_t none = co_await nothing;
    transport->close();
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
    // The peer hears of the end a little later.
    co_await sleep(milliseconds(100));
    const std::string expected = "header" + part_of_file(0, file_bytes) + "between" +
                                 part_of_file(10'000, 5'000) + "trailer";
    stage.goal = all == file_bytes && part == 5'000 && none == 0 && *arrived == expected;
}

void play_plain(Stage& stage) {
    stage.kernel.set_capacity(3'000, 9'000);
    stage.kernel.faults.short_write = 200;
    const auto arrived = std::make_shared<std::string>();
    stage.kernel.listen_peer(peer_place, [arrived](SimPeer peer) {
        peer.on_readable([arrived](SimPeer end) {
            *arrived += as_text(end.receive(1'000'000));
            if (end.at_end()) {
                end.close();
            }
        });
    });
    stage.play(send_files(stage, arrived));
}

void sendfile_scenario(Stage& stage) {
    play_plain(stage);
}

void sendfile_in_pieces_scenario(Stage& stage) {
    stage.kernel.faults.unfit_file = 1000;
    stage.kernel.faults.cold_file = 400;
    stage.kernel.faults.short_read = 200;
    play_plain(stage);
}

/// Sends a file to whoever connects, and closes behind it.
class FileActor : public Actor<Protocol> {
public:
    FileActor(Stage& stage, const Descriptor* file) : Actor(stage), file_(*file) {}
    void connection_made(Transport& transport) override {
        Actor::connection_made(transport);
        transport.write("header");
        try {
            transport.sendfile(file_.get(), 0, {}, {.fallback = true, .fallback_chunk_size = 4'000},
                               [this](const SendfileResult& result) { sent(result); });
        } catch (const std::exception&) {
            // No file, no answer; a connection that is closing already does not mind.
            transport.abort();
        }
    }
    void data_received(Bytes) override {}

private:
    void sent(const SendfileResult& result) {
        stage_.received += result.sent;
        // The loss may have come first.
        if (transport_ != nullptr) {
            transport_->close();
        }
    }

    const Descriptor& file_;
};

Task<void> send_file_over_tls(Stage& stage) {
    const Descriptor file = open_file(stage);
    auto starting = stage.loop.create_server<FileActor>(
        "127.0.0.1", 9000, ServerOptions().tls(torture_server_context()), std::ref(stage), &file);
    const Ref<Server> server = co_await starting;
    ConnectOptions options;
    options.tls(torture_client_context()).server_hostname("example.test");
    auto connecting = stage.loop.create_connection<SinkActor>("127.0.0.1", 9000, options,
                                                              std::ref(stage), 1'000'000U);
    const Connection<SinkActor> connection = co_await connecting;
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
    const bool clean = !connection.protocol->reason();
    server->close();
    server->close_clients();
    auto closed = server->wait_closed();
    co_await closed;
    const std::uint64_t arrived = connection.protocol->got();
    stage.goal = clean && arrived == 6 + file_bytes && stage.received == arrived + file_bytes;
}

void sendfile_tls_scenario(Stage& stage) {
    stage.kernel.set_capacity(5'000, 20'000);
    stage.kernel.faults.short_write = 200;
    stage.kernel.faults.short_read = 100;
    stage.kernel.faults.cold_file = 400;
    stage.play(send_file_over_tls(stage));
}

constexpr Scenario all[] = {
    {"sendfile", sendfile_scenario},
    {"sendfile_in_pieces", sendfile_in_pieces_scenario},
    {"sendfile_tls", sendfile_tls_scenario},
};

}  // namespace

std::span<const Scenario> file_scenarios() {
    return all;
}

}  // namespace sluice::test
