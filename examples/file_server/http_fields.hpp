// The values inside a request that have a grammar of their own: paths, byte ranges, entity tags, dates. Pure functions over
// text that anybody may have sent; they know neither requests nor files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace file_server {

/// ASCII letters only, as HTTP means it.
bool equals_ignoring_case(std::string_view a, std::string_view b);

/// Without spaces and tabs at either end.
std::string_view trimmed(std::string_view text);

/// Turns a request's target into the name of a file relative to the served folder: "/a%20b/?q" becomes "a b/index.html".
/// False if it is malformed or tries to climb: a broken percent sign, a control character, a backslash, a segment "..",
/// each plain or encoded. `path` never begins with a slash and never names the folder itself.
bool decode_path(std::string_view target, std::string& path);

struct ByteRange {
    enum class Kind { whole, part, unsatisfiable };
    Kind kind = Kind::whole;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};

/// What a Range field asks of a file with `size` bytes (RFC 9110, 14). Several ranges, other units and what makes no sense
/// are ignored, which the RFC allows: the whole file is sent.
ByteRange choose_range(std::string_view value, std::uint64_t size);

/// Whether a list of entity tags, or "*", contains `tag`, which is a strong one with its quotes (RFC 9110, 8.8.3 and 13.1).
enum class Comparison { strong, weak };
bool contains_tag(std::string_view list, std::string_view tag, Comparison comparison);

/// Appends a time, in seconds since 1970, as "Sun, 06 Nov 1994 08:49:37 GMT". What lies outside of the
/// years 0 to 9999 becomes their first or last second.
void append_date(std::string& text, std::int64_t time);

/// The opposite. The two forms that were obsolete in 1997 count as no date, and so does one that no calendar has: a
/// condition that cannot be read is ignored, which costs a transfer and no more.
std::optional<std::int64_t> parse_date(std::string_view text);

}  // namespace file_server
