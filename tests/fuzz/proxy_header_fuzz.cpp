// A libFuzzer target for the parser of PROXY headers: the bytes of an untrusted load balancer, or of
// whoever pretends to be one.
//
// Beyond crashes it checks what proxy_header.hpp promises. It knows no socket. How to run it:
// tests/fuzz/run.sh.
#include <sluice/detail/proxy_header.hpp>
#include <sluice/proxy_protocol.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#ifndef SLUICE_HEADER_ONLY
#error "the library must be compiled into the target, with the fuzzer's instrumentation"
#endif

namespace {

using sluice::Bytes;
using sluice::detail::parse_proxy_header;
using sluice::detail::ProxyHeaderData;
using sluice::detail::ProxyParsing;
using sluice::detail::ProxyVerdict;

void require(bool condition, const char* promise) {
    if (!condition) {
        std::fprintf(stderr, "broken promise: %s\n", promise);
        std::abort();
    }
}

ProxyParsing parse(Bytes input, std::size_t most, ProxyHeaderData& data) {
    // Memory of exactly this size, so that a byte read too many is seen.
    const std::vector<std::byte> exact(input.begin(), input.end());
    return parse_proxy_header(exact, most, data);
}

bool asks_for_more(ProxyVerdict verdict) {
    return verdict == ProxyVerdict::undecided || verdict == ProxyVerdict::incomplete;
}

void look_at(const ProxyHeaderData& data) {
    const sluice::ProxyHeader header(std::make_shared<ProxyHeaderData>(data));
    std::size_t bytes = 0;
    for (const sluice::ProxyAddition& addition : header.additions()) {
        bytes += 3 + addition.value.size();
        require(header.addition(addition.type).has_value(), "what is listed is found");
    }
    require(bytes <= data.additions.size(), "additions are part of the header");
    require(!header.unique_id() || header.unique_id()->size() <= 128, "a unique id is short");
    require(!header.tls() || header.tls()->size() >= 5, "TLS has its fixed part");
    require(static_cast<bool>(data.source) == static_cast<bool>(data.destination),
            "both addresses or none");
    static_cast<void>(header.source().to_string());
    static_cast<void>(header.destination().to_string());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    constexpr std::size_t most = 4096;
    const Bytes input(reinterpret_cast<const std::byte*>(bytes), size);
    ProxyHeaderData data;
    const ProxyParsing whole = parse(input, most, data);
    if (whole.verdict == ProxyVerdict::complete) {
        require(whole.size <= size && whole.size <= most, "a header is part of the input");
        look_at(data);
        ProxyHeaderData again;
        require(parse(input.first(whole.size), most, again).verdict == ProxyVerdict::complete,
                "what follows a header does not matter");
    }
    // Whatever the pieces it comes in: more is asked for until the verdict is there, and that stays.
    // Short inputs only, since this is quadratic.
    const std::size_t longest = size < 300 ? size : 300;
    ProxyVerdict verdict = ProxyVerdict::undecided;
    for (std::size_t count = 0; count <= longest; ++count) {
        ProxyHeaderData part;
        const ProxyParsing parsing = parse(input.first(count), most, part);
        require(asks_for_more(verdict) || parsing.verdict == verdict, "a verdict stands");
        require(verdict != ProxyVerdict::incomplete || parsing.verdict != ProxyVerdict::absent,
                "what was taken as a header's beginning stays one");
        verdict = parsing.verdict;
    }
    if (longest == size) {
        require(verdict == whole.verdict, "pieces and the whole are judged alike");
    }
    return 0;
}
