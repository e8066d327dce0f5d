// TlsEngine: our own record layer beside OpenSSL's. Data of TLS 1.3 is sealed and opened here; what
// OpenSSL says, and what is for it to hear, passes through under other numbers.
#pragma once

#include <sluice/detail/tls_engine.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <array>
#include <new>

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace sluice::inline v0_1::detail {

// ---- keys that OpenSSL hands over ----

/// True if the kernel has taken them. The keys for sending are ours, if not.
SLUICE_INLINE bool TlsEngine::offer_keys(bool sending, const void* crypto_info) noexcept {
    keys_offered_ = keys_offered_ || sending;
    if (wants_kernel(*ssl_, sending)) {
        const Bytes keys(static_cast<const std::byte*>(crypto_info),
                         RecordSealer::keys_bytes(crypto_info));
        // What the kernel shall open must not be here already.
        const std::error_code error =
            keys.empty()                  ? std::make_error_code(std::errc::operation_not_supported)
            : !sending && !input_.empty() ? std::make_error_code(std::errc::device_or_resource_busy)
                                          : output_.hand_to_kernel(sending, keys);
        if (!error) {
            (sending ? kernel_sends_ : kernel_receives_) = true;
            return true;
        }
        note_kernel_refusal(sending, error);
    }
    if (sending && !leaves_records_to_openssl(*ssl_)) {
        sealer_ = RecordSealer::make(crypto_info);  // null: OpenSSL seals
    }
    return false;
}

SLUICE_INLINE void TlsEngine::note_kernel_refusal(bool sending, std::error_code error) noexcept {
    try {
        std::string& reason = troubles_.noted_words().ktls_refusal;
        if (error == std::errc::not_a_socket) {
            reason = "not directly over a socket of ours";
        } else if (error == std::errc::no_such_file_or_directory) {
            reason = "the kernel has no TLS (module tls)";
        } else if (error == std::errc::device_or_resource_busy) {
            reason = sending ? "bytes of the handshake were still unsent"
                             : "bytes had been received that the kernel should have opened";
        } else {
            reason = "the kernel refused the keys: " + error.message();
        }
    } catch (const std::bad_alloc&) {
        return;  // that it is off is known all the same
    }
}

/// The peer wants other keys, which OpenSSL 3.0 would use by itself: what it says then is garbage to
/// whoever expects what the kernel seals.
SLUICE_INLINE bool TlsEngine::keys_are_stale() const noexcept {
    return kernel_sends_ && !failed_ && SSL_get_key_update_type(ssl_.get()) != SSL_KEY_UPDATE_NONE;
}

SLUICE_INLINE void TlsEngine::refuse_key_update() noexcept {
    constexpr std::uint8_t alert = 21;
    constexpr std::array<std::byte, 2> internal_error = {std::byte{2}, std::byte{80}};
    key_update_refused_ = true;
    try {
        troubles_.noted_words().refusal =
            "the peer asked for other keys, which the kernel cannot be given";
    } catch (const std::bad_alloc&) {
        failed_ = true;  // as fail() says in a moment, without these words
    }
    troubles_.alert_sent = std::to_integer<int>(internal_error[1]);
    fail("data");
    output_lost_ = !output_.kernel_seals(alert, internal_error);
}

// ---- sealing ----

/// What OpenSSL writes.
SLUICE_INLINE bool TlsEngine::pass_on(Bytes sealed) noexcept {
    if (kernel_sends_) {
        const bool is_data = kernel_record_type_ == 0;
        return output_.kernel_seals(is_data ? record::application_data : kernel_record_type_,
                                    sealed);
    }
    return sealer_ != nullptr ? renumber(sealed) : output_.sealed(sealed);
}

/// Passes on what OpenSSL has sealed, which knows nothing of the records that we have. False if it
/// could not be kept.
SLUICE_INLINE bool TlsEngine::renumber(Bytes sealed) noexcept {
    try {
        // Rare and small: tickets, alerts, key updates. OpenSSL's buffering BIO cuts them anywhere.
        sealed_by_openssl_.insert(sealed_by_openssl_.end(), sealed.begin(), sealed.end());
    } catch (const std::bad_alloc&) {
        return false;
    }
    MutableBytes rest(sealed_by_openssl_);
    while (sealer_ && record::is_whole(rest)) {
        const MutableBytes next = rest.first(record::size(rest));
        rest = rest.subspan(next.size());
        const RecordSealer::Renumbered kind = sealer_->renumber(next);
        if (kind == RecordSealer::Renumbered::failed || !output_.sealed(next)) {
            return false;
        }
        if (kind == RecordSealer::Renumbered::key_update) {
            // OpenSSL 3.0 tells nobody its new keys: it seals everything from here on.
            sealer_.reset();
        }
    }
    if (sealer_ && !keeps_buffers_) {
        sealer_->rest();
    }
    const bool kept = sealer_ != nullptr || rest.empty() || output_.sealed(rest);
    if (sealer_ == nullptr || rest.empty()) {
        sealed_by_openssl_ = std::vector<std::byte>();
    } else {
        const auto unfinished = static_cast<std::ptrdiff_t>(rest.size());
        sealed_by_openssl_.erase(sealed_by_openssl_.begin(), sealed_by_openssl_.end() - unfinished);
    }
    return kept;
}

/// False if a record could not be sealed or kept.
SLUICE_INLINE bool TlsEngine::seal_records(std::uint8_t type, Bytes data) noexcept {
    // Aligned as the kernel likes what it copies (receive_area.hpp).
    alignas(64) std::array<std::byte, limits::tls_record_bytes + record::overhead_bytes> sealed;
    while (!data.empty()) {
        const Bytes next = data.first(std::min(data.size(), limits::tls_record_bytes));
        if (!sealer_->seal(type, next, sealed.data()) ||
            !output_.sealed(Bytes(sealed).first(next.size() + record::overhead_bytes))) {
            return false;
        }
        data = data.subspan(next.size());
    }
    return true;
}

// ---- opening ----

/// Many connections bring one message and their end. Keys for these cost more than they gain, 10 us
/// and 200 bytes: OpenSSL opens a first record that has come alone, and one more as small as an alert.
SLUICE_INLINE bool TlsEngine::spares_keys() const noexcept {
    constexpr std::size_t alert_bytes = 2 + record::overhead_bytes;
    return !troubles_.peer_secret.empty() && handshaken_ && record::is_whole(input_) &&
           record::size(input_) == input_.size() &&
           (records_spared_ == 0 || (records_spared_ == 1 && input_.size() <= alert_bytes)) &&
           SSL_pending(ssl_.get()) == 0;
}

SLUICE_INLINE TlsStatus TlsEngine::read_sparing_keys(MutableBytes space,
                                                     std::size_t& count) noexcept {
    const TlsStatus status = read_by_openssl(space, count);
    if (count != 0) {
        ++records_spared_;
    } else {
        // No data. It may have been other keys, of which OpenSSL tells nobody: it goes on.
        troubles_.forget_peer_secret();
        read_ahead();
    }
    return status;
}

SLUICE_INLINE void TlsEngine::use_peer_secret() noexcept {
    const Bytes secret = troubles_.peer_secret;
    if (secret.empty() || !handshaken_ || input_.empty()) {
        return;
    }
    opener_ = RecordOpener::make(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl_.get())),
                                 secret, records_spared_);
    troubles_.forget_peer_secret();
    if (opener_ == nullptr) {
        read_ahead();
    } else {
        openssl_has_data_ = SSL_pending(ssl_.get()) != 0;
    }
}

