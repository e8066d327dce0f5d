// Reads and writes the values of fields: see http_fields.hpp.
#include "http_fields.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <memory>
#include <system_error>

namespace file_server {

namespace {

constexpr std::array<std::string_view, 7> weekdays = {"Sun", "Mon", "Tue", "Wed",
                                                      "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char letter = lower(c);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

// Nothing for what is no number or does not fit.
std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const char* const end = std::to_address(text.end());
    const auto [stop, error] = std::from_chars(std::to_address(text.begin()), end, value);
    return error == std::errc{} && stop == end ? std::optional(value) : std::nullopt;
}

bool is_digits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// A number that is too large for us is larger than any file.
std::uint64_t position(std::string_view digits) {
    return number(digits).value_or(UINT64_MAX);
}

// Percent-decodes the path of `target`. False for what no file of ours is called.
bool unescape(std::string_view target, std::string& text) {
    text.clear();
    const std::string_view path = target.substr(0, target.find('?'));
    for (std::size_t i = 0; i < path.size(); ++i) {
        char c = path[i];
        if (c == '%') {
            if (path.size() - i < 3) {
                return false;
            }
            const int high = hex_digit(path[i + 1]);
            const int low = hex_digit(path[i + 2]);
            if (high < 0 || low < 0) {
                return false;
            }
            c = static_cast<char>(high * 16 + low);
            i += 2;
        }
        const auto byte = static_cast<unsigned char>(c);
        // A backslash separates folders on other systems; whoever sends one is trying something.
        if (byte < 0x20 || byte == 0x7f || c == '\\') {
            return false;
        }
        text += c;
    }
    return true;
}

void append_padded(std::string& text, unsigned value, unsigned digits) {
    for (unsigned divisor = digits == 4 ? 1000 : 10; divisor > 0; divisor /= 10) {
        text += static_cast<char>('0' + value / divisor % 10);
    }
}

// Exactly `digits` digits at the beginning of `text`.
std::optional<unsigned> fixed_number(std::string_view text, std::size_t digits) {
    const std::string_view part = text.substr(0, digits);
    if (part.size() != digits || !is_digits(part)) {
        return std::nullopt;
    }
    return static_cast<unsigned>(number(part).value_or(0));
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                              [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) {
        return {};
    }
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

bool decode_path(std::string_view target, std::string& path) {
    if (!target.starts_with('/') || !unescape(target, path)) {
        return false;
    }
    const bool names_folder = path.ends_with('/') || path.ends_with("/.");
    // In place: what is kept never gets ahead of what is read.
    std::size_t kept = 0;
    for (std::size_t begin = 0; begin < path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        const std::string_view segment = std::string_view(path).substr(begin, end - begin);
        if (segment == "..") {
            return false;
        }
        if (!segment.empty() && segment != ".") {
            if (kept > 0) {
                path[kept++] = '/';
            }
            std::copy(segment.begin(), segment.end(),
                      path.begin() + static_cast<std::ptrdiff_t>(kept));
            kept += segment.size();
        }
        begin = end + 1;
    }
    path.resize(kept);
    if (names_folder) {
        path += path.empty() ? "index.html" : "/index.html";
    }
    return true;
}

ByteRange choose_range(std::string_view value, std::uint64_t size) {
    constexpr std::string_view unit = "bytes=";
    constexpr ByteRange whole;
    constexpr ByteRange unsatisfiable = {ByteRange::Kind::unsatisfiable, 0, 0};
    if (!equals_ignoring_case(value.substr(0, unit.size()), unit)) {
        return whole;
    }
    const std::string_view range = trimmed(value.substr(unit.size()));
    const std::size_t dash = range.find('-');
    if (dash == std::string_view::npos) {
        return whole;
    }
    const std::string_view first = range.substr(0, dash);
    const std::string_view last = range.substr(dash + 1);
    if (first.empty()) {
        if (!is_digits(last)) {
            return whole;
        }
        const std::uint64_t length = std::min(position(last), size);
        return length == 0 ? unsatisfiable
                           : ByteRange{ByteRange::Kind::part, size - length, length};
    }
    if (!is_digits(first) || !(last.empty() || is_digits(last))) {
        return whole;
    }
    const std::uint64_t begin = position(first);
    const std::uint64_t end = last.empty() ? UINT64_MAX : position(last);
    if (end < begin) {
        return whole;
    }
    if (begin >= size) {
        return unsatisfiable;
    }
    return {ByteRange::Kind::part, begin, std::min(end, size - 1) - begin + 1};
}

bool contains_tag(std::string_view list, std::string_view tag, Comparison comparison) {
    if (trimmed(list) == "*") {
        return true;
    }
    while (!list.empty()) {
        list = list.substr(std::min(list.find_first_not_of(" \t,"), list.size()));
        const bool is_weak = list.starts_with("W/");
        list.remove_prefix(is_weak ? 2 : 0);
        // A comma may stand inside the quotes.
        const std::size_t end = list.starts_with('"') ? list.find('"', 1) : std::string_view::npos;
        if (end == std::string_view::npos) {
            return false;
        }
        if (list.substr(0, end + 1) == tag && (!is_weak || comparison != Comparison::strong)) {
            return true;
        }
        list.remove_prefix(end + 1);
    }
    return false;
}

void append_date(std::string& text, std::int64_t time) {
    namespace chrono = std::chrono;
    // What the calendar of the form has: a file may claim any time at all.
    constexpr chrono::sys_seconds first = chrono::sys_days(chrono::year(0) / chrono::January / 1);
    constexpr chrono::sys_seconds last =
        chrono::sys_days(chrono::year(10'000) / chrono::January / 1) - chrono::seconds(1);
    const chrono::sys_seconds point =
        std::clamp(chrono::sys_seconds(chrono::seconds(time)), first, last);
    const chrono::sys_days day = chrono::floor<chrono::days>(point);
    const chrono::year_month_day date(day);
    const chrono::hh_mm_ss clock(point - day);
    text += weekdays[chrono::weekday(day).c_encoding()];
    text += ", ";
    append_padded(text, static_cast<unsigned>(date.day()), 2);
    text += ' ';
    text += months[static_cast<unsigned>(date.month()) - 1];
    text += ' ';
    append_padded(text, static_cast<unsigned>(static_cast<int>(date.year())), 4);
    text += ' ';
    append_padded(text, static_cast<unsigned>(clock.hours().count()), 2);
    text += ':';
    append_padded(text, static_cast<unsigned>(clock.minutes().count()), 2);
    text += ':';
    append_padded(text, static_cast<unsigned>(clock.seconds().count()), 2);
    text += " GMT";
}

std::optional<std::int64_t> parse_date(std::string_view text) {
    namespace chrono = std::chrono;
    constexpr std::string_view form = "Sun, 06 Nov 1994 08:49:37 GMT";
    if (text.size() != form.size()) {
        return std::nullopt;
    }
    const auto day_of_month = fixed_number(text.substr(5), 2);
    const auto* const month = std::find(months.begin(), months.end(), text.substr(8, 3));
    const auto year_number = fixed_number(text.substr(12), 4);
    const auto hour = fixed_number(text.substr(17), 2);
    const auto minute = fixed_number(text.substr(20), 2);
    const auto second = fixed_number(text.substr(23), 2);
    if (!day_of_month || month == months.end() || !year_number || !hour || !minute || !second ||
        *hour > 23 || *minute > 59 || *second > 59) {
        return std::nullopt;
    }
    const chrono::year_month_day date(
        chrono::year(static_cast<int>(*year_number)),
        chrono::month(static_cast<unsigned>(month - months.begin()) + 1),
        chrono::day(*day_of_month));
    if (!date.ok()) {
        return std::nullopt;
    }
    const chrono::sys_seconds point = chrono::sys_days(date) + chrono::hours(*hour) +
                                      chrono::minutes(*minute) + chrono::seconds(*second);
    const std::int64_t time = point.time_since_epoch().count();
    // Weekday, punctuation and the rest have one right form for each time.
    std::string expected;
    append_date(expected, time);
    return text == expected ? std::optional(time) : std::nullopt;
}

}  // namespace file_server
