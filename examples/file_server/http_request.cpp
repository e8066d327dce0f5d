// Reads the head of a request: see http_request.hpp.
#include "http_request.hpp"

#include "http_fields.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace file_server {

namespace {

constexpr std::string_view line_end = "\r\n";

// RFC 9110, 5.6.2: what method and field names are made of.
constexpr auto token_table = [] {
    std::array<bool, 256> table{};
    for (unsigned char c = '0'; c <= '9'; ++c) {
        table[c] = true;
    }
    for (unsigned char c = 'a'; c <= 'z'; ++c) {
        table[c] = table[c - 'a' + 'A'] = true;
    }
    for (const char c : std::string_view("!#$%&'*+-.^_`|~")) {
        table[static_cast<unsigned char>(c)] = true;
    }
    return table;
}();

bool is_token_character(char c) {
    return token_table[static_cast<unsigned char>(c)];
}

bool is_token(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

// RFC 9110, 5.5: control characters have no business in a value; a carriage return or NUL there is an attack.
bool is_field_value(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
    });
}

bool is_visible(char c) {
    return c > ' ' && c < 0x7f;
}

// A host and a port, roughly (RFC 9110, 7.2): enough to refuse what another program might take for something else.
bool is_host(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
        return is_visible(c) &&
               std::string_view("\"#,/<>?@\\^`{|}").find(c) == std::string_view::npos;
    });
}

// The fields that matter here. Whichever of them comes twice has two meanings, of which we choose none; only Connection
// is a list that programs on the way add to.
struct Fields {
    std::optional<std::string_view> host;
    std::optional<std::string_view> content_length;
    std::optional<std::string_view> transfer_encoding;
    std::optional<std::string_view> range;
    std::optional<std::string_view> if_range;
    std::optional<std::string_view> if_match;
    std::optional<std::string_view> if_none_match;
    std::optional<std::string_view> if_modified_since;
    std::optional<std::string_view> if_unmodified_since;
    bool says_close = false;
    bool says_keep_alive = false;
};

struct KnownField {
    std::string_view name;
    std::optional<std::string_view> Fields::* value;
};

constexpr std::array<KnownField, 9> known_fields = {{
    {"Host", &Fields::host},
    {"Content-Length", &Fields::content_length},
    {"Transfer-Encoding", &Fields::transfer_encoding},
    {"Range", &Fields::range},
    {"If-Range", &Fields::if_range},
    {"If-Match", &Fields::if_match},
    {"If-None-Match", &Fields::if_none_match},
    {"If-Modified-Since", &Fields::if_modified_since},
    {"If-Unmodified-Since", &Fields::if_unmodified_since},
}};

void read_connection(std::string_view value, Fields& fields) {
    while (!value.empty()) {
        const std::size_t comma = std::min(value.find(','), value.size());
        const std::string_view option = trimmed(value.substr(0, comma));
        fields.says_close |= equals_ignoring_case(option, "close");
        fields.says_keep_alive |= equals_ignoring_case(option, "keep-alive");
        value.remove_prefix(std::min(comma + 1, value.size()));
    }
}

// RFC 9112, 5. A name that is a token right up to the colon rules out folded lines and "Host : a", too.
bool read_field(std::string_view line, Fields& fields) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
        return false;
    }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (!is_field_value(value)) {
        return false;
    }
    if (equals_ignoring_case(name, "Connection")) {
        read_connection(value, fields);
        return true;
    }
    for (const KnownField& known : known_fields) {
        if (equals_ignoring_case(name, known.name)) {
            return !std::exchange(fields.*known.value, value).has_value();
        }
    }
    return true;
}

// RFC 9112, 3.2: "/path?query", or the same behind "http://host". Nothing if it is neither.
std::optional<std::string_view> path_and_query(std::string_view target) {
    if (!std::all_of(target.begin(), target.end(), is_visible) ||
        target.find('#') != std::string_view::npos) {
        return std::nullopt;
    }
    if (target.starts_with('/')) {
        return target;
    }
    const std::size_t scheme_end = target.find("://");
    const std::string_view scheme = target.substr(0, scheme_end);
    if (scheme_end == std::string_view::npos ||
        !(equals_ignoring_case(scheme, "http") || equals_ignoring_case(scheme, "https"))) {
        return std::nullopt;
    }
    const std::string_view rest = target.substr(scheme_end + 3);
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
    const std::string_view path = rest.substr(authority.size());
    if (authority.empty() || !is_host(authority)) {
        return std::nullopt;
    }
    return path.starts_with('/') ? path : std::string_view("/");
}

