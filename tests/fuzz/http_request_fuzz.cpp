// A libFuzzer target for the request parser of the example file_server and for everything that is computed from what a
// stranger sent. The first byte of an input chooses what the rest is: a stream of requests, or one path, range, list of
// tags or date.
//
// Beyond crashes it checks promises: pieces make no difference, views lie in the input, no path climbs, no range leaves its
// file, no head of an answer holds a line of the stranger's. How to run it: tests/fuzz/run.sh --target http_request.
#include "../../examples/file_server/answer.hpp"
#include "../../examples/file_server/http_fields.hpp"
#include "../../examples/file_server/http_request.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using file_server::Answer;
using file_server::ByteRange;
using file_server::FileFacts;
using file_server::HeadFinder;
using file_server::Method;
using file_server::ParsedRequest;
using file_server::Request;
using file_server::Status;

constexpr FileFacts some_file{1000, 784'111'777'500'000'000, "text/plain"};

void require(bool condition, const char* promise) {
    if (!condition) {
        std::fprintf(stderr, "broken promise: %s\n", promise);
        std::abort();
    }
}

void check_path(std::string_view target) {
    std::string path;
    if (!file_server::decode_path(target, path)) {
        return;
    }
    require(!path.empty() && path.front() != '/', "a path is relative");
    require(std::none_of(path.begin(), path.end(),
                         [](char c) { return (c >= 0 && c < ' ') || c == 0x7f || c == '\\'; }),
            "a path has no character that no file has");
    const std::string segments = "/" + path + "/";
    for (const std::string_view bad : {"//", "/./", "/../"}) {
        require(segments.find(bad) == segments.npos, "a path goes down only");
    }
}

void check_range(std::string_view value, std::uint64_t size) {
    const ByteRange range = file_server::choose_range(value, size);
    if (range.kind == ByteRange::Kind::part) {
        require(range.length > 0 && range.offset < size && range.length <= size - range.offset,
                "a range lies in its file");
    }
}

void check_tags(std::string_view list) {
    const std::string tag = file_server::entity_tag(some_file);
    const bool strong = contains_tag(list, tag, file_server::Comparison::strong);
    const bool weak = contains_tag(list, tag, file_server::Comparison::weak);
    require(!strong || weak, "what is the same is also nearly the same");
}

void check_date(std::string_view text) {
    if (const auto time = file_server::parse_date(text)) {
        std::string again;
        file_server::append_date(again, *time);
        require(again == text, "a date has one form");
    }
}

// One head and nothing of the stranger's: a line too many would let one client write another's answer.
void check_head(const std::string& head, bool has_body) {
    const auto end = head.find("\r\n\r\n");
    require(end != head.npos, "a head ends");
    require(has_body || end + 4 == head.size(), "nothing follows a head without words");
    require(head.starts_with("HTTP/1.1 "), "an answer begins with its status");
    for (std::size_t i = 0; i < head.size(); ++i) {
        const bool is_line_end = head[i] == '\r' || head[i] == '\n';
        require(is_line_end || (head[i] >= ' ' && head[i] < 0x7f), "an answer is plain ASCII");
    }
}

void check_answer(const Request& request) {
    static file_server::HeadWriter writer;
    const Answer answer = file_server::choose_answer(request, some_file);
    require(answer.offset + answer.length <= some_file.size, "an answer is part of the file");
    require(request.method == Method::get || !answer.with_body, "the answer to HEAD has no body");
    std::string head;
    const file_server::Persistence persistence{request.keep_alive, request.is_http_1_0};
    if (answer.status == Status::precondition_failed ||
        answer.status == Status::range_not_satisfiable) {
        writer.append_words(head, answer.status, persistence, {.file_size = some_file.size});
        check_head(head, true);
    } else {
        writer.append(head, answer, some_file, persistence);
        check_head(head, false);
    }
}

void check_request(std::string_view head) {
    const ParsedRequest parsed = file_server::parse_request(head);
    if (!parsed.ok) {
        require(parsed.refusal >= Status::bad_request, "a refusal is an error");
        return;
    }
    const Request& request = parsed.request;
    for (const std::string_view view :
         {request.range, request.if_range, request.if_match, request.if_none_match,
          request.if_modified_since, request.if_unmodified_since}) {
        require(view.empty() || (view.data() >= head.data() &&
                                 view.data() + view.size() <= head.data() + head.size()),
                "a field lies in the head");
        require(view.find_first_of("\r\n") == view.npos, "a field is one line");
    }
    if (request.method != Method::other) {
        require(request.target.starts_with('/'), "a target begins at the root");
        check_path(request.target);
        check_answer(request);
    }
}

// All that is there at once, and the same growing by pieces of all sizes, come to the same heads and the same end.
void check_stream(std::string_view input) {
    if (input.empty()) {
        return;
    }
    const std::size_t piece = static_cast<unsigned char>(input.front()) + 1U;
    input.remove_prefix(1);
    HeadFinder whole;
    HeadFinder growing;
    std::size_t size = 0;
    while (!input.empty()) {
        const HeadFinder::Found expected = whole.find(input);
        HeadFinder::Found found = growing.find(input.substr(0, size));
        while (found == HeadFinder::Found::more_needed && size < input.size()) {
            size = std::min(size + piece, input.size());
            found = growing.find(input.substr(0, size));
        }
        require(found == expected, "pieces make no difference");
        require(whole.size() == growing.size() && whole.refusal() == growing.refusal(),
                "pieces make no difference in detail");
        if (found != HeadFinder::Found::complete) {
            return;
        }
        require(whole.size() > 0 && whole.size() <= size, "a head lies in the input");
        check_request(input.substr(0, whole.size()));
        input.remove_prefix(whole.size());
        size -= whole.size();
        whole.reset();
        growing.reset();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    // A copy of exactly that size, so that a byte read behind its end is noticed.
    const std::string copy(data + 1, data + size);
    switch (data[0] % 8) {
        case 0:
            check_path(copy);
            break;
        case 1:
            check_range(copy, 1000);
            check_range(copy, UINT64_MAX);
            break;
        case 2:
            check_tags(copy);
            break;
        case 3:
            check_date(copy);
            break;
        default:
            check_stream(copy);
            break;
    }
    return 0;
}
