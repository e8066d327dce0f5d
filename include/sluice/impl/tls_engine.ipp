// The engine and its BIO: memory semantics over storage that somebody else lends.
#pragma once

#include <sluice/impl/tls_openssl.ipp>

#include <sluice/detail/copy_bytes.hpp>
#include <sluice/detail/tls_engine.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <array>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace sluice::inline v0_1::detail {

// ---- the BIO ----

/// What OpenSSL sees of an engine. One BIO serves both directions; its data is the engine.
struct LentBio {
    static TlsEngine& engine_of(BIO* bio) noexcept {
        return *static_cast<TlsEngine*>(BIO_get_data(bio));
    }

    static int read(BIO* bio, char* into, std::size_t size, std::size_t* count) noexcept {
        TlsEngine& engine = engine_of(bio);
        Bytes& input = engine.handed_over_.empty() && engine.opener_ == nullptr
                           ? engine.input_
                           : engine.handed_over_;
        BIO_clear_retry_flags(bio);
        engine.wanted_input_ = size;
        if (input.empty()) {
            // Never "end of file": how a stream ends is the transport's to judge.
            BIO_set_retry_read(bio);
            *count = 0;
            return -1;
        }
        if (size >= engine.largest_read_) {
            // The whole buffer is free: this is where its records begin.
            engine.largest_read_ = size;
            engine.opened_at_ = into + record::header_bytes;
        }
        *count = std::min(size, input.size());
        if (engine.kernel_receives_ && record::is_whole(input)) {
            // As from a socket whose kernel opens: one record at a time.
            *count = std::min(*count, record::size(input));
        }
        copy_bytes(into, input.data(), *count);
        input = input.subspan(*count);
        return 1;
    }

    static int write(BIO* bio, const char* from, std::size_t size, std::size_t* count) noexcept {
        TlsEngine& engine = engine_of(bio);
        BIO_clear_retry_flags(bio);
        engine.sealed_at_ = from + record::header_bytes;
        // Always accepts: flow control is decided before plaintext is sealed, not in the middle of
        // a record.
        if (!engine.pass_on(std::as_bytes(std::span(from, size)))) {
            engine.output_lost_ = true;
            *count = 0;
            return -1;
        }
        *count = size;
        return 1;
    }

    static long control(BIO* bio, int command, long number, void* pointer) noexcept {
        // Those that <openssl/bio.h> only mentions, since only libssl and its own BIOs are to use
        // them: the keys of what is received (0) or sent from here on, for the kernel; and of what
        // type the next record is that the kernel seals.
        constexpr int set_ktls = 72;
        constexpr int set_record_type = 74;
        constexpr int clear_record_type = 75;
        TlsEngine& engine = engine_of(bio);
        switch (command) {
            case BIO_CTRL_FLUSH:
                // Even when bytes remain queued: OpenSSL's buffering BIO does not pass "retry" on.
                return 1;
            case set_ktls:
                return engine.offer_keys(number != 0, pointer) ? 1 : 0;
            case BIO_CTRL_GET_KTLS_SEND:
                return engine.kernel_sends_ ? 1 : 0;
            case BIO_CTRL_GET_KTLS_RECV:
                return engine.kernel_receives_ ? 1 : 0;
            case set_record_type:
                engine.kernel_record_type_ = static_cast<std::uint8_t>(number);
                return 0;
            case clear_record_type:
                engine.kernel_record_type_ = 0;
                return 0;
            default:
                return 0;
        }
    }

    static int create(BIO* bio) noexcept {
        BIO_set_init(bio, 1);
        return 1;
    }

    static BIO_METHOD* method() noexcept {
        // Never freed: OpenSSL's own clean-up may run after static destructors and still ask it.
        static BIO_METHOD* const made = [] {
            BIO_METHOD* method =
                BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice lent storage");
            if (method != nullptr) {
                BIO_meth_set_read_ex(method, read);
                BIO_meth_set_write_ex(method, write);
                BIO_meth_set_ctrl(method, control);
                BIO_meth_set_create(method, create);
            }
            return method;
        }();
        return made;
    }
};

// ---- the engine ----

inline const TlsFailure TlsEngine::no_failure;

