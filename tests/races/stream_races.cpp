// Reads and drains of streams, connecting, calls on sockets: no byte and no connection is lost, and no
// descriptor stays open.
#include <sluice/detail/sys.hpp>

#include "races/races.hpp"

#include <string>
#include <vector>

namespace sluice::test {

namespace {

using namespace std::chrono_literals;

SocketAddress address(std::uint16_t port) {
    return SocketAddress::parse("10.0.0.1", port).value();
}

/// What was sent so far, every byte telling its place.
class Sent {
public:
    std::string more(int size) {
        std::string piece;
        for (int i = 0; i < size; ++i) {
            const std::size_t place = all_.size();
            all_ += place % 7 == 6 ? '\n' : static_cast<char>('a' + place % 23);
            piece += all_.back();
        }
        return piece;
    }
    [[nodiscard]] const std::string& all() const noexcept { return all_; }

private:
    std::string all_;
};

/// One actor at a time reads, in one of several ways.
class ReaderRace {
public:
    explicit ReaderRace(Race& race) : race_(race) {}

    void play() {
        race_.run(20 + race_.below(20), [this] {
            if (race_.chance(500) && race_.pending() == 0) {
                start();
            } else {
                reader_.feed_data(sent_.more(1 + race_.below(12)));
            }
        });
        race_.finish();
        race_.check(got_ == sent_.all().substr(0, got_.size()), "bytes are wrong");
        race_.check(got_.size() + reader_.buffered() == sent_.all().size(), "bytes are lost");
    }

private:
    void start() {
        const auto note = [this](const std::string& text) { got_ += text; };
        switch (race_.below(4)) {
            case 0:
                race_.await(reader_.readline(), note);
                break;
            case 1:
                race_.await(reader_.readexactly(1 + race_.below(30)), note);
                break;
            case 2:
                race_.await(reader_.read_some(static_cast<std::size_t>(1 + race_.below(10))), note);
                break;
            default:
                race_.await(reader_.readuntil("b"), note);
        }
    }

