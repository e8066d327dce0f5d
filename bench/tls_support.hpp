// What the C++ rivals and the reference share when they speak TLS: the two options that name certificate and key, and a
// context with the settings that all of them would choose. How bytes travel stays in the servers themselves.
//
//   --tls              accepted and meaningless here: these programs speak nothing else
//   --cert FILE        PEM, the server's certificate and what leads to its root
//   --key FILE         PEM, its private key
//
// The context is the same for all, so that handshake rows compare libraries and not settings: one ticket for each full
// handshake (OpenSSL's default is two), and no buffer held by an idle connection.
#pragma once

#include "server_support.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace bench {

struct SslContextDeleter {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslContextDeleter>;

struct TlsServerFiles {
    std::string certificate;
    std::string key;
};

/// A server's context. Throws std::runtime_error naming the file that OpenSSL refuses.
inline SslContext tls_server_context(const TlsServerFiles& files) {
    SslContext context(SSL_CTX_new(TLS_server_method()));
    if (!context) {
        throw std::runtime_error("OpenSSL gives no context");
    }
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_num_tickets(context.get(), 1);
    if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1) {
        throw std::runtime_error("cannot use the certificate " + files.certificate);
    }
    if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
        throw std::runtime_error("cannot use the key " + files.key);
    }
    return context;
}

/// Moves --tls, --cert and --key out of the arguments. Throws std::invalid_argument when one of the two is missing.
inline TlsServerFiles take_tls_options(std::vector<char*>& arguments) {
    TlsServerFiles files;
    for (std::size_t i = 1; i < arguments.size();) {
        const std::string_view name = arguments[i];
        const bool has_value = name == "--cert" || name == "--key";
        if (has_value && i + 1 < arguments.size()) {
            (name == "--cert" ? files.certificate : files.key) = arguments[i + 1];
        } else if (name != "--tls") {
            ++i;
            continue;
        }
        const auto first = arguments.begin() + static_cast<std::ptrdiff_t>(i);
        arguments.erase(first, first + (has_value ? 2 : 1));
    }
    if (files.certificate.empty() || files.key.empty()) {
        throw std::invalid_argument("--cert and --key are needed");
    }
    return files;
}

/// As serve_on_threads: `serve(listener, options, context)`, with one context for all threads.
template <typename Serve>
int serve_tls_on_threads(int argc, char** argv, const Serve& serve) {
    std::vector<char*> arguments(argv, argv + argc);
    SslContext context;
    const int status =
        run_program(argv[0], [&] { context = tls_server_context(take_tls_options(arguments)); });
    if (status != 0) {
        return status;
    }
    return serve_on_threads(static_cast<int>(arguments.size()), arguments.data(),
                            [&](int listener, const ServerOptions& options) {
                                serve(listener, options, context.get());
                            });
}

}  // namespace bench
