// TlsEngine: TLS as a machine without I/O. Ciphertext goes in at one end and comes out at the other;
// plaintext the other way round:
//
//            set_input()  ->  +-----------+  ->  read()
//    ciphertext               | TlsEngine |               plaintext
//       TlsOutput::sealed  <- +-----------+  <-  write()
//
// It sees bytes and OpenSSL, never a socket, a loop or a protocol, and so is fuzzed alone. One
// function, perform(), interprets SSL_get_error().
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/detail/record_opener.hpp>
#include <sluice/detail/record_sealer.hpp>
#include <sluice/detail/tls_session.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <vector>

namespace sluice::inline v0_1::detail {

/// Takes the ciphertext an engine produces.
class TlsOutput {
public:
    /// Called from inside the engine's operations, in the order of the wire. False if the bytes
    /// cannot be kept (no memory): the connection is then beyond repair.
    [[nodiscard]] virtual bool sealed(Bytes ciphertext) noexcept = 0;

    // ---- kernel TLS; where there is none these stay as they are ----

    /// Offers the kernel the keys of everything that is sent, or received, from here on: one of the
    /// structs of <linux/tls.h>. An error if it does not take them.
    [[nodiscard]] virtual std::error_code hand_to_kernel(bool /*sending*/,
                                                         Bytes /*keys*/) noexcept {
        return std::make_error_code(std::errc::not_a_socket);
    }
    /// A record of this type, which is not data's, for the kernel to seal. False as for sealed().
    [[nodiscard]] virtual bool kernel_seals(std::uint8_t /*type*/, Bytes /*content*/) noexcept {
        return false;
    }

protected:
    ~TlsOutput() = default;
};

enum class TlsStatus : std::uint8_t {
    done,         ///< The operation did what it was asked for, at least in part.
    want_input,   ///< It needs more ciphertext than set_input() has given.
    peer_closed,  ///< The peer has sent close_notify.
    failed,       ///< For good; failure() knows why.
};

class TlsEngine {
public:
    /// `output` must outlive the engine. Throws what make_ssl() throws.
    TlsEngine(const TlsContext& context, const TlsEndpoint& endpoint, TlsOutput& output);
    TlsEngine(const TlsEngine&) = delete;
    TlsEngine& operator=(const TlsEngine&) = delete;
    ~TlsEngine() = default;

    /// The ciphertext the next operations consume. It must stay put until input() is empty or
    /// replaced.
    void set_input(Bytes ciphertext) noexcept { input_ = ciphertext; }
    /// What has not been consumed.
    [[nodiscard]] Bytes input() const noexcept { return input_; }

    [[nodiscard]] TlsStatus handshake() noexcept;
    /// Decrypts into `space`, which is not empty, until it is full (done) or something stops it;
    /// `count` tells how much there is, whatever the status.
    [[nodiscard]] TlsStatus read(MutableBytes space, std::size_t& count) noexcept;
    /// Seals `data`, which is not empty, in records as full as it allows; `count` tells how much was
    /// taken: all of it when done.
    [[nodiscard]] TlsStatus write(Bytes data, std::size_t& count) noexcept;
    /// Sends close_notify. Done once the peer's has arrived, too, want_input before.
    [[nodiscard]] TlsStatus shutdown() noexcept;

    /// Part of a message of the peer's has arrived that is no data, e.g. a session ticket: OpenSSL
    /// neither writes nor shuts down before the rest is there. Also during the handshake.
    [[nodiscard]] bool amid_message() const noexcept;
    /// The kernel seals: data is not for write() but goes to the socket as it is.
    [[nodiscard]] bool kernel_sends() const noexcept { return kernel_sends_; }
    /// The kernel opens: set_input() is given what it says of each record, as records in plain text.
    [[nodiscard]] bool kernel_receives() const noexcept { return kernel_receives_; }
    /// No more input than wanted_input() may be taken from below: the next byte may be one that the
    /// kernel is to open.
    [[nodiscard]] bool reads_exactly() const noexcept;
    [[nodiscard]] std::size_t wanted_input() const noexcept { return wanted_input_; }
    /// write() needs nothing of OpenSSL, and so does not mind amid_message().
    [[nodiscard]] bool writes_directly() const noexcept;

