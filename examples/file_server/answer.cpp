// Decides answers and writes their heads: see answer.hpp.
#include "answer.hpp"

#include "http_fields.hpp"

#include <array>
#include <charconv>
#include <ctime>

namespace file_server {

namespace {

constexpr std::int64_t ns_per_second = 1'000'000'000;

std::int64_t modified_seconds(const FileFacts& file) {
    // Rounded down, also before 1970.
    const std::int64_t seconds = file.modified_ns / ns_per_second;
    return seconds - (file.modified_ns % ns_per_second < 0 ? 1 : 0);
}

void append_number(std::string& text, std::uint64_t value, int base = 10) {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, base);
    text.append(digits.data(), end.ptr);
}

void append_length(std::string& text, std::uint64_t length) {
    text += "Content-Length: ";
    append_number(text, length);
    text += "\r\n";
}

void append_tag(std::string& text, const FileFacts& file) {
    text += '"';
    append_number(text, static_cast<std::uint64_t>(file.modified_ns), 16);
    text += '-';
    append_number(text, file.size, 16);
    text += '"';
}

// The status that the conditions end the request with; ok if they do not.
Status judge_conditions(const Request& request, const FileFacts& file) {
    const std::int64_t modified = modified_seconds(file);
    if (!request.if_match.empty()) {
        if (!contains_tag(request.if_match, entity_tag(file), Comparison::strong)) {
            return Status::precondition_failed;
        }
    } else if (const auto limit = parse_date(request.if_unmodified_since);
               limit && modified > *limit) {
        return Status::precondition_failed;
    }
    if (!request.if_none_match.empty()) {
        if (contains_tag(request.if_none_match, entity_tag(file), Comparison::weak)) {
            return Status::not_modified;
        }
    } else if (const auto known = parse_date(request.if_modified_since);
               known && modified <= *known) {
        return Status::not_modified;
    }
    return Status::ok;
}

// A client that holds the beginning of a file asks for the rest if it is still the same file (RFC 9110, 13.1.5).
bool range_still_holds(const Request& request, const FileFacts& file) {
    if (request.if_range.empty()) {
        return true;
    }
    return request.if_range == entity_tag(file) ||
           parse_date(request.if_range) == modified_seconds(file);
}

}  // namespace

std::string entity_tag(const FileFacts& file) {
    std::string tag;
    append_tag(tag, file);
    return tag;
}

Answer choose_answer(const Request& request, const FileFacts& file) {
    const bool is_get = request.method == Method::get;
    const Status judged = judge_conditions(request, file);
    if (judged == Status::not_modified) {
        return {judged, false, 0, 0};
    }
    if (judged != Status::ok) {
        return {judged, is_get, 0, 0};
    }
    const Answer whole = {Status::ok, is_get, 0, file.size};
    if (!is_get || request.range.empty() || !range_still_holds(request, file)) {
        return whole;
    }
    const ByteRange range = choose_range(request.range, file.size);
    switch (range.kind) {
        case ByteRange::Kind::whole:
            return whole;
        case ByteRange::Kind::unsatisfiable:
            return {Status::range_not_satisfiable, true, 0, 0};
        case ByteRange::Kind::part:
            return {Status::partial_content, true, range.offset, range.length};
    }
    return whole;
}

void HeadWriter::append_common(std::string& text, Status status, const Persistence& persistence) {
    const std::int64_t now = std::time(nullptr);
    if (now != date_time_) {
        date_time_ = now;
        date_line_ = "Date: ";
        append_date(date_line_, now);
        date_line_ += "\r\n";
    }
    text += "HTTP/1.1 ";
    text += status_text(status);
    text += "\r\n";
    text += date_line_;
    if (!persistence.keep_alive) {
        text += "Connection: close\r\n";
    } else if (persistence.is_http_1_0) {
        text += "Connection: keep-alive\r\n";
    }
}

void HeadWriter::append(std::string& text, const Answer& answer, const FileFacts& file,
                        const Persistence& persistence) {
    append_common(text, answer.status, persistence);
    if (answer.status != Status::not_modified) {
        text += "Content-Type: ";
        text += file.type;
        text += "\r\nAccept-Ranges: bytes\r\n";
        append_length(text, answer.length);
    }
    if (answer.status == Status::partial_content) {
        text += "Content-Range: bytes ";
        append_number(text, answer.offset);
        text += '-';
        append_number(text, answer.offset + answer.length - 1);
        text += '/';
        append_number(text, file.size);
        text += "\r\n";
    }
    text += "ETag: ";
    append_tag(text, file);
    text += "\r\nLast-Modified: ";
    append_date(text, modified_seconds(file));
    text += "\r\n\r\n";
}

void HeadWriter::append_words(std::string& text, Status status, const Persistence& persistence,
                              const Words& words) {
    const std::string_view line = status_text(status);
    append_common(text, status, persistence);
    text += "Content-Type: text/plain; charset=utf-8\r\n";
    append_length(text, line.size() + 1);
    if (status == Status::method_not_allowed) {
        text += "Allow: GET, HEAD\r\n";
    }
    if (status == Status::range_not_satisfiable) {
        text += "Content-Range: bytes */";
        append_number(text, words.file_size);
        text += "\r\n";
    }
    text += "\r\n";
    if (!words.head_only) {
        text += line;
        text += '\n';
    }
}

}  // namespace file_server
