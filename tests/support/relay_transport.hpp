// RelayTransport: somebody else's transport. It wraps one of the library's and hands everything
// through, but looks like nothing the library knows: another class, with a protocol of its own, and
// what arrives is delivered asynchronously, from memory of its own, some iterations late.
//
// It knows only the public interface, as a user's transport would.
#pragma once

#include <sluice/event_loop.hpp>

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>

namespace sluice::test {

class RelayTransport final : public Transport {
public:
    /// Puts a relay between `inner`, whose protocol is replaced, and `protocol`, which is not told
    /// connection_made. It lives until it has told connection_lost or the loop is gone.
    static Ref<Transport> wrap(EventLoop& loop, Transport& inner,
                               std::unique_ptr<StreamProtocol> protocol);

    using Transport::write;
    using Transport::write_static;
    using Transport::writelines;
    void write(Bytes data) override { inner_->write(data); }
    void write(Buffer data) override { inner_->write(std::move(data)); }
    void write_static(Bytes data) override { inner_->write_static(data); }
    void writelines(std::span<const Bytes> pieces) override { inner_->writelines(pieces); }
    void writelines(std::span<const Buffer> pieces) override { inner_->writelines(pieces); }
    void flush() override { inner_->flush(); }
    [[nodiscard]] bool can_write_eof() const noexcept override { return inner_->can_write_eof(); }
    void write_eof() override { inner_->write_eof(); }
    void close() override { inner_->close(); }
    void abort() override { inner_->abort(); }
    [[nodiscard]] bool is_closing() const noexcept override { return inner_->is_closing(); }
    void pause_reading() override;
    void resume_reading() override;
    [[nodiscard]] bool is_reading() const noexcept override { return inner_->is_reading(); }
    void set_write_buffer_limits(std::optional<std::size_t> high,
                                 std::optional<std::size_t> low) override {
        inner_->set_write_buffer_limits(high, low);
    }
    [[nodiscard]] WriteBufferLimits get_write_buffer_limits() const noexcept override {
        return inner_->get_write_buffer_limits();
    }
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override {
        return inner_->get_write_buffer_size();
    }
    void set_write_buffer_cap(std::optional<std::size_t> bytes, OverflowPolicy policy) override {
        inner_->set_write_buffer_cap(bytes, policy);
    }
    void set_idle_timeout(std::optional<std::chrono::nanoseconds> limit) override {
        inner_->set_idle_timeout(limit);
    }
    [[nodiscard]] std::optional<std::chrono::nanoseconds> get_idle_timeout()
        const noexcept override {
        return inner_->get_idle_timeout();
    }
    void set_write_timeout(std::optional<std::chrono::nanoseconds> limit) override {
        inner_->set_write_timeout(limit);
    }
    [[nodiscard]] std::optional<std::chrono::nanoseconds> get_write_timeout()
        const noexcept override {
        return inner_->get_write_timeout();
    }
    void set_protocol(std::unique_ptr<StreamProtocol> protocol) override;
    [[nodiscard]] std::unique_ptr<StreamProtocol> exchange_protocol(
        std::unique_ptr<StreamProtocol> protocol) override;
    [[nodiscard]] StreamProtocol* get_protocol() const noexcept override { return protocol_.get(); }

protected:
    void extra_info(std::uint32_t key, void* value) const override {
        extra_info_of(*inner_, key, value);
    }
    void unreferenced() noexcept override { delete this; }

private:
    class Inner;

    RelayTransport(EventLoop& loop, Transport& inner);

    void arrived(Bytes data);
    void ended();
    void lost(std::error_code reason);
    void schedule();
    void deliver();
    void deliver_data();

    EventLoop& loop_;
    Ref<Transport> inner_;
    std::unique_ptr<StreamProtocol> protocol_;
    std::deque<std::string> waiting_;
    std::optional<std::error_code> lost_;
    bool eof_waiting_ = false;
    bool reading_ = true;
    bool scheduled_ = false;
};

}  // namespace sluice::test
