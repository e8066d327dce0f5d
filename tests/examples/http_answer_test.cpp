// What the example file_server answers: conditions, ranges and heads as functions of request and file; and which files its
// folder opens. The folder's part uses a temporary folder, nothing here a socket.
#include "../../examples/file_server/answer.hpp"
#include "../../examples/file_server/folder.hpp"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace {

using file_server::Answer;
using file_server::FileFacts;
using file_server::Method;
using file_server::Request;
using file_server::Status;

namespace fs = std::filesystem;

// Half a second after Sun, 06 Nov 1994 08:49:37 GMT.
constexpr FileFacts some_file{1000, 784'111'777'500'000'000, "text/plain"};
constexpr std::string_view its_date = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr std::string_view day_before = "Sat, 05 Nov 1994 08:49:37 GMT";

Request get() {
    Request request;
    request.method = Method::get;
    request.target = "/";
    return request;
}

Status status_of(const Request& request) {
    return file_server::choose_answer(request, some_file).status;
}

TEST(HttpAnswer, AGetGetsTheFileAndAHeadItsLength) {
    Request request = get();
    Answer answer = file_server::choose_answer(request, some_file);
    EXPECT_EQ(answer.status, Status::ok);
    EXPECT_TRUE(answer.with_body);
    EXPECT_EQ(answer.length, some_file.size);
    request.method = Method::head;
    request.range = "bytes=0-1";
    answer = file_server::choose_answer(request, some_file);
    EXPECT_EQ(answer.status, Status::ok);
    EXPECT_FALSE(answer.with_body);
    EXPECT_EQ(answer.length, some_file.size);
}

TEST(HttpAnswer, ARangeIsAPartOfTheFile) {
    Request request = get();
    request.range = "bytes=100-199";
    const Answer answer = file_server::choose_answer(request, some_file);
    EXPECT_EQ(answer.status, Status::partial_content);
    EXPECT_EQ(answer.offset, 100U);
    EXPECT_EQ(answer.length, 100U);
    request.range = "bytes=1000-";
    EXPECT_EQ(status_of(request), Status::range_not_satisfiable);
}

TEST(HttpAnswer, ARangeOfAnotherVersionIsTheWholeFile) {
    const std::string tag = file_server::entity_tag(some_file);
    const std::string weak_tag = "W/" + tag;
    Request request = get();
    request.range = "bytes=100-199";
    for (const std::string_view same : {std::string_view(tag), its_date}) {
        request.if_range = same;
        EXPECT_EQ(status_of(request), Status::partial_content) << same;
    }
    for (const std::string_view other :
         {std::string_view(weak_tag), day_before, std::string_view("\"x\"")}) {
        request.if_range = other;
        EXPECT_EQ(status_of(request), Status::ok) << other;
    }
}

TEST(HttpAnswer, WhatTheClientHasIsNotSentAgain) {
    const std::string tags = "\"x\", W/" + file_server::entity_tag(some_file);
    Request request = get();
    request.if_none_match = tags;
    EXPECT_EQ(status_of(request), Status::not_modified);
    request.if_none_match = "\"x\"";
    EXPECT_EQ(status_of(request), Status::ok);
    // The tag decides, not the date (RFC 9110, 13.1.3).
    request.if_modified_since = its_date;
    EXPECT_EQ(status_of(request), Status::ok);
    request.if_none_match = "";
    EXPECT_EQ(status_of(request), Status::not_modified);
    request.if_modified_since = day_before;
    EXPECT_EQ(status_of(request), Status::ok);
    request.if_modified_since = "yesterday";
    EXPECT_EQ(status_of(request), Status::ok);
}

TEST(HttpAnswer, ConditionsThatFailEndTheRequestBeforeTheOthersAreRead) {
    const std::string tag = file_server::entity_tag(some_file);
    const std::string weak_tag = "W/" + tag;
    Request request = get();
    request.if_none_match = tag;
    request.if_match = "\"x\"";
    EXPECT_EQ(status_of(request), Status::precondition_failed);
    request.if_match = weak_tag;
    EXPECT_EQ(status_of(request), Status::precondition_failed);
    request.if_match = tag;
    EXPECT_EQ(status_of(request), Status::not_modified);
    request = get();
    request.if_unmodified_since = day_before;
    EXPECT_EQ(status_of(request), Status::precondition_failed);
    request.if_unmodified_since = its_date;
    EXPECT_EQ(status_of(request), Status::ok);
}

TEST(HttpAnswer, ChangingAFileOrItsSizeChangesItsTag) {
    FileFacts other = some_file;
    other.modified_ns += 1;
    EXPECT_NE(file_server::entity_tag(other), file_server::entity_tag(some_file));
    other = some_file;
    other.size += 1;
    EXPECT_NE(file_server::entity_tag(other), file_server::entity_tag(some_file));
}

// The lines of a head, without the Date, whose form is checked and whose value is the clock's.
std::string without_date(std::string head) {
    const auto begin = head.find("Date: ");
    EXPECT_NE(begin, head.npos);
    const auto end = head.find("\r\n", begin);
    EXPECT_EQ(end - begin, std::string_view("Date: Sun, 06 Nov 1994 08:49:37 GMT").size());
    return head.erase(begin, end + 2 - begin);
}

TEST(HttpHead, OfAFileSaysWhatTheClientNeeds) {
    file_server::HeadWriter writer;
    std::string head;
    writer.append(head, {Status::ok, true, 0, 1000}, some_file, {});
    EXPECT_EQ(without_date(head),
              "HTTP/1.1 200 OK\r\n"
              "Content-Type: text/plain\r\nAccept-Ranges: bytes\r\nContent-Length: 1000\r\n"
              "ETag: " +
                  file_server::entity_tag(some_file) +
                  "\r\n"
                  "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

TEST(HttpHead, OfAPartSaysWhichOne) {
    file_server::HeadWriter writer;
    std::string head;
    writer.append(head, {Status::partial_content, true, 100, 50}, some_file, {.keep_alive = false});
    EXPECT_TRUE(head.starts_with("HTTP/1.1 206 Partial Content\r\n"));
    EXPECT_NE(head.find("\r\nConnection: close\r\n"), head.npos);
    EXPECT_NE(head.find("\r\nContent-Length: 50\r\n"), head.npos);
    EXPECT_NE(head.find("\r\nContent-Range: bytes 100-149/1000\r\n"), head.npos);
}

TEST(HttpHead, OfAnUnchangedFileHasNoLength) {
    file_server::HeadWriter writer;
    std::string head;
    writer.append(head, {Status::not_modified, false, 0, 0}, some_file, {true, true});
    EXPECT_EQ(head.find("Content-"), head.npos);
    EXPECT_NE(head.find("\r\nConnection: keep-alive\r\n"), head.npos);
    EXPECT_NE(head.find("\r\nETag: "), head.npos);
}

TEST(HttpHead, WithWordsNamesItsStatusInTheBodyToo) {
    file_server::HeadWriter writer;
    std::string text;
    writer.append_words(text, Status::method_not_allowed, {}, {});
    EXPECT_EQ(without_date(text),
              "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n"
              "Content-Length: 23\r\nAllow: GET, HEAD\r\n\r\n405 Method Not Allowed\n");
    text.clear();
    writer.append_words(text, Status::range_not_satisfiable, {},
                        {.head_only = true, .file_size = 7});
    EXPECT_NE(text.find("\r\nContent-Range: bytes */7\r\n"), text.npos);
    EXPECT_TRUE(text.ends_with("\r\n\r\n"));
}

TEST(MediaType, ComesFromTheLastExtension) {
    EXPECT_EQ(file_server::media_type("a/b.tar.gz"), "application/gzip");
    EXPECT_EQ(file_server::media_type("INDEX.HTML"), "text/html; charset=utf-8");
    for (const char* const name : {"a.html/b", "noextension", "a.", "a.unknown", ""}) {
        EXPECT_EQ(file_server::media_type(name), "application/octet-stream") << name;
    }
}

class FolderTest : public testing::Test {
protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "sluice-folder-XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        outside = name;
        fs::create_directories(outside / "root" / "sub");
        write("secret.txt", "secret");
        write("root/a.txt", "hello");
        write("root/sub/b.html", "inside");
    }
    void TearDown() override { fs::remove_all(outside); }

    void write(const char* name, const char* text) const { std::ofstream(outside / name) << text; }
    [[nodiscard]] std::string root() const { return (outside / "root").string(); }

    fs::path outside;
};

TEST_F(FolderTest, OpensTheFilesBelow) {
    file_server::Folder folder(root());
    const auto file = folder.open("sub/b.html");
    ASSERT_EQ(file.status, Status::ok);
    EXPECT_EQ(file.facts.size, 6U);
    EXPECT_EQ(file.facts.type, "text/html; charset=utf-8");
    EXPECT_GT(file.facts.modified_ns, 1'000'000'000'000'000'000);
}

TEST_F(FolderTest, OpensNothingOutsideWhateverTheNameOrLink) {
    file_server::Folder folder(root());
    fs::create_symlink("../secret.txt", outside / "root/up");
    fs::create_symlink(outside / "secret.txt", outside / "root/absolute");
    fs::create_symlink("..", outside / "root/parent");
    fs::create_symlink("loop", outside / "root/loop");
    fs::create_symlink("a.txt", outside / "root/link");
    for (const char* const name :
         {"up", "absolute", "parent/secret.txt", "../secret.txt", "/etc/passwd", "loop"}) {
        EXPECT_EQ(folder.open(name).status, Status::not_found) << name;
    }
    EXPECT_EQ(folder.open("link").status, Status::ok);
}

TEST_F(FolderTest, OpensRegularFilesOnlyAndWaitsForNothing) {
    file_server::Folder folder(root());
    ASSERT_EQ(mkfifo((outside / "root/pipe").c_str(), 0600), 0);
    for (const char* const name : {"sub", "sub/", "pipe", "missing", "a.txt/b"}) {
        EXPECT_EQ(folder.open(name).status, Status::not_found) << name;
    }
    EXPECT_EQ(folder.open(std::string(5000, 'x')).status, Status::not_found);
}

TEST_F(FolderTest, AFileThatClaimsAnAbsurdTimeIsStillServed) {
    const timespec times[2] = {{INT64_MAX, 0}, {INT64_MAX, 0}};
    const std::string path = root() + "/a.txt";
    if (utimensat(AT_FDCWD, path.c_str(), times, 0) != 0) {
        GTEST_SKIP() << "this file system refuses such times";
    }
    file_server::Folder folder(root());
    EXPECT_EQ(folder.open("a.txt").status, Status::ok);
}

TEST_F(FolderTest, ReadsExactlyWhatWasAskedForOrNothing) {
    file_server::Folder folder(root());
    const auto file = folder.open("a.txt");
    std::string text = "> ";
    EXPECT_FALSE(file_server::append_cached(text, file.descriptor.get(), 0, 6));
    EXPECT_EQ(text, "> ");
    // A file that was written just now is in the page cache, unless the file system has no such reads at all.
    if (file_server::append_cached(text, file.descriptor.get(), 1, 3)) {
        EXPECT_EQ(text, "> ell");
    } else {
        EXPECT_EQ(text, "> ");
    }
}

TEST_F(FolderTest, MustExist) {
    EXPECT_THROW(file_server::Folder(root() + "/missing"), std::system_error);
    EXPECT_THROW(file_server::Folder(root() + "/a.txt"), std::system_error);
}

}  // namespace