SLUICE_INLINE TlsEngine::TlsEngine(const TlsContext& context, const TlsEndpoint& endpoint,
                                   TlsOutput& output)
    : output_(output), ssl_(make_ssl(context, endpoint, troubles_)) {
    BIO* const bio = LentBio::method() == nullptr ? nullptr : BIO_new(LentBio::method());
    if (bio == nullptr) {
        throw std::bad_alloc();
    }
    BIO_set_data(bio, this);
    SSL_set_bio(ssl_.get(), bio, bio);
}

/// Runs one OpenSSL call and says what it means. The thread's error queue must be empty, or what
/// another connection left there is taken for ours.
template <class Operation>
TlsStatus TlsEngine::perform(const char* phase, Operation&& operation) noexcept {
    if (failed_) {
        return TlsStatus::failed;
    }
    const int result = operation(ssl_.get());
    if (output_lost_) {
        fail(phase);
        return TlsStatus::failed;
    }
    if (result > 0) {
        return TlsStatus::done;
    }
    switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ:
            return TlsStatus::want_input;
        case SSL_ERROR_ZERO_RETURN:
            return TlsStatus::peer_closed;
        default:
            fail(phase);
            return TlsStatus::failed;
    }
}

SLUICE_INLINE void TlsEngine::fail(const char* phase) noexcept {
    failed_ = true;
    try {
        failure_ = std::make_unique<TlsFailure>(describe_failure(*ssl_, troubles_, phase));
    } catch (const std::bad_alloc&) {
        output_lost_ = true;
    }
}

SLUICE_INLINE TlsStatus TlsEngine::handshake() noexcept {
    forget_errors();
    const TlsStatus status = perform("handshake", [](SSL* ssl) { return SSL_do_handshake(ssl); });
    if (status == TlsStatus::want_input && keys_offered_ && !secret_asked_for_) {
        // All that a server waits for now is the client's Finished, and the secret of what follows.
        secret_asked_for_ = true;
        ask_for_peer_secret(*ssl_);
    }
    if (status == TlsStatus::done) {
        handshaken_ = true;
        if (troubles_.peer_secret.empty()) {
            read_ahead();
        }
    }
    return status;
}

/// From here on OpenSSL may take as much input at once as fits its buffer: several small records then
/// cost it one buffer and one call of ours instead of two calls each.
SLUICE_INLINE void TlsEngine::read_ahead() noexcept {
    // With a kernel that opens, OpenSSL must see one record at a time.
    if (!kernel_receives_) {
        SSL_set_read_ahead(ssl_.get(), 1);
    }
}

SLUICE_INLINE TlsStatus TlsEngine::read(MutableBytes space, std::size_t& count) noexcept {
    count = 0;
    const bool spares = spares_keys();
    if (!spares) {
        use_peer_secret();
    }
    if (failed_) {
        return TlsStatus::failed;
    }
    TlsStatus status = TlsStatus::failed;
    try {
        status = spares               ? read_sparing_keys(space, count)
                 : opener_ == nullptr ? read_by_openssl(space, count)
                                      : open_records(space, count);
    } catch (const std::bad_alloc&) {
        output_lost_ = true;
        fail("data");
    }
    if (opener_ && !keeps_buffers_) {
        opener_->rest();
    }
    if (keys_are_stale()) {
        refuse_key_update();
        return TlsStatus::failed;
    }
    return status;
}

SLUICE_INLINE TlsStatus TlsEngine::read_by_openssl(MutableBytes space,
                                                   std::size_t& count) noexcept {
    forget_errors();
    bool in_pieces = false;
    while (count < space.size()) {
        std::byte* const into = space.data() + count;
        // Both ends of the copy advance together until the record ends.
        if (!in_pieces || SSL_pending(ssl_.get()) == 0) {
            in_pieces = copies_slowly(into, opened_at_);
        }
        const std::size_t left = space.size() - count;
        const std::size_t room = in_pieces ? std::min(left, copy_piece_bytes) : left;
        std::size_t opened = 0;
        const TlsStatus status =
            perform("data", [&](SSL* ssl) { return SSL_read_ex(ssl, into, room, &opened); });
        if (status != TlsStatus::done) {
            return status;
        }
        count += opened;
        // With nothing before and inside OpenSSL there is nothing to be had: asking would cost as
        // much as a small record.
        if (input_.empty() && handed_over_.empty() && SSL_has_pending(ssl_.get()) == 0) {
            return TlsStatus::want_input;
        }
    }
    return TlsStatus::done;
}

