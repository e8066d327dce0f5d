// The request parser of the example file_server: what is a request, what is not, and that no way of cutting the bytes up
// changes the answer. Knows neither files nor sockets.
#include "../../examples/file_server/http_request.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace {

using file_server::HeadFinder;
using file_server::Method;
using file_server::ParsedRequest;
using file_server::Status;

std::string with_host(std::string_view fields) {
    return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}

// As a server does: the head is found, then taken apart. A head that does not end is a mistake of the test.
ParsedRequest parsed(const std::string& text) {
    HeadFinder finder;
    const auto found = finder.find(text);
    EXPECT_NE(found, HeadFinder::Found::more_needed) << text;
    if (found != HeadFinder::Found::complete) {
        ParsedRequest refused;
        refused.refusal = finder.refusal();
        return refused;
    }
    return file_server::parse_request(std::string_view(text).substr(0, finder.size()));
}

// Nothing if the text is a request.
std::optional<Status> refusal_of(const std::string& text) {
    const ParsedRequest result = parsed(text);
    return result.ok ? std::nullopt : std::optional(result.refusal);
}

TEST(HttpRequest, AGetWithAHostIsARequest) {
    const std::string text = "GET /a/b?c=d HTTP/1.1\r\nHost: example.test:8080\r\n\r\n";
    const ParsedRequest result = parsed(text);
    ASSERT_TRUE(result.ok);
    EXPECT_EQ(result.request.method, Method::get);
    EXPECT_EQ(result.request.target, "/a/b?c=d");
    EXPECT_TRUE(result.request.keep_alive);
    EXPECT_FALSE(result.request.has_body);
    EXPECT_FALSE(result.request.is_http_1_0);
}

TEST(HttpRequest, FieldsAreFoundWhateverTheirCaseAndWithoutTheSpaceAroundTheirValues) {
    const std::string text = with_host(
        "rAnGe:bytes=0-1\r\nIF-NONE-MATCH: \t \"x\" \t\r\nif-match: *\r\nIf-Range: \"y\"\r\n"
        "If-Modified-Since: then\r\nIf-Unmodified-Since: later\r\nAccept: */*\r\n");
    const ParsedRequest result = parsed(text);
    ASSERT_TRUE(result.ok);
    EXPECT_EQ(result.request.range, "bytes=0-1");
    EXPECT_EQ(result.request.if_none_match, "\"x\"");
    EXPECT_EQ(result.request.if_match, "*");
    EXPECT_EQ(result.request.if_range, "\"y\"");
    EXPECT_EQ(result.request.if_modified_since, "then");
    EXPECT_EQ(result.request.if_unmodified_since, "later");
}

TEST(HttpRequest, MethodsAreCaseSensitiveAndUnknownOnesAreStillRequests) {
    EXPECT_EQ(parsed("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").request.method, Method::head);
    for (const char* const method : {"get", "POST", "CONNECT", "M-SEARCH"}) {
        const ParsedRequest result =
            parsed(std::string(method) + " x:1 HTTP/1.1\r\nHost: a\r\n\r\n");
        EXPECT_TRUE(result.ok) << method;
        EXPECT_EQ(result.request.method, Method::other) << method;
    }
}

TEST(HttpRequest, AnAbsoluteTargetCountsFromItsPathOn) {
    const auto target_of = [](const std::string& target) {
        const std::string text = "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
        const ParsedRequest result = parsed(text);
        return result.ok ? std::string(result.request.target) : "refused";
    };
    EXPECT_EQ(target_of("http://a/b?c"), "/b?c");
    EXPECT_EQ(target_of("HTTPS://a:1"), "/");
    EXPECT_EQ(target_of("http://a?/b"), "/");
    for (const char* const wrong :
         {"a", "*", "ftp://a/", "http:///b", "http://user@a/", "//", "/#a"}) {
        EXPECT_EQ(target_of(wrong), wrong == std::string_view("//") ? "//" : "refused") << wrong;
    }
}

TEST(HttpRequest, ConnectionsPersistByDefaultOnlyInHttp11) {
    const auto persists = [](const char* version, const char* fields) {
        const ParsedRequest result =
            parsed(std::string("GET / HTTP/1.") + version + "\r\nHost: a\r\n" + fields + "\r\n");
        EXPECT_TRUE(result.ok);
        return result.request.keep_alive;
    };
    EXPECT_TRUE(persists("1", ""));
    EXPECT_TRUE(persists("1", "Connection: TE\r\n"));
    EXPECT_FALSE(persists("1", "Connection: Close\r\n"));
    EXPECT_FALSE(persists("1", "Connection: TE ,\tclose\r\n"));
    EXPECT_FALSE(persists("1", "Connection: keep-alive\r\nConnection: close\r\n"));
    EXPECT_FALSE(persists("0", ""));
    EXPECT_TRUE(persists("0", "Connection: Keep-Alive\r\n"));
    // A later minor version is answered like 1.1 (RFC 9110, 2.5).
    EXPECT_TRUE(persists("9", ""));
}

