// The client's session cache: a list in order of use and an index into it.
#pragma once

#include <sluice/detail/tls_session_cache.hpp>

#include <utility>

#include <openssl/ssl.h>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE void SslSessionDelete::operator()(ssl_session_st* session) const noexcept {
    SSL_SESSION_free(session);
}

SLUICE_INLINE void TlsSessionCache::put(std::string_view peer, SslSessionPtr session) {
    const std::lock_guard lock(mutex_);
    const auto known = index_.find(peer);
    if (known != index_.end()) {
        const Entries::iterator entry = known->second;
        entry->sessions.push_back(std::move(session));
        ++size_;
        entries_.splice(entries_.begin(), entries_, entry);
        if (entry->sessions.size() > per_peer_) {
            drop_oldest(entry);
        }
    } else {
        Entries added;
        added.push_front({std::string(peer), {}});
        added.front().sessions.push_back(std::move(session));
        index_.emplace(added.front().peer, added.begin());
        entries_.splice(entries_.begin(), added);
        ++size_;
    }
    if (size_ > capacity_) {
        drop_oldest(std::prev(entries_.end()));
    }
}

SLUICE_INLINE SslSessionPtr TlsSessionCache::take(std::string_view peer) {
    const std::lock_guard lock(mutex_);
    const auto known = index_.find(peer);
    if (known == index_.end()) {
        return nullptr;
    }
    const Entries::iterator entry = known->second;
    SslSessionPtr session = std::move(entry->sessions.back());
    entry->sessions.pop_back();
    --size_;
    if (entry->sessions.empty()) {
        index_.erase(known);
        entries_.erase(entry);
    } else {
        entries_.splice(entries_.begin(), entries_, entry);
    }
    return session;
}

SLUICE_INLINE void TlsSessionCache::drop_oldest(Entries::iterator entry) {
    entry->sessions.erase(entry->sessions.begin());
    --size_;
    if (entry->sessions.empty()) {
        index_.erase(entry->peer);
        entries_.erase(entry);
    }
}

SLUICE_INLINE std::size_t TlsSessionCache::size() const {
    const std::lock_guard lock(mutex_);
    return size_;
}

}  // namespace sluice::inline v0_1::detail