Method method_named(std::string_view name) {
    // Methods are case-sensitive (RFC 9110, 9.1).
    return name == "GET" ? Method::get : name == "HEAD" ? Method::head : Method::other;
}

// Nothing if all is well.
std::optional<Status> read_request_line(std::string_view line, Request& request) {
    const std::size_t method_end = line.find(' ');
    const std::size_t target_end = line.rfind(' ');
    if (method_end == std::string_view::npos || target_end <= method_end + 1) {
        return Status::bad_request;
    }
    const std::string_view method = line.substr(0, method_end);
    const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
    const std::string_view version = line.substr(target_end + 1);
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!is_token(method) || !std::all_of(target.begin(), target.end(), is_visible) ||
        version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) ||
        version[6] != '.' || !is_digit(version[7])) {
        return Status::bad_request;
    }
    if (version[5] != '1') {
        return Status::version_not_supported;
    }
    request.is_http_1_0 = version[7] == '0';
    request.method = method_named(method);
    if (request.method != Method::other) {
        const auto path = path_and_query(target);
        if (!path) {
            return Status::bad_request;
        }
        request.target = *path;
    }
    return std::nullopt;
}

// Whether a body follows (RFC 9112, 6.3). Nothing if that could be read in two ways.
std::optional<bool> announces_body(const Fields& fields, bool is_http_1_0) {
    if (fields.transfer_encoding) {
        if (fields.content_length || is_http_1_0) {
            return std::nullopt;
        }
        return true;
    }
    const std::string_view length = fields.content_length.value_or("0");
    const bool is_number =
        !length.empty() && length.find_first_not_of("0123456789") == std::string_view::npos;
    return is_number ? std::optional(length.find_first_not_of('0') != std::string_view::npos)
                     : std::nullopt;
}

}  // namespace

HeadFinder::Found HeadFinder::refuse(Status status) {
    refusal_ = status;
    return Found::refused;
}

HeadFinder::Found HeadFinder::find(std::string_view input) {
    // Whoever speaks TLS or anything else to us is told so at once, not after a time limit.
    if (!input.empty() && !is_token_character(input.front()) && input.front() != '\r') {
        return refuse(Status::bad_request);
    }
    for (;;) {
        const std::size_t newline = input.find('\n', searched_);
        searched_ = std::min(newline, input.size());
        const bool in_request_line = lines_ == 0;
        if (in_request_line && searched_ - line_begin_ > limits_.request_line) {
            return refuse(Status::uri_too_long);
        }
        if (searched_ >= limits_.head) {
            return refuse(Status::header_too_large);
        }
        if (newline == std::string_view::npos) {
            return Found::more_needed;
        }
        // A line feed alone would do for some programs and not for others.
        if (newline == line_begin_ || input[newline - 1] != '\r') {
            return refuse(Status::bad_request);
        }
        const bool is_empty = newline - line_begin_ == 1;
        searched_ = line_begin_ = newline + 1;
        // Empty lines before a request come from clients that end the one before with one too many (RFC 9112, 2.2).
        if (is_empty && lines_ > 0) {
            return Found::complete;
        }
        lines_ += is_empty ? 0 : 1;
        if (lines_ > limits_.fields + 1) {
            return refuse(Status::header_too_large);
        }
    }
}

ParsedRequest parse_request(std::string_view head) {
    while (head.starts_with(line_end)) {
        head.remove_prefix(line_end.size());
    }
    const auto next_line = [&head] {
        const std::string_view line = head.substr(0, head.find(line_end));
        head.remove_prefix(std::min(line.size() + line_end.size(), head.size()));
        return line;
    };
    ParsedRequest result;
    Request& request = result.request;
    if (const auto refusal = read_request_line(next_line(), request)) {
        result.refusal = *refusal;
        return result;
    }
    Fields fields;
    for (std::string_view line = next_line(); !line.empty(); line = next_line()) {
        if (!read_field(line, fields)) {
            return result;
        }
    }
    const auto body = announces_body(fields, request.is_http_1_0);
    if (!body || (!fields.host && !request.is_http_1_0) || !is_host(fields.host.value_or(""))) {
        return result;
    }
    request.has_body = *body;
    request.keep_alive = !fields.says_close && (!request.is_http_1_0 || fields.says_keep_alive);
    request.range = fields.range.value_or("");
    request.if_range = fields.if_range.value_or("");
    request.if_match = fields.if_match.value_or("");
    request.if_none_match = fields.if_none_match.value_or("");
    request.if_modified_since = fields.if_modified_since.value_or("");
    request.if_unmodified_since = fields.if_unmodified_since.value_or("");
    result.ok = true;
    return result;
}

}  // namespace file_server
