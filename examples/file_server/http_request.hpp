// The head of an HTTP/1 request (RFC 9112): where it ends, and what it says. Strict, because two programs that read the
// same bytes differently are what request smuggling lives on: whatever is not clearly a request is refused. Bounded, and
// without an allocation. Knows neither files nor connections.
#pragma once

#include "http_status.hpp"

#include <cstddef>
#include <string_view>

namespace file_server {

/// What a head may measure, in bytes and in fields.
struct HeadLimits {
    std::size_t request_line = 8 * 1024;
    std::size_t head = 16 * 1024;
    std::size_t fields = 100;
};

/// Finds the end of a head that arrives in pieces. Looks at each byte once, however small the pieces are.
class HeadFinder {
public:
    enum class Found { more_needed, complete, refused };

    HeadFinder() = default;
    explicit HeadFinder(const HeadLimits& limits) : limits_(limits) {}

    /// `input` begins where it began in the calls before and is at least as long. After `complete` size() bytes of it
    /// are the head; after `refused` refusal() is the answer. Either way reset() comes before the next head.
    Found find(std::string_view input);
    [[nodiscard]] std::size_t size() const { return line_begin_; }
    [[nodiscard]] Status refusal() const { return refusal_; }
    void reset() { *this = HeadFinder(limits_); }

private:
    Found refuse(Status status);

    HeadLimits limits_;
    std::size_t searched_ = 0;
    std::size_t line_begin_ = 0;
    std::size_t lines_ = 0;  // that are not empty: the request line and the fields
    Status refusal_ = Status::bad_request;
};

enum class Method { get, head, other };

/// What a head says, as far as a server of files has to know. Views lie in the parsed text; a field that is not there is
/// empty.
struct Request {
    Method method = Method::other;
    std::string_view target;  // path and query as they were sent; not examined for Method::other
    bool is_http_1_0 = false;
    bool keep_alive = true;
    bool has_body = false;
    std::string_view range;
    std::string_view if_range;
    std::string_view if_match;
    std::string_view if_none_match;
    std::string_view if_modified_since;
    std::string_view if_unmodified_since;
};

struct ParsedRequest {
    bool ok = false;
    Status refusal = Status::bad_request;  // unless ok
    Request request;
};

/// Takes a head apart that HeadFinder has found.
ParsedRequest parse_request(std::string_view head);

}  // namespace file_server
