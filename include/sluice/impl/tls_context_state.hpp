// What is behind a TlsContext: TlsContextState, which reload() changes, and TlsGeneration, what one
// reading of the files gave, which never changes.
//
//   TlsContext -> TlsContextState -> SSL_CTX -> TlsGeneration   (replaced together by reload())
//
// A generation belongs to its SSL_CTX (and that one's secret tap) and so lives as long as the last
// connection of it. OpenSSL's callbacks find it by way of SSL_get_SSL_CTX(), and what belongs to one
// connection by way of record_of(): nothing of a connection is ever kept in what connections
// share.
#pragma once

#include <sluice/impl/tls_settings.hpp>

#include <sluice/detail/tls_session_cache.hpp>

#include <array>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

struct ssl_ctx_st;
struct ssl_st;

namespace sluice::inline v0_1::detail {

struct FileClose {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

/// What the callbacks of one SSL_CTX need.
struct TlsGeneration {
    explicit TlsGeneration(std::shared_ptr<const TlsSettings> from)
        : settings(std::move(from)),
          sessions(settings->session_cache_size, tls_limits::sessions_per_peer) {}

    /// Of the SSL_CTX that `ssl` uses now.
    static TlsGeneration& of(const ssl_st* ssl) noexcept;

    const std::shared_ptr<const TlsSettings> settings;
    TlsSessionCache sessions;  // of clients
    // Random: a session of one context, or of one before reload(), is nobody else's.
    static constexpr int session_id_bytes = 16;
    std::array<unsigned char, session_id_bytes> session_id_context{};
    std::string ocsp_response;
    std::unique_ptr<std::FILE, FileClose> key_log;
};

struct SslCtxDelete {
    void operator()(ssl_ctx_st* context) const noexcept;
};
using SslCtxRef = std::unique_ptr<ssl_ctx_st, SslCtxDelete>;

class TlsContextState {
public:
    /// Reads the files. Throws TlsConfigError or std::bad_alloc.
    TlsContextState(TlsOptions&& options, bool is_server);

    static const TlsContextState& of(const TlsContext& context) noexcept { return *context.state_; }
    /// A context of these options.
    static TlsContext make(TlsOptions&& options, bool is_server);

    void reload();
    [[nodiscard]] bool is_server() const noexcept { return is_server_; }
    [[nodiscard]] const TlsSettings& settings() const noexcept { return *settings_; }
    /// The SSL_CTX for a new connection, with a reference that keeps it.
    [[nodiscard]] SslCtxRef current() const noexcept;
    [[nodiscard]] ssl_ctx_st* native_handle() const noexcept;

private:
    const std::shared_ptr<const TlsSettings> settings_;
    const bool is_server_;
    mutable std::mutex mutex_;  // for current_
    SslCtxRef current_;
};

/// An SSL_CTX with everything the settings say. Throws TlsConfigError or std::bad_alloc.
SslCtxRef build_ssl_ctx(const std::shared_ptr<const TlsSettings>& settings, bool is_server);

}  // namespace sluice::inline v0_1::detail
