// The values inside requests to the example file_server: paths, ranges, entity tags, dates. Against what RFC 9110 says and
// what attackers try. Pure functions; no files.
#include "../../examples/file_server/http_fields.hpp"

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace {

using file_server::ByteRange;
using file_server::Comparison;

// Nothing if it is refused.
std::optional<std::string> path_of(std::string_view target) {
    std::string path = "left from before";
    return file_server::decode_path(target, path) ? std::optional(path) : std::nullopt;
}

TEST(HttpPath, IsRelativeToTheFolderAndDecoded) {
    EXPECT_EQ(path_of("/a.txt"), "a.txt");
    EXPECT_EQ(path_of("/a/b.txt"), "a/b.txt");
    EXPECT_EQ(path_of("/a%20b%2Ec?d/../e"), "a b.c");
    EXPECT_EQ(path_of("/%c3%A4"), "\xc3\xa4");
    EXPECT_EQ(path_of("/%2525"), "%25");
    EXPECT_EQ(path_of("/a+b"), "a+b");
}

TEST(HttpPath, AFolderMeansItsIndex) {
    EXPECT_EQ(path_of("/"), "index.html");
    EXPECT_EQ(path_of("/?q"), "index.html");
    EXPECT_EQ(path_of("/a/"), "a/index.html");
    EXPECT_EQ(path_of("/a/."), "a/index.html");
    EXPECT_EQ(path_of("/a%2f"), "a/index.html");
}

TEST(HttpPath, EmptySegmentsAndSingleDotsMeanNothing) {
    EXPECT_EQ(path_of("//etc/passwd"), "etc/passwd");
    EXPECT_EQ(path_of("/%2fetc//./passwd"), "etc/passwd");
    EXPECT_EQ(path_of("/.hidden/..a/a.."), ".hidden/..a/a..");
    EXPECT_EQ(path_of("/.../a"), ".../a");
}

TEST(HttpPath, NothingClimbs) {
    for (const char* const target : {"/..", "/../a", "/a/..", "/a/../b", "/%2e%2e/a", "/.%2E/a",
                                     "/a%2f..%2fb", "/..%2fa", "/a/%2e%2e"}) {
        EXPECT_EQ(path_of(target), std::nullopt) << target;
    }
}

TEST(HttpPath, WhatNoFileIsCalledIsRefused) {
    for (const char* const target : {"", "a", "/%", "/%4", "/%g0", "/%0g", "/%00", "/a%00.html",
                                     "/%0a", "/%7f", "/a\\b", "/%5c..%5ca"}) {
        EXPECT_EQ(path_of(target), std::nullopt) << target;
    }
}

constexpr std::uint64_t file_size = 1000;

// "whole", "none", or first byte and length.
std::string range_of(std::string_view value, std::uint64_t size = file_size) {
    const ByteRange range = file_server::choose_range(value, size);
    switch (range.kind) {
        case ByteRange::Kind::whole:
            return "whole";
        case ByteRange::Kind::unsatisfiable:
            return "none";
        case ByteRange::Kind::part:
            return std::to_string(range.offset) + "+" + std::to_string(range.length);
    }
    return "";
}

TEST(HttpRange, HasAFirstByteAndALastOneOrTheEnd) {
    EXPECT_EQ(range_of("bytes=0-0"), "0+1");
    EXPECT_EQ(range_of("bytes=10-19"), "10+10");
    EXPECT_EQ(range_of("bytes=0-"), "0+1000");
    EXPECT_EQ(range_of("bytes=999-"), "999+1");
    EXPECT_EQ(range_of("Bytes= 1-2 "), "1+2");
}

TEST(HttpRange, BeyondTheEndIsCutOrCannotBe) {
    EXPECT_EQ(range_of("bytes=990-2000"), "990+10");
    EXPECT_EQ(range_of("bytes=0-99999999999999999999999999"), "0+1000");
    EXPECT_EQ(range_of("bytes=1000-"), "none");
    EXPECT_EQ(range_of("bytes=99999999999999999999999999-"), "none");
    EXPECT_EQ(range_of("bytes=0-", 0), "none");
    EXPECT_EQ(range_of("bytes=0-18446744073709551615", UINT64_MAX), "0+18446744073709551615");
}

TEST(HttpRange, CountsFromTheEndWhenItHasNoFirstByte) {
    EXPECT_EQ(range_of("bytes=-1"), "999+1");
    EXPECT_EQ(range_of("bytes=-5000"), "0+1000");
    EXPECT_EQ(range_of("bytes=-99999999999999999999999999"), "0+1000");
    EXPECT_EQ(range_of("bytes=-0"), "none");
    EXPECT_EQ(range_of("bytes=-1", 0), "none");
}

TEST(HttpRange, WhatIsNoneOrSeveralGetsTheWholeFile) {
    for (const char* const value :
         {"", "bytes", "bytes=", "bytes=-", "bytes=5", "bytes=2-1", "bytes=a-b", "bytes=1-b",
          "bytes=--1", "bytes=+1-2", "bytes=0-1,5-6", "lines=0-1", "bytes 0-1", "bytes=0-1-2",
          "bytes=0 - 1"}) {
        EXPECT_EQ(range_of(value), "whole") << value;
    }
}

TEST(HttpTags, AreFoundInLists) {
    const auto contains = [](std::string_view list) {
        return file_server::contains_tag(list, "\"a,b\"", Comparison::strong);
    };
    EXPECT_TRUE(contains("\"a,b\""));
    EXPECT_TRUE(contains("\"x\", \"a,b\",\"y\""));
    EXPECT_TRUE(contains(" , ,\"a,b\""));
    EXPECT_TRUE(contains(" * "));
    for (const char* const list :
         {"", "\"a\"", "a,b", "\"a,b", "\"x\" \"y\"", "W/", "*, \"x\"", "\"\""}) {
        EXPECT_FALSE(contains(list)) << list;
    }
}

TEST(HttpTags, WeakOnesAreEqualOnlyInWeakComparison) {
    EXPECT_TRUE(file_server::contains_tag("W/\"a\"", "\"a\"", Comparison::weak));
    EXPECT_FALSE(file_server::contains_tag("W/\"a\"", "\"a\"", Comparison::strong));
    EXPECT_TRUE(file_server::contains_tag("W/\"a\", \"a\"", "\"a\"", Comparison::strong));
}

std::string date_of(std::int64_t time) {
    std::string text;
    file_server::append_date(text, time);
    return text;
}

TEST(HttpDate, IsWrittenAsTheStandardSays) {
    EXPECT_EQ(date_of(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT");
    EXPECT_EQ(date_of(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    EXPECT_EQ(date_of(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
    EXPECT_EQ(date_of(951'782'400), "Tue, 29 Feb 2000 00:00:00 GMT");
    EXPECT_EQ(date_of(253'402'300'799), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(HttpDate, StaysInsideTheCalendarForAnyTimeAtAll) {
    EXPECT_EQ(date_of(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    EXPECT_EQ(date_of(INT64_MIN), "Sat, 01 Jan 0000 00:00:00 GMT");
}

TEST(HttpDate, AgreesWithTheSystemAndReadsWhatItWrites) {
    // Some 40 days and a prime number of seconds, so that every field of the date moves.
    for (std::int64_t time = -2'000'000'000; time < 8'000'000'000; time += 3'456'013) {
        const std::time_t system_time = time;
        std::tm parts{};
        gmtime_r(&system_time, &parts);
        char expected[40];
        std::strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &parts);
        ASSERT_EQ(date_of(time), expected);
        ASSERT_EQ(file_server::parse_date(expected), time);
    }
}

TEST(HttpDate, WhatNoCalendarHasIsNone) {
    for (const char* const text :
         {"", "now", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
          "Mon, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC",
          "Thu, 30 Feb 1995 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
          "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
          "Sun, 6  Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
          "Sun, -6 Nov 1994 08:49:37 GMT"}) {
        EXPECT_EQ(file_server::parse_date(text), std::nullopt) << text;
    }
}

TEST(HttpText, LosesTheSpaceAroundItAndNoOther) {
    EXPECT_EQ(file_server::trimmed(" \t a b\t "), "a b");
    EXPECT_EQ(file_server::trimmed(" \t"), "");
    EXPECT_EQ(file_server::trimmed(""), "");
}

TEST(HttpText, IsComparedInAsciiOnly) {
    EXPECT_TRUE(file_server::equals_ignoring_case("Host-1[", "hOST-1["));
    EXPECT_FALSE(file_server::equals_ignoring_case("a", "ab"));
    EXPECT_FALSE(file_server::equals_ignoring_case("[", "{"));
    EXPECT_FALSE(file_server::equals_ignoring_case("\xc4", "\xe4"));
}

}  // namespace
