// A chat room: each line that one member types goes to all the others. Usage: chat [host [port]]
// An unfinished line may have 4 KiB, and who leaves 1 MiB unread is dropped: memory is bounded.
#include <sluice/sluice.hpp>

#include <iostream>
#include <set>
#include <string>

class Member : public sluice::Protocol {
public:
    using Room = std::set<Member*>;
    explicit Member(Room* room) : room_(room) {}
    void connection_made(sluice::Transport& transport) override {
        transport_ = &transport;
        transport_->set_write_buffer_cap(1024 * 1024);
        name_ = transport_->get_extra_info(sluice::extra::peername).to_string();
        room_->insert(this);
        tell_others(name_ + " joins\n");
    }
    void data_received(sluice::Bytes data) override {
        input_ += sluice::as_text(data);
        std::size_t start = 0;
        while (const std::size_t end = input_.find('\n', start) + 1) {  // npos + 1 is 0.
            tell_others(name_ + ": " + input_.substr(start, end - start));
            start = end;
        }
        input_.erase(0, start);
        if (input_.size() > 4096) {
            transport_->abort();
        }
    }
    void connection_lost(std::error_code) override {
        room_->erase(this);
        tell_others(name_ + " leaves\n");
    }

private:
    void tell_others(const std::string& text) const {
        for (Member* member : *room_) {
            if (member != this) {
                member->transport_->write(text);
            }
        }
    }
    Room* room_;
    sluice::Transport* transport_ = nullptr;
    std::string name_;
    std::string input_;
};

int main(int argc, char** argv) {
    Member::Room room;  // Outlives the loop and with it every member.
    sluice::EventLoop loop;
    const auto server = loop.run_until_complete(loop.create_server<Member>(
        argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888", {}, &room));
    const sluice::SocketAddress address = server->sockets().front().local_address();
    std::cout << "listening on " << address.to_string() << '\n' << std::flush;
    loop.run_forever();
}
