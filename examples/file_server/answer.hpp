// What a request gets, decided from what it says and what its file is like: the status, which bytes of the file, and the
// head of the answer as text. Knows neither descriptors nor connections, so that every rule can be tested as a function.
#pragma once

#include "http_request.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace file_server {

/// What an answer tells of a file.
struct FileFacts {
    std::uint64_t size = 0;
    std::int64_t modified_ns = 0;  // since 1970
    std::string_view type;         // the Content-Type
};

/// A part of a file to send, or words of our own.
struct Answer {
    Status status = Status::ok;
    bool with_body = true;  // false: the lengths are only told of (HEAD, 304)
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};

/// Conditions first, then the range, in the order of RFC 9110, 13.2.2 and 14.2. For GET and HEAD.
Answer choose_answer(const Request& request, const FileFacts& file);

/// The file's strong entity tag: its size and the nanosecond of its last change.
std::string entity_tag(const FileFacts& file);

/// How the connection goes on, for the fields that say so.
struct Persistence {
    bool keep_alive = true;
    bool is_http_1_0 = false;
};

/// Writes heads of answers. One for all connections of a thread; its Date line is made once a second.
class HeadWriter {
public:
    /// Appends the head of an answer about a file.
    void append(std::string& text, const Answer& answer, const FileFacts& file,
                const Persistence& persistence);

    struct Words {
        bool head_only = false;
        std::uint64_t file_size = 0;  // for 416, which tells it
    };
    /// Appends a whole answer whose body is its status in words.
    void append_words(std::string& text, Status status, const Persistence& persistence,
                      const Words& words);

private:
    void append_common(std::string& text, Status status, const Persistence& persistence);

    std::int64_t date_time_ = -1;
    std::string date_line_;
};

}  // namespace file_server