/// A record that no key has sealed. OpenSSL refuses it as it would refuse a forged one, which itself
/// is not to be handed over: it might be an old one, sent again, with the number OpenSSL expects.
inline constexpr auto forged_record = [] {
    std::array<std::byte, record::overhead_bytes> bytes{};
    bytes[0] = std::byte{record::application_data};
    bytes[1] = bytes[2] = std::byte{3};
    bytes[4] = std::byte{bytes.size() - record::header_bytes};
    return bytes;
}();

/// read() as long as the opener is there.
SLUICE_INLINE TlsStatus TlsEngine::open_records(MutableBytes space, std::size_t& count) {
    while (count < space.size()) {
        const MutableBytes room = space.subspan(count);
        if (opener_->has_left_over()) {
            count += opener_->take_left_over(room);
            continue;
        }
        Bytes sealed;
        std::size_t opened = 0;
        RecordOpener::Opened kind = RecordOpener::Opened::for_openssl;
        if (!openssl_has_data_) {
            const RecordOpener::Next next = opener_->next(input_, sealed);
            if (next == RecordOpener::Next::more) {
                return TlsStatus::want_input;
            }
            if (next == RecordOpener::Next::malformed) {
                stop_opening();
                return read_by_openssl(space, count);
            }
            kind = opener_->open(sealed, room, opened);
            if (kind == RecordOpener::Opened::data) {
                count += opened;
                continue;
            }
            sealed = kind == RecordOpener::Opened::broken ? Bytes(forged_record)
                                                          : opener_->for_openssl();
        }
        const TlsStatus status = hand_over(sealed, room, opened);
        if (status == TlsStatus::peer_closed || status == TlsStatus::failed) {
            stop_opening();
            return status;
        }
        if (kind == RecordOpener::Opened::broken) {
            fail("data");
            return TlsStatus::failed;
        }
        count += opened;
        if (kind == RecordOpener::Opened::last_for_openssl) {
            // OpenSSL 3.0 tells nobody the new keys: it opens everything from here on.
            stop_opening();
            return read_by_openssl(space, count);
        }
    }
    return TlsStatus::done;
}

/// Lets OpenSSL read a record, or what is left of one. What it finds to be data goes to `room`.
SLUICE_INLINE TlsStatus TlsEngine::hand_over(Bytes sealed, MutableBytes room,
                                             std::size_t& count) noexcept {
    forget_errors();
    handed_over_ = sealed;
    const TlsStatus status = perform(
        "data", [&](SSL* ssl) { return SSL_read_ex(ssl, room.data(), room.size(), &count); });
    // It takes a record as a whole, or all its later ones would be off by some bytes.
    SLUICE_ASSERT(handed_over_.empty() || status == TlsStatus::failed ||
                  status == TlsStatus::peer_closed);
    handed_over_ = {};
    openssl_has_data_ = status == TlsStatus::done && SSL_pending(ssl_.get()) != 0;
    return status;
}

SLUICE_INLINE void TlsEngine::stop_opening() noexcept {
    given_back_ = opener_->give_back();
    handed_over_ = given_back_;
    opener_.reset();
    read_ahead();
}

}  // namespace sluice::inline v0_1::detail
