// RelayTransport: delivery from a queue, one event per iteration. See relay_transport.hpp.
#include "support/relay_transport.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice::test {

/// What the wrapped transport has for a protocol.
class RelayTransport::Inner final : public Protocol {
public:
    explicit Inner(Ref<RelayTransport> relay) noexcept : relay_(std::move(relay)) {}

    void data_received(Bytes data) override { relay_->arrived(data); }
    bool eof_received() override {
        relay_->ended();
        // The relay's protocol decides, later.
        return true;
    }
    void pause_writing() override { relay_->protocol_->pause_writing(); }
    void resume_writing() override { relay_->protocol_->resume_writing(); }
    void connection_lost(std::error_code reason) override {
        const Ref<RelayTransport> relay = std::move(relay_);
        relay->lost(reason);
    }

private:
    Ref<RelayTransport> relay_;
};

Ref<Transport> RelayTransport::wrap(EventLoop& loop, Transport& inner,
                                    std::unique_ptr<StreamProtocol> protocol) {
    const Ref<RelayTransport> relay(new RelayTransport(loop, inner));
    relay->protocol_ = std::move(protocol);
    inner.set_protocol(std::make_unique<Inner>(relay));
    return relay;
}

RelayTransport::RelayTransport(EventLoop& loop, Transport& inner)
    : Transport(nullptr), loop_(loop), inner_(&inner) {}

void RelayTransport::pause_reading() {
    reading_ = false;
    inner_->pause_reading();
}

void RelayTransport::resume_reading() {
    reading_ = true;
    inner_->resume_reading();
    schedule();
}

void RelayTransport::set_protocol(std::unique_ptr<StreamProtocol> protocol) {
    static_cast<void>(exchange_protocol(std::move(protocol)));
}

std::unique_ptr<StreamProtocol> RelayTransport::exchange_protocol(
    std::unique_ptr<StreamProtocol> protocol) {
    return std::exchange(protocol_, std::move(protocol));
}

void RelayTransport::arrived(Bytes data) {
    waiting_.emplace_back(as_text(data));
    schedule();
}

void RelayTransport::ended() {
    eof_waiting_ = true;
    schedule();
}

void RelayTransport::lost(std::error_code reason) {
    lost_ = reason;
    schedule();
}

void RelayTransport::schedule() {
    if (!std::exchange(scheduled_, true)) {
        loop_.call_soon([self = Ref<RelayTransport>(this)] {
            self->scheduled_ = false;
            self->deliver();
        });
    }
}

void RelayTransport::deliver() {
    if (protocol_ == nullptr) {
        return;
    }
    const bool may_read = reading_ && !inner_->is_closing();
    if (may_read && !waiting_.empty()) {
        deliver_data();
    } else if (may_read && std::exchange(eof_waiting_, false)) {
        if (!protocol_->eof_received()) {
            inner_->close();
        }
    } else if (lost_) {
        protocol_->connection_lost(*lost_);
        // Between two callbacks, like everything else.
        loop_.call_soon([gone = std::shared_ptr<StreamProtocol>(std::move(protocol_))] {});
        return;
    }
    if (lost_ || (reading_ && (!waiting_.empty() || eof_waiting_))) {
        schedule();
    }
}

void RelayTransport::deliver_data() {
    std::string& front = waiting_.front();
    auto* const buffered = dynamic_cast<BufferedProtocol*>(protocol_.get());
    if (buffered == nullptr) {
        const std::string data = std::move(front);
        waiting_.pop_front();
        static_cast<Protocol*>(protocol_.get())->data_received(as_bytes(data));
        return;
    }
    const MutableBytes space = buffered->get_buffer(front.size());
    const std::size_t count = std::min(space.size(), front.size());
    std::memcpy(space.data(), front.data(), count);
    front.erase(0, count);
    if (front.empty()) {
        waiting_.pop_front();
    }
    buffered->buffer_updated(count);
}

}  // namespace sluice::test