TEST(HttpRequest, ARequestLineThatIsNotExactlyOneIsRefused) {
    for (const char* const line :
         {"GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET / http/1.1",
          "GET / HTTP/1", "GET / HTTP/1.10", "GET / HTTP/x.1", "GET HTTP/1.1", "G(T / HTTP/1.1",
          "GET /a b HTTP/1.1", "GET /\x7f HTTP/1.1", "GET /\xc3\xa4 HTTP/1.1",
          "GET\t/\tHTTP/1.1"}) {
        EXPECT_EQ(refusal_of(std::string(line) + "\r\nHost: a\r\n\r\n"), Status::bad_request)
            << line;
    }
    EXPECT_EQ(refusal_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Status::version_not_supported);
}

TEST(HttpRequest, AFieldThatSomebodyMightReadAnotherWayIsRefused) {
    for (const char* const field :
         {"Range : bytes=0-1", " Range: bytes=0-1", "Range", ": x", "A: b\r\n folded", "A: b\rc",
          "A: \x01", "A: \x7f", "N\xc3\xa4me: x", "A\x0b: x"}) {
        EXPECT_EQ(refusal_of(with_host(std::string(field) + "\r\n")), Status::bad_request) << field;
    }
    EXPECT_EQ(refusal_of(with_host(std::string("A: b\0c\r\n", 8))), Status::bad_request);
    EXPECT_EQ(refusal_of(with_host("A: \xc3\xa4 is fine\r\nB:\r\n")), std::nullopt);
}

TEST(HttpRequest, LinesEndWithBothCharacters) {
    EXPECT_EQ(refusal_of("GET / HTTP/1.1\nHost: a\n\n"), Status::bad_request);
    EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\nHost: a\r\n\n"), Status::bad_request);
    EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"), Status::bad_request);
}

TEST(HttpRequest, AHostIsNeededOnceAndOnlyFromHttp11On) {
    EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\n\r\n"), Status::bad_request);
    EXPECT_EQ(refusal_of("GET / HTTP/1.0\r\n\r\n"), std::nullopt);
    EXPECT_EQ(refusal_of(with_host("Host: a\r\n")), Status::bad_request);
    for (const char* const host : {"a b", "a/b", "user@a", "a\\b", "a,b"}) {
        EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n"),
                  Status::bad_request)
            << host;
    }
}

TEST(HttpRequest, AnnouncedBodiesAreNoticed) {
    const auto has_body = [](const std::string& fields) {
        const ParsedRequest result = parsed(with_host(fields));
        EXPECT_TRUE(result.ok) << fields;
        return result.request.has_body;
    };
    EXPECT_FALSE(has_body("Content-Length: 0\r\n"));
    EXPECT_FALSE(has_body("Content-Length: 000\r\n"));
    EXPECT_TRUE(has_body("Content-Length: 1\r\n"));
    EXPECT_TRUE(has_body("Content-Length: 99999999999999999999999999\r\n"));
    EXPECT_TRUE(has_body("Transfer-Encoding: chunked\r\n"));
    EXPECT_TRUE(has_body("Transfer-Encoding:\r\n"));
}