    /// read() opens data itself, or will once it is worth the keys.
    [[nodiscard]] bool reads_directly() const noexcept;
    /// It does: the keys are there.
    [[nodiscard]] bool has_opener() const noexcept { return opener_ != nullptr; }

    /// Whether OpenSSL keeps its record buffers when they are empty, and we our ciphers. Not at first.
    void keep_buffers(bool on) noexcept;

    /// Why an operation failed.
    [[nodiscard]] const TlsFailure& failure() const noexcept {
        return failure_ ? *failure_ : no_failure;
    }
    /// The peer's alert or our verdict on its certificate, as the code connection_lost is told.
    [[nodiscard]] std::error_code failure_code() const noexcept;
    /// Of a connection whose handshake is complete.
    [[nodiscard]] TlsInfo info(int layer) const;

private:
    friend struct LentBio;

    template <class Operation>
    [[nodiscard]] TlsStatus perform(const char* phase, Operation&& operation) noexcept;
    void fail(const char* phase) noexcept;
    void read_ahead() noexcept;
    [[nodiscard]] TlsStatus read_by_openssl(MutableBytes space, std::size_t& count) noexcept;

    // ---- our own record layer (tls_engine_records.ipp) ----

    [[nodiscard]] bool offer_keys(bool sending, const void* crypto_info) noexcept;
    void note_kernel_refusal(bool sending, std::error_code error) noexcept;
    [[nodiscard]] bool keys_are_stale() const noexcept;
    void refuse_key_update() noexcept;
    [[nodiscard]] bool pass_on(Bytes sealed) noexcept;
    [[nodiscard]] bool renumber(Bytes sealed) noexcept;
    [[nodiscard]] bool seal_records(std::uint8_t type, Bytes data) noexcept;
    [[nodiscard]] bool spares_keys() const noexcept;
    [[nodiscard]] TlsStatus read_sparing_keys(MutableBytes space, std::size_t& count) noexcept;
    void use_peer_secret() noexcept;
    [[nodiscard]] TlsStatus open_records(MutableBytes space, std::size_t& count);
    [[nodiscard]] TlsStatus hand_over(Bytes sealed, MutableBytes room, std::size_t& count) noexcept;
    void stop_opening() noexcept;

    static const TlsFailure no_failure;

    TlsOutput& output_;
    Bytes input_;
    Bytes handed_over_;  // what OpenSSL reads instead while we open the records
    // Where the plaintext of records lies in OpenSSL's buffers, as far as can be told: its memcpy to
    // and from there is not ours to choose, but its partner is (copy_bytes.hpp).
    const char* opened_at_ = nullptr;
    const char* sealed_at_ = nullptr;
    std::size_t largest_read_ = 0;
    // Null as long as OpenSSL seals: at first, and for good after a change of our keys.
    std::unique_ptr<RecordSealer> sealer_;
    std::vector<std::byte> sealed_by_openssl_;  // a record whose end it has not written yet
    // Null as long as OpenSSL opens: at first, and for good after a change of the peer's keys.
    std::unique_ptr<RecordOpener> opener_;
    std::vector<std::byte> given_back_;  // the beginning of a record, of which input_ is the rest
    std::uint64_t records_spared_ = 0;   // of data, opened by OpenSSL although we have the secret
    std::size_t wanted_input_ = record::header_bytes;
    bool output_lost_ = false;
    bool failed_ = false;
    bool handshaken_ = false;
    bool keeps_buffers_ = false;
    bool keys_offered_ = false;  // for sending
    bool secret_asked_for_ = false;
    bool kernel_sends_ = false;
    bool kernel_receives_ = false;
    bool key_update_refused_ = false;
    std::uint8_t kernel_record_type_ = 0;  // of what OpenSSL writes next, while the kernel seals
    bool openssl_has_data_ = false;        // of a record that it was handed
    bool shut_down_ = false;               // close_notify was asked for
    TlsRecordOfTroubles troubles_;
    SslPtr ssl_;  // its callbacks use the members above
    std::unique_ptr<TlsFailure> failure_;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/tls_engine.ipp>
#include <sluice/impl/tls_engine_records.ipp>
#endif