SLUICE_INLINE TlsStatus TlsEngine::write(Bytes data, std::size_t& count) noexcept {
    count = 0;
    if (writes_directly()) {
        const bool sealed = seal_records(record::application_data, data);
        if (!keeps_buffers_) {
            sealer_->rest();
        }
        if (!sealed) {
            output_lost_ = true;
            fail("data");
            return TlsStatus::failed;
        }
        count = data.size();
        return TlsStatus::done;
    }
    forget_errors();
    std::array<std::byte, limits::tls_record_bytes + copy_piece_bytes> elsewhere;
    while (count < data.size()) {
        Bytes next = data.subspan(count);
        // A copy of our own to a better place, and from there OpenSSL's, take a fifth of the time.
        if (next.size() > copy_piece_bytes && copies_slowly(sealed_at_, next.data())) {
            next = next.first(std::min(next.size(), limits::tls_record_bytes));
            std::byte* const copy = copies_slowly(sealed_at_, elsewhere.data())
                                        ? elsewhere.data() + copy_piece_bytes
                                        : elsewhere.data();
            copy_bytes(copy, next.data(), next.size());
            next = {copy, next.size()};
        }
        std::size_t sealed = 0;
        const TlsStatus status = perform(
            "data", [&](SSL* ssl) { return SSL_write_ex(ssl, next.data(), next.size(), &sealed); });
        if (status != TlsStatus::done) {
            return status;
        }
        count += sealed;
    }
    return TlsStatus::done;
}

SLUICE_INLINE TlsStatus TlsEngine::shutdown() noexcept {
    if (failed_) {
        return TlsStatus::failed;
    }
    shut_down_ = true;
    forget_errors();
    const bool sent_before = (SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) != 0;
    if (!sent_before) {
        int result = 0;
        const TlsStatus status = perform("shutdown", [&](SSL* ssl) {
            result = SSL_shutdown(ssl);
            // 0: sent, the peer's is not there yet, which is no error.
            return result == 0 ? 1 : result;
        });
        if (status == TlsStatus::failed) {
            return status;
        }
    }
    const bool received = (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
    return received ? TlsStatus::done : TlsStatus::want_input;
}

SLUICE_INLINE bool TlsEngine::reads_exactly() const noexcept {
    return !handshaken_ && wants_kernel(*ssl_, false);
}

SLUICE_INLINE bool TlsEngine::amid_message() const noexcept {
    return SSL_in_init(ssl_.get()) != 0;
}

SLUICE_INLINE bool TlsEngine::writes_directly() const noexcept {
    return sealer_ != nullptr && handshaken_ && !failed_ && !shut_down_ &&
           // The peer wants new keys, and OpenSSL tells it of them when it writes next. That must be
           // before the next data (RFC 8446, 4.6.3).
           SSL_get_key_update_type(ssl_.get()) == SSL_KEY_UPDATE_NONE;
}

SLUICE_INLINE bool TlsEngine::reads_directly() const noexcept {
    return opener_ != nullptr || !troubles_.peer_secret.empty();
}

SLUICE_INLINE void TlsEngine::keep_buffers(bool on) noexcept {
    keeps_buffers_ = on;
    if (sealer_ && !on) {
        sealer_->rest();
    }
    if (opener_ && !on) {
        opener_->rest();
    }
    if (on) {
        SSL_clear_mode(ssl_.get(), SSL_MODE_RELEASE_BUFFERS);
    } else {
        SSL_set_mode(ssl_.get(), SSL_MODE_RELEASE_BUFFERS);
        // What holds part of a record, or data that nobody has read, is released by the mode later. Of the
        // data OpenSSL before 3.0.14 would free the buffer all the same (CVE-2024-4741).
        if (SSL_has_pending(ssl_.get()) == 0) {
            SSL_free_buffers(ssl_.get());
        }
    }
}

SLUICE_INLINE std::error_code TlsEngine::failure_code() const noexcept {
    if (output_lost_) {
        return std::make_error_code(std::errc::not_enough_memory);
    }
    if (key_update_refused_) {
        return Error::tls_key_update;
    }
    if (failure().verify_code != 0) {
        return Error::tls_certificate_rejected;
    }
    return failure().phase == "handshake" ? Error::tls_handshake_failed : Error::tls_protocol_error;
}

SLUICE_INLINE TlsInfo TlsEngine::info(int layer) const {
    return TlsInfo(describe_connection(*ssl_, layer));
}

}  // namespace sluice::inline v0_1::detail
