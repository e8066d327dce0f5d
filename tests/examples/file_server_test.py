#!/usr/bin/env python3
"""The example file_server with the clients that people use: curl and wrk, over TCP and TLS. CTest calls this with the name
of one class below.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import unittest

from file_server_support import MIB, SIZES, Site, sha256
from support import LIMIT


class CurlOverTcp(Site):
    def setUp(self):
        if shutil.which("curl") is None:
            self.fail("curl is missing: cmake/setup.sh tests")
        self.server = self.serve()

    def test_gives_every_file_as_it_is(self):
        for name, data in self.files.items():
            with self.subTest(name=name):
                done = self.curl(self.url(name))
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                self.assertEqual((len(done.stdout), sha256(done.stdout)), (len(data), sha256(data)))
        self.server.end()

    def test_gives_the_part_that_is_asked_for(self):
        name = "sub/large.bin"
        data = self.files[name]
        size = len(data)
        for text, begin, end in (
            ("0-0", 0, 1),
            ("1000-1999", 1000, 2000),
            (f"{16 * MIB}-{32 * MIB}", 16 * MIB, 32 * MIB + 1),
            (f"{size - 1}-", size - 1, size),
            ("-300000", size - 300000, size),
            (f"{size - 10}-{size * 9}", size - 10, size),
        ):
            with self.subTest(range=text):
                status, fields, body = self.fetch("--range", text, self.url(name))
                self.assertEqual((status, fields["content-range"]), (206, f"bytes {begin}-{end - 1}/{size}"))
                self.assertEqual(sha256(body), sha256(data[begin:end]))
        status, fields, _ = self.fetch("--range", f"{size}-", self.url(name))
        self.assertEqual((status, fields["content-range"]), (416, f"bytes */{size}"))
        # Several ranges: the whole file.
        status, _, body = self.fetch("--range", "0-1,5-6", self.url("middle.bin"))
        self.assertEqual((status, body), (200, self.files["middle.bin"]))
        self.server.end()

    def test_continues_an_interrupted_download(self):
        data = self.files["sub/large.bin"]
        copy = os.path.join(self.outside.name, "copy.bin")
        self.addCleanup(os.unlink, copy)
        with open(copy, "wb") as file:
            file.write(data[: 3 * MIB])
        done = self.curl("-C", "-", "-o", copy, self.url("sub/large.bin"))
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        with open(copy, "rb") as file:
            self.assertEqual(sha256(file.read()), sha256(data))
        self.server.end()

    def test_serves_many_at_once(self):
        names = ["sub/large.bin", "middle.bin", "chunk.bin", "small.html"] * 3

        def download(name):
            done = self.curl(self.url(name))
            return (done.returncode, done.stderr, sha256(done.stdout))

        with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
            for name, result in zip(names, pool.map(download, names)):
                self.assertEqual(result, (0, b"", sha256(self.files[name])), name)
        self.server.end()

    def test_tells_of_a_file_without_sending_it(self):
        for name in ("one.txt", "sub/large.bin"):
            status, fields, body = self.fetch("--head", self.url(name))
            self.assertEqual((status, fields["content-length"], body), (200, str(len(self.files[name])), b""))
            self.assertEqual(fields["accept-ranges"], "bytes")
        self.assertEqual(self.fetch("--head", self.url("one.txt"))[1]["content-type"], "text/plain; charset=utf-8")
        self.server.end()

    def test_sends_nothing_that_the_client_has(self):
        _, fields, _ = self.fetch(self.url("middle.bin"))
        for condition in (f"If-None-Match: {fields['etag']}", f"If-Modified-Since: {fields['last-modified'].title()}"):
            # str.title() undoes what fetch() did to the date, but for its zone.
            condition = condition.replace("Gmt", "GMT")
            status, again, body = self.fetch("-H", condition, self.url("middle.bin"))
            self.assertEqual((status, body, again["etag"]), (304, b"", fields["etag"]), condition)
        status, _, body = self.fetch("-H", 'If-None-Match: "other"', self.url("middle.bin"))
        self.assertEqual((status, sha256(body)), (200, sha256(self.files["middle.bin"])))
        self.server.end()

    def test_keeps_the_connection_for_the_next_request(self):
        names = ["one.txt", "sub/large.bin", "missing", "empty", "chunk.bin"]
        outputs = [word for name in names for word in ("-o", os.devnull, self.url(name))]
        done = self.curl("-w", "%{http_code} %{num_connects} %{size_download}\n", *outputs)
        lines = [line.split() for line in done.stdout.decode().splitlines()]
        self.assertEqual([line[0] for line in lines], ["200", "200", "404", "200", "200"])
        self.assertEqual([line[1] for line in lines], ["1", "0", "0", "0", "0"])
        self.assertEqual(int(lines[1][2]), SIZES["sub/large.bin"])
        self.server.end()

    def test_refuses_uploads_and_other_methods(self):
        self.assertEqual(self.fetch("-d", "a=b", self.url("one.txt"))[0], 405)
        self.assertEqual(self.fetch("-X", "GET", "-d", "a=b", self.url("one.txt"))[0], 413)
        status, fields, _ = self.fetch("-X", "DELETE", self.url("one.txt"))
        self.assertEqual((status, fields["allow"]), (405, "get, head"))
        self.server.end()


class CurlOverTls(CurlOverTcp):
    tls = True


class ChunksOverTls(Site):
    tls = True

    def test_the_size_of_the_chunks_does_not_change_the_bytes(self):
        data = self.files["chunk.bin"]
        for chunk in (1, 1000, 16 * 1024, 256 * 1024, MIB):
            with self.subTest(chunk=chunk):
                server = self.serve("--chunk", chunk)
                name, expected = ("middle.bin", self.files["middle.bin"]) if chunk == 1 else ("chunk.bin", data)
                self.assertEqual(sha256(self.curl(self.url(name)).stdout), sha256(expected))
                server.end()


class AskingForTheKernel(Site):
    tls = True

    def test_the_bytes_are_the_same_whether_it_can_or_not(self):
        server = self.serve("--ktls", "on")
        for name in ("one.txt", "middle.bin", "sub/large.bin"):
            self.assertEqual(sha256(self.curl(self.url(name)).stdout), sha256(self.files[name]), name)
        server.end()


class Load(Site):
    """wrk, with more connections than cores and for a short time: for answers without an error, not for figures."""

    def run_wrk(self, name, connections=40):
        if shutil.which("wrk") is None:
            self.fail("wrk is missing: cmake/setup.sh tests")
        server = self.serve()
        done = subprocess.run(
            ["wrk", "--threads", "1", "--connections", str(connections), "--duration", "2s", "--timeout", f"{LIMIT}s",
             self.url(name)],
            capture_output=True, text=True, timeout=2 * LIMIT, check=True,
        )  # fmt: skip
        self.assertNotIn("Socket errors", done.stdout)
        self.assertNotIn("Non-2xx", done.stdout)
        count = int(re.search(r"(\d+) requests in", done.stdout)[1])
        self.assertGreater(count, 0, done.stdout)
        # What wrk has broken off at its end leaves nothing behind: the server still answers.
        after = self.curl(self.url(name))
        self.assertEqual((after.returncode, after.stderr), (0, b""))
        self.assertEqual(sha256(after.stdout), sha256(self.files[name]))
        server.end()

    def test_small_files(self):
        self.run_wrk("small.html")

    def test_files_in_chunks(self):
        self.run_wrk("chunk.bin")

    def test_large_files(self):
        # Few, so that some are complete before the time is over even with sanitizers and over TLS.
        self.run_wrk("wide.bin", connections=4)


class LoadOverTls(Load):
    tls = True


if __name__ == "__main__":
    unittest.main()
