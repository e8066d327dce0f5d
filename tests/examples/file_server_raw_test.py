#!/usr/bin/env python3
"""The example file_server with clients that no honest program is: requests byte for byte, in pieces, malformed, too slow,
or never read. CTest calls this with the name of the class below.
"""

import os
import signal
import socket
import subprocess
import unittest

from file_server_support import MIB, Site, sha256
from support import (
    HOST,
    LIMIT,
    Program,
    connect,
    program_path,
    receive_all,
    receive_exactly,
    receive_line,
    send_until_refused,
)

# More than the kernel's socket buffers hold on both ends of a connection (tcp_wmem and tcp_rmem end at 4 and 6 MiB, some
# systems allow 32).
BUFFERS_AT_MOST = 72 * MIB


class Raw(Site):
    """Requests byte for byte."""

    def client(self):
        connection = connect(self.port)
        self.addCleanup(connection.close)
        return connection

    def answer(self, connection, has_body=True):
        """The next answer on a connection: status, fields, body."""
        status = int(receive_line(connection).split()[1])
        fields = {}
        while (line := receive_line(connection)) != "\r\n":
            name, _, value = line.rstrip("\r\n").partition(": ")
            fields[name.lower()] = value
        length = int(fields.get("content-length", 0)) if has_body else 0
        return status, fields, receive_exactly(connection, length)

    def status_of(self, request):
        """The status of the only answer; the connection ends after it."""
        with connect(self.port) as connection:
            connection.sendall(request)
            status, fields, _ = self.answer(connection)
            self.assertEqual(fields["connection"], "close")
            self.assertEqual(connection.recv(1), b"", request)
        return status

    def get(self, target, fields=""):
        return f"GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode("latin-1")

    def test_nothing_outside_of_the_folder_is_served(self):
        os.symlink("../secret.txt", os.path.join(self.root, "link"))
        self.addCleanup(os.unlink, os.path.join(self.root, "link"))
        os.symlink("/etc", os.path.join(self.root, "etc"))
        self.addCleanup(os.unlink, os.path.join(self.root, "etc"))
        server = self.serve()
        for target, status in (
            ("/../secret.txt", 400),
            ("/sub/../../secret.txt", 400),
            ("/%2e%2e/secret.txt", 400),
            ("/..%2fsecret.txt", 400),
            ("/sub/%2e%2e%2f%2e%2e%2fsecret.txt", 400),
            ("/..\\secret.txt", 400),
            ("/%5c..%5csecret.txt", 400),
            ("/one.txt%00.html", 400),
            ("/%zz", 400),
            ("//etc/passwd", 404),
            ("/%2fetc%2fpasswd", 404),
            ("http://a/../secret.txt", 400),
            ("/link", 404),
            ("/etc/passwd", 404),
            ("/sub", 404),
        ):
            with self.subTest(target=target), connect(self.port) as connection:
                connection.sendall(self.get(target))
                answer = self.answer(connection)
                self.assertEqual(answer[0], status)
                self.assertNotIn(b"secret", answer[2])
        server.end()

    def test_what_is_no_request_is_refused_and_ends_the_connection(self):
        server = self.serve()
        for request, status in (
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\nHost: a\n\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n", 400),
            (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
            (b"\x16\x03\x01\x02\x00\x01\x00", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + self.get("/one.txt"), 405),
            (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /" + self.get("/one.txt"), 413),
            (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
            (b"GET /" + b"x" * 9000, 414),
            (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200, 431),
            (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 20_000, 431),
        ):
            with self.subTest(request=request[:60]):
                self.assertEqual(self.status_of(request), status)
        server.end()

    def test_a_refused_client_that_goes_on_sending_still_gets_its_answer(self):
        server = self.serve()
        connection = self.client()
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
        connection.sendall(b"x" * 900_000)
        connection.shutdown(socket.SHUT_WR)
        self.assertTrue(receive_all(connection).startswith(b"HTTP/1.1 405 "))
        server.end()

    def test_requests_in_pieces_and_several_at_once_are_answered_in_order(self):
        server = self.serve()
        connection = self.client()
        names = ["one.txt", "sub/large.bin", "missing", "small.html", "sub/large.bin", "empty"] * 2
        requests = b"".join(self.get("/" + name) for name in names)
        for begin in range(0, 100):
            connection.sendall(requests[begin : begin + 1])
        connection.sendall(requests[100:])
        for name in names:
            status, _, body = self.answer(connection)
            if name == "missing":
                self.assertEqual(status, 404)
            else:
                self.assertEqual((status, sha256(body)), (200, sha256(self.files[name])), name)
        server.end()

    def test_head_and_conditional_answers_have_no_body_between_others(self):
        server = self.serve()
        connection = self.client()
        connection.sendall(self.get("/one.txt"))
        tag = self.answer(connection)[1]["etag"]
        connection.sendall(
            b"HEAD /sub/large.bin HTTP/1.1\r\nHost: a\r\n\r\n"
            + self.get("/one.txt", f"If-None-Match: {tag}\r\n")
            + b"HEAD /missing HTTP/1.1\r\nHost: a\r\n\r\n"
            + self.get("/one.txt", "If-Match: \"x\"\r\n")
            + self.get("/one.txt")
        )
        statuses = [self.answer(connection, has_body)[0] for has_body in (False, False, False, True, True)]
        self.assertEqual(statuses, [200, 304, 404, 412, 200])
        server.end()

    def test_http_1_0_ends_after_its_answer_unless_asked_to_stay(self):
        server = self.serve()
        connection = self.client()
        connection.sendall(b"GET /one.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertEqual(self.answer(connection)[1]["connection"], "keep-alive")
        connection.sendall(b"GET /sub/large.bin HTTP/1.0\r\n\r\nGET /one.txt HTTP/1.0\r\n\r\n")
        status, fields, body = self.answer(connection)
        self.assertEqual((status, fields["connection"]), (200, "close"))
        self.assertEqual(sha256(body), sha256(self.files["sub/large.bin"]))
        self.assertEqual(connection.recv(1), b"")
        server.end()

    def test_a_client_that_ends_its_half_still_gets_all_answers(self):
        server = self.serve()
        connection = self.client()
        connection.sendall(self.get("/sub/large.bin") + self.get("/one.txt"))
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(sha256(self.answer(connection)[2]), sha256(self.files["sub/large.bin"]))
        self.assertEqual(self.answer(connection)[2], self.files["one.txt"])
        self.assertEqual(connection.recv(1), b"")
        server.end()

    def test_a_head_that_does_not_come_to_its_end_is_given_up(self):
        server = self.serve("--head-timeout", 500)
        connection = self.client()
        connection.sendall(b"GET / HTTP/1.1\r\nHost")
        self.assertEqual(self.answer(connection)[0], 408)
        self.assertEqual(connection.recv(1), b"")
        # Who says nothing is told nothing.
        self.assertEqual(self.client().recv(1), b"")
        server.end()

    def test_a_connection_without_a_request_ends_after_a_while(self):
        server = self.serve("--keep-alive", 50)
        connection = self.client()
        connection.sendall(self.get("/one.txt"))
        self.assertEqual(self.answer(connection)[0], 200)
        self.assertEqual(connection.recv(1), b"")
        server.end()

    def test_a_client_that_takes_nothing_is_given_up(self):
        server = self.serve("--send-timeout", 50, "--keep-alive", 50, "--head-timeout", 1000)
        connection = self.client()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(self.get("/sub/large.bin"))
        receive_exactly(connection, 1)
        # Nothing can be read from here on without changing what is tested; the end is seen in the server's own table.
        self.assertTrue(self.becomes_alone(server), "the connection is still there")
        server.end()

    @staticmethod
    def becomes_alone(server):
        """Waits until the server holds no accepted connection."""
        folder = f"/proc/{server.process.pid}/fd"
        for _ in range(LIMIT * 20):
            inodes = set()
            for number in os.listdir(folder):
                try:
                    inodes.add(os.readlink(os.path.join(folder, number)))
                except FileNotFoundError:
                    pass
            with open("/proc/net/tcp", encoding="ascii") as table:
                rows = [line.split() for line in table][1:]
            listening = "0A"
            if not any(f"socket:[{row[9]}]" in inodes for row in rows if row[3] != listening):
                return True
            try:
                server.process.wait(0.05)
                return False
            except subprocess.TimeoutExpired:
                pass
        return False

    def test_who_asks_without_reading_is_not_read_from_either(self):
        server = self.serve()
        connection = self.client()
        flood = self.get("/sub/large.bin") * (BUFFERS_AT_MOST // 40)
        self.assertLess(send_until_refused(connection, flood), BUFFERS_AT_MOST)
        connection.close()
        self.assertTrue(self.becomes_alone(server), "the connection is still there")
        server.end()

    def test_a_stop_lets_the_answer_under_way_finish_and_ends_idle_connections(self):
        server = self.serve()
        idle = self.client()
        idle.sendall(self.get("/one.txt"))
        self.assertEqual(self.answer(idle)[0], 200)
        busy = self.client()
        busy.sendall(self.get("/sub/large.bin") * 2)
        begin = receive_exactly(busy, 1)
        server.send_signal(signal.SIGTERM)
        self.assertEqual(idle.recv(1), b"")
        rest = receive_all(busy)
        _, _, body = (begin + rest).partition(b"\r\n\r\n")
        self.assertEqual(sha256(body), sha256(self.files["sub/large.bin"]))
        self.assertEqual((server.exit_code(), server.error_text()), (0, ""))

    def test_a_stop_does_not_wait_for_ever(self):
        server = self.serve("--drain", 50)
        connection = self.client()
        connection.sendall(self.get("/sub/large.bin"))
        receive_exactly(connection, 1)
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.line(), "the deadline cut some off")
        self.assertEqual((server.exit_code(), server.error_text()), (0, ""))

    def test_clients_that_reset_in_mid_file_harm_nobody_else(self):
        # The other one is idle meanwhile, which on a busy machine may take long.
        server = self.serve("--keep-alive", 1_000 * LIMIT * 4)
        other = self.client()
        other.sendall(self.get("/one.txt"))
        self.assertEqual(self.answer(other)[0], 200)
        for count in range(200):
            with connect(self.port) as connection:
                connection.sendall(self.get("/sub/large.bin"))
                # A reset after the end of a stream is what the system answers with a signal that kills. It comes at full
                # speed, by closing with a zero linger time: in the middle of a system call of the server, or between two.
                connection.shutdown(socket.SHUT_WR)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                receive_exactly(connection, 1 + count % 50 * 20_000)
        other.sendall(self.get("/sub/large.bin"))
        self.assertEqual(sha256(self.answer(other)[2]), sha256(self.files["sub/large.bin"]))
        server.end()

    def test_a_file_that_shrinks_cuts_the_connection(self):
        self.add("shrinks.bin", b"x" * (40 * MIB))
        path = os.path.join(self.root, "shrinks.bin")
        self.addCleanup(os.unlink, path)
        server = self.serve()
        connection = self.client()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(self.get("/shrinks.bin"))
        receive_exactly(connection, 1)
        os.truncate(path, 1000)
        received = 0
        try:
            while chunk := connection.recv(1 << 18):
                received += len(chunk)
        except ConnectionResetError:
            pass
        self.assertLess(received, 40 * MIB)
        other = self.client()
        other.sendall(self.get("/one.txt"))
        self.assertEqual(self.answer(other)[0], 200)
        server.end()

    def test_mistakes_on_the_command_line_are_explained(self):
        program = os.path.join(program_path("SLUICE_EXAMPLES"), "file_server")
        for words, text in (
            ((), "usage"),
            (("--what", "x", self.root), "--what"),
            (("--chunk", "many", self.root), "many"),
            (("--chunk", "0", self.root), "chunk"),
            ((self.root + "/missing",), "missing"),
            (("--tls", "on", "--cert", "/missing.pem", "--key", "/missing.pem", self.root), "/missing.pem"),
        ):
            with self.subTest(words=words), Program(program, *words) as failed:
                self.assertIn(failed.exit_code(), (1, 2))
                self.assertIn(text, failed.error_text())


if __name__ == "__main__":
    unittest.main()
