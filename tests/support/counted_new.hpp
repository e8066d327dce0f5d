// Counts what a program allocates, and fails it on demand. It replaces operator new, so it is for one
// source file of a test program of its own.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace sluice::test {

inline std::size_t allocations = 0;
/// How many are left until one fails; zero: none will.
inline std::size_t allocations_until_failure = 0;

inline void* counted_allocation(std::size_t size, std::size_t alignment) {
    ++allocations;
    if (allocations_until_failure != 0 && --allocations_until_failure == 0) {
        throw std::bad_alloc();
    }
    const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
    if (void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded)) {
        return memory;
    }
    throw std::bad_alloc();
}

}  // namespace sluice::test

void* operator new(std::size_t size) {
    return sluice::test::counted_allocation(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return sluice::test::counted_allocation(size, static_cast<std::size_t>(alignment));
}
// AddressSanitizer has one of its own, whose memory is not for free().
void* operator new(std::size_t size, const std::nothrow_t&) noexcept try {
    return sluice::test::counted_allocation(size, alignof(std::max_align_t));
} catch (const std::bad_alloc&) {
    return nullptr;
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
