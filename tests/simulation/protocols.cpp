// The protocols of the simulation: they forward to their end and count themselves.
//
// A protocol that the server made does not know its end before connection_made, where the peer's
// port tells.
#include "simulation/library_end.hpp"
#include "simulation/world.hpp"

namespace sluice::test {

namespace {

/// What both kinds have in common.
class Link {
public:
    Link(World& world, LibraryEnd* link_end, unsigned of)
        : end(link_end), generation(of), world_(world) {
        ++world_.live_protocols;
    }
    ~Link() {
        --world_.live_protocols;
        // One that was in charge may be the caller, so it must not die before the call is over.
        if (made_ && world_.callback_depth > 0) {
            world_.fail("lifetime: a protocol died inside a callback");
        }
    }
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    void connection_made(Transport& transport, bool buffered) {
        made_ = true;
        if (end == nullptr) {
            end = world_.accepted(transport);
        }
        if (end != nullptr) {
            end->connection_made(transport, buffered);
        } else {
            world_.fail("accept: a connection that nobody made");
        }
    }

    LibraryEnd* end;
    unsigned generation;

private:
    World& world_;
    bool made_ = false;
};

template <class Base, bool is_buffered>
class Linked : public Base {
public:
    Linked(World& world, LibraryEnd* end, unsigned generation) : link_(world, end, generation) {}

    void connection_made(Transport& transport) override {
        link_.connection_made(transport, is_buffered);
    }
    bool eof_received() override { return link_.end->eof_received(link_.generation); }
    void pause_writing() override { link_.end->pause_writing(link_.generation); }
    void resume_writing() override { link_.end->resume_writing(link_.generation); }
    void connection_lost(std::error_code reason) override {
        link_.end->connection_lost(link_.generation, reason);
    }

protected:
    Link link_;
};

class ChunkProtocol final : public Linked<Protocol, false> {
public:
    using Linked::Linked;
    void data_received(Bytes data) override { link_.end->data_received(link_.generation, data); }
};

class RoomProtocol final : public Linked<BufferedProtocol, true> {
public:
    using Linked::Linked;
    MutableBytes get_buffer(std::size_t) override {
        return link_.end->get_buffer(link_.generation);
    }
    void buffer_updated(std::size_t count) override {
        link_.end->buffer_updated(link_.generation, count);
    }
};

}  // namespace

std::unique_ptr<StreamProtocol> World::make_protocol(LibraryEnd* end, bool buffered,
                                                     unsigned generation) {
    if (buffered) {
        return std::make_unique<RoomProtocol>(*this, end, generation);
    }
    return std::make_unique<ChunkProtocol>(*this, end, generation);
}

}  // namespace sluice::test
