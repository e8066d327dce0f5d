// OpenSSL's memory functions and ex_data callbacks, counted. See openssl_counts.hpp. It must not
// allocate by itself: it runs inside every allocation of OpenSSL's.
#include "support/openssl_counts.hpp"

#include "support/system.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include <openssl/crypto.h>
#include <openssl/ssl.h>

namespace sluice::test {
namespace {

// OpenSSL allocates on any thread.
std::atomic<std::size_t> live_bytes{0};
std::atomic<std::size_t> live_objects{0};

void* allocate(std::size_t size, const char*, int) {
    void* const block = std::malloc(size);
    live_bytes += block == nullptr ? 0 : block_bytes(block);
    return block;
}

void release(void* block, const char*, int) {
    live_bytes -= block == nullptr ? 0 : block_bytes(block);
    std::free(block);
}

void* resize(void* block, std::size_t size, const char* file, int line) {
    if (size == 0) {
        release(block, file, line);
        return nullptr;
    }
    const std::size_t before = block == nullptr ? 0 : block_bytes(block);
    void* const moved = std::realloc(block, size);
    if (moved != nullptr) {
        live_bytes += block_bytes(moved);
        live_bytes -= before;
    }
    return moved;
}

const bool counting = CRYPTO_set_mem_functions(allocate, resize, release) == 1;

void made(void*, void*, CRYPTO_EX_DATA*, int, long, void*) {
    ++live_objects;
}

void freed(void*, void*, CRYPTO_EX_DATA*, int, long, void*) {
    --live_objects;
}

}  // namespace

std::size_t live_ssl_objects() {
    static const int index = SSL_get_ex_new_index(0, nullptr, made, nullptr, freed);
    if (index < 0) {
        throw std::runtime_error("SSL_get_ex_new_index failed");
    }
    return live_objects;
}

std::size_t live_openssl_bytes() {
    if (!counting) {
        throw std::runtime_error("CRYPTO_set_mem_functions came too late");
    }
    return live_bytes;
}

}  // namespace sluice::test
