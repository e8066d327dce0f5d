// What OpenSSL holds in this program: its SSL objects and its bytes, the library's and the tests'
// own together.
//
// Memory is counted through CRYPTO_set_mem_functions(3), which must come before OpenSSL's first
// allocation: a program that refers to this file is counted from its start. It knows no transport.
#pragma once

#include <cstddef>

namespace sluice::test {

/// SSL objects alive, from the first call on.
[[nodiscard]] std::size_t live_ssl_objects();
/// Bytes allocated by OpenSSL and not freed, as malloc rounds them. Sessions, error queues and what
/// was fetched once stay: compare after a warm-up.
[[nodiscard]] std::size_t live_openssl_bytes();

}  // namespace sluice::test