TEST(HttpRequest, ABodyWhoseLengthCouldBeReadInTwoWaysIsRefused) {
    for (const char* const fields :
         {"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Content-Length: +1\r\n",
          "Content-Length: 0\r\nTransfer-Encoding: identity\r\n", "Content-Length: 1, 1\r\n",
          "Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: 0x1\r\n",
          "Content-Length:\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"}) {
        EXPECT_EQ(refusal_of(with_host(fields)), Status::bad_request) << fields;
    }
    EXPECT_EQ(refusal_of("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
              Status::bad_request);
}

TEST(HttpRequest, AFieldThatMattersIsRefusedWhenItComesTwice) {
    for (const char* const name : {"Range", "If-Range", "If-Match", "If-None-Match",
                                   "If-Modified-Since", "If-Unmodified-Since"}) {
        const std::string field = std::string(name) + ": \"x\"\r\n";
        EXPECT_EQ(refusal_of(with_host(field)), std::nullopt) << name;
        EXPECT_EQ(refusal_of(with_host(field + field)), Status::bad_request) << name;
        EXPECT_EQ(refusal_of(with_host(std::string(name) + ":\r\n" + field)), Status::bad_request)
            << name;
    }
    EXPECT_EQ(refusal_of(with_host("X: a\r\nX: b\r\n")), std::nullopt);
}

TEST(HttpHeadFinder, AHeadEndsWithItsEmptyLineAndWhatFollowsIsTheNext) {
    const std::string first = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    const std::string text = first + "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    HeadFinder finder;
    ASSERT_EQ(finder.find(text), HeadFinder::Found::complete);
    EXPECT_EQ(finder.size(), first.size());
    finder.reset();
    const auto rest = std::string_view(text).substr(first.size());
    ASSERT_EQ(finder.find(rest), HeadFinder::Found::complete);
    EXPECT_EQ(finder.size(), rest.size());
}

TEST(HttpHeadFinder, EmptyLinesBeforeARequestBelongToIt) {
    const std::string text = "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const ParsedRequest result = parsed(text);
    EXPECT_TRUE(result.ok);
    EXPECT_EQ(result.request.target, "/");
}

TEST(HttpHeadFinder, TheSizeOfThePiecesMakesNoDifference) {
    const std::vector<std::string> texts = {
        with_host("A: b\r\n"), "\r\n" + with_host(""), "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\n" + std::string(20'000, 'x'), "GET /" + std::string(20'000, 'x')};
    for (const std::string& text : texts) {
        HeadFinder whole;
        const auto expected = whole.find(text);
        for (const std::size_t piece : {1U, 2U, 3U, 7U}) {
            HeadFinder finder;
            auto found = HeadFinder::Found::more_needed;
            for (std::size_t size = piece;
                 found == HeadFinder::Found::more_needed && size < text.size() + piece;
                 size += piece) {
                found = finder.find(std::string_view(text).substr(0, size));
            }
            EXPECT_EQ(found, expected);
            EXPECT_EQ(finder.size(), whole.size());
            EXPECT_EQ(finder.refusal(), whole.refusal());
        }
    }
}

TEST(HttpHeadFinder, WhatDoesNotBeginLikeARequestIsRefusedAtItsFirstByte) {
    for (const char* const text : {"\x16\x03\x01", " ", "\n", "\x80"}) {
        HeadFinder finder;
        EXPECT_EQ(finder.find(text), HeadFinder::Found::refused);
    }
    HeadFinder finder;
    EXPECT_EQ(finder.find(""), HeadFinder::Found::more_needed);
    EXPECT_EQ(finder.find("\r"), HeadFinder::Found::more_needed);
}

TEST(HttpHeadFinder, EachLimitHasItsOwnAnswerAndIsExact) {
    const file_server::HeadLimits limits{.request_line = 40, .head = 80, .fields = 2};
    const auto find = [&](const std::string& text) {
        HeadFinder finder(limits);
        const auto found = finder.find(text);
        return found == HeadFinder::Found::refused ? std::optional(finder.refusal()) : std::nullopt;
    };
    const auto line_of = [](std::size_t size) {
        return "GET /" + std::string(size - 15, 'x') + " HTTP/1.1\r";
    };
    ASSERT_EQ(line_of(40).size(), 40U);
    EXPECT_EQ(find(line_of(40) + "\nHost: a\r\n\r\n"), std::nullopt);
    EXPECT_EQ(find(line_of(41) + "\nHost: a\r\n\r\n"), Status::uri_too_long);
    EXPECT_EQ(find("GET /" + std::string(36, 'x')), Status::uri_too_long);
    EXPECT_EQ(find("GET / HTTP/1.1\r\nA: b\r\nC: d\r\n\r\n"), std::nullopt);
    EXPECT_EQ(find("GET / HTTP/1.1\r\nA: b\r\nC: d\r\nE: f\r\n\r\n"), Status::header_too_large);
    const std::string head = "GET / HTTP/1.1\r\nA: ";
    EXPECT_EQ(find(head + std::string(76 - head.size(), 'x') + "\r\n\r\n"), std::nullopt);
    EXPECT_EQ(find(head + std::string(77 - head.size(), 'x') + "\r\n\r\n"),
              Status::header_too_large);
    EXPECT_EQ(find(head + std::string(100, 'x')), Status::header_too_large);
}

}  // namespace