    Race& race_;
    StreamReader reader_;
    Sent sent_;
    std::string got_;
};

/// A socket of the simulated system that is connected to a peer of the test.
class Connected {
public:
    explicit Connected(Race& race) : race_(race) {
        race_.kernel().listen_peer(address(80), [this](SimPeer made) { peer_ = made; });
        socket_ = Descriptor(
            detail::sys::open_socket(Family::ipv4, detail::sys::SocketType::stream).value());
        Task<> connecting = race_.loop().sock_connect(socket_.get(), address(80));
        race_.loop().run_until_complete(std::move(connecting));
        for (int i = 0; i < 100 && !peer_; ++i) {
            race_.loop().run_once(1ms);
        }
        race_.check(static_cast<bool>(peer_), "nobody has accepted");
    }
    [[nodiscard]] int socket() const noexcept { return socket_.get(); }
    [[nodiscard]] SimPeer& peer() noexcept { return peer_; }

private:
    Race& race_;
    SimPeer peer_;
    Descriptor socket_;
};

Task<> open_and_close(Race& race, int& opened) {
    Task<StreamPair> opening = race.wrapped(open_connection("10.0.0.1", 80));
    StreamPair pair = co_await opening;
    ++opened;
    pair.writer.close();
    co_await pair.writer.wait_closed();
}

Task<> write_and_drain(Race& race, StreamWriter writer, std::string text) {
    writer.write(std::move(text));
    Task<> draining = race.wrapped(writer.drain());
    co_await draining;
}

Task<> take_connection(Race& race, int listener, int& accepted) {
    Task<AcceptedSocket> accepting = race.wrapped(race.loop().sock_accept(listener));
    const AcceptedSocket connection = co_await accepting;
    ++accepted;
}

}  // namespace

void race_stream_reader(Race& race) {
    ReaderRace(race).play();
}

void race_drain(Race& race) {
    constexpr std::size_t capacity = 4096;
    race.kernel().set_capacity(capacity, capacity);
    SimPeer peer;
    race.kernel().listen_peer(address(80), [&peer](SimPeer made) { peer = made; });
    StreamPair pair = race.loop().run_until_complete(open_connection("10.0.0.1", 80));
    pair.writer.transport().set_write_buffer_limits(capacity);
    std::size_t written = 0;
    std::size_t received = 0;
    race.run(20 + race.below(20), [&] {
        if (race.chance(500)) {
            const auto size = static_cast<std::size_t>(1 + race.below(8000));
            race.start([&, size](Actor&) {
                written += size;
                return write_and_drain(race, pair.writer, std::string(size, 'x'));
            });
        } else {
            received += peer.receive(static_cast<std::size_t>(race.below(10'000))).size();
        }
    });
    for (int i = 0; i < 1000 && received < written; ++i) {
        received += peer.receive(capacity).size();
        race.loop().run_once(1ms);
    }
    race.check(received == written, "bytes were lost");
    race.settle();
    race.check(race.pending() == 0, "everything is sent, and somebody waits for that");
    pair.writer.close();
    peer.close();
    race.catch_up();
    pair = StreamPair(StreamReader());
    race.finish();
}

void race_connect(Race& race) {
    const std::size_t before = race.kernel().open_descriptors();
    race.kernel().faults.slow_connect = 500;
    race.kernel().faults.delay_most = 3ms;
    std::vector<SimPeer> peers;
    race.kernel().listen_peer(address(80), [&peers](SimPeer made) { peers.push_back(made); });
    int opened = 0;
    race.run(10 + race.below(20), [&] {
        if (race.chance(600)) {
            race.start([&](Actor&) { return open_and_close(race, opened); });
        } else {
            for (SimPeer& peer : peers) {
                peer.close();
            }
        }
    });
    for (int i = 0; i < 20 || (i < 1000 && race.pending() > 0); ++i) {
        for (SimPeer& peer : peers) {
            peer.close();
        }
        race.loop().run_once(1ms);
    }
    race.settle();
    race.check(race.kernel().open_descriptors() == before,
               std::to_string(race.pending()) +
                   " wait, and a descriptor stays open: " + race.kernel().describe_descriptors());
    race.finish();
}

void race_sock_recv(Race& race) {
    {
        Connected connected(race);
        Sent sent;
        std::string got;
        const auto note = [&got](const std::vector<std::byte>& bytes) {
            for (const std::byte byte : bytes) {
                got += static_cast<char>(byte);
            }
        };
        race.run(20 + race.below(20), [&] {
            if (race.chance(500) && race.pending() == 0) {
                const auto most = static_cast<std::size_t>(1 + race.below(10));
                race.await(race.loop().sock_recv(connected.socket(), most), note);
            } else {
                connected.peer().send(as_bytes(sent.more(1 + race.below(12))));
            }
        });
        for (int i = 0; i < 1000 && got.size() < sent.all().size(); ++i) {
            if (race.pending() == 0) {
                note(race.loop().run_until_complete(
                    race.loop().sock_recv(connected.socket(), 1000)));
            } else {
                race.loop().run_once(1ms);
            }
        }
        race.check(got == sent.all(), "bytes were lost");
        race.catch_up();
        for (int i = 0; i < 10; ++i) {
            race.cancel_one();
        }
        race.settle();
    }
    race.finish();
}

void race_sock_accept(Race& race) {
    const SocketAddress place = SocketAddress::parse("127.0.0.1", 9000).value();
    {
        const Descriptor listener(
            detail::sys::open_socket(Family::ipv4, detail::sys::SocketType::stream).value());
        race.check(
            !detail::sys::bind(listener.get(), place) && !detail::sys::listen(listener.get(), 100),
            "cannot listen");
        int accepted = 0;
        int connected = 0;
        const auto take = [&] {
            race.start([&](Actor&) { return take_connection(race, listener.get(), accepted); });
        };
        race.run(20 + race.below(20), [&] {
            if (race.chance(500) && race.pending() == 0) {
                take();
            } else {
                connected += race.kernel().connect_peer(place).open() ? 1 : 0;
            }
        });
        for (int i = 0; i < 1000 && accepted < connected; ++i) {
            if (race.pending() == 0) {
                take();
            }
            race.loop().run_once(1ms);
        }
        race.check(accepted == connected, "a connection was lost");
        for (int i = 0; i < 10; ++i) {
            race.cancel_one();
        }
        race.settle();
    }
    race.finish();
}

}  // namespace sluice::test
