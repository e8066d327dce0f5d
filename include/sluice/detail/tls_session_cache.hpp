// TlsSessionCache: the sessions a client may resume, by host and port.
//
// It must not know connections or contexts. Contexts are shared by loops of several threads, hence
// the mutex.
#pragma once

#include <sluice/config.hpp>

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

struct ssl_session_st;

namespace sluice::inline v0_1::detail {

struct SslSessionDelete {
    void operator()(ssl_session_st* session) const noexcept;
};
using SslSessionPtr = std::unique_ptr<ssl_session_st, SslSessionDelete>;

class TlsSessionCache {
public:
    /// Keeps at most `capacity` sessions, and the newest `per_peer` of each peer; the peer that was
    /// not heard of for longest loses its sessions first.
    TlsSessionCache(std::size_t capacity, std::size_t per_peer)
        : capacity_(capacity), per_peer_(per_peer) {}

    void put(std::string_view peer, SslSessionPtr session);
    /// The newest of `peer`, which the cache then no longer has; null if there is none. A session
    /// is used once (RFC 8446, C.4): two connections with one ticket could be linked by an onlooker.
    SslSessionPtr take(std::string_view peer);
    [[nodiscard]] std::size_t size() const;

private:
    struct Entry {
        std::string peer;
        std::vector<SslSessionPtr> sessions;  // the newest last; never empty
    };
    using Entries = std::list<Entry>;

    void drop_oldest(Entries::iterator entry);

    mutable std::mutex mutex_;
    const std::size_t capacity_;
    const std::size_t per_peer_;
    std::size_t size_ = 0;
    Entries entries_;  // the most recently used peer first
    std::unordered_map<std::string_view, Entries::iterator> index_;  // keys live in entries_
};

}  // namespace sluice::inline v0_1::detail
