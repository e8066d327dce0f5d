#!/usr/bin/env python3
"""The examples that are coroutines over streams, with Python's sockets and servers at the other end. CTest calls this with
the name of one class below. SLUICE_EXAMPLES names the folder with the programs.
"""

import http.server
import os
import ssl
import subprocess
import threading
import unittest

from support import HOST, LIMIT, Program, connect, program_path, receive_all, receive_line
from tls_support import Authority


def example(name, *arguments):
    return Program(os.path.join(program_path("SLUICE_EXAMPLES"), name), *arguments)


class CoroutineEcho(unittest.TestCase):
    def test_answers_line_by_line_and_ends_with_the_client(self):
        with example("coroutine_echo", HOST, 0) as server:
            port = server.listening_port()
            with connect(port) as first, connect(port) as second:
                first.sendall(b"one\ntwo")
                second.sendall(b"other\n")
                self.assertEqual(receive_line(first), "one\n")
                self.assertEqual(receive_line(second), "other\n")
                first.sendall(b"!\n" + b"x" * 50_000 + b"\nlast")
                self.assertEqual(receive_line(first), "two!\n")
                first.shutdown(1)
                self.assertEqual(receive_all(first), b"x" * 50_000 + b"\nlast")
            server.end()

    def test_a_line_without_end_costs_the_client_its_connection(self):
        with example("coroutine_echo", HOST, 0) as server:
            port = server.listening_port()
            with connect(port) as flood, connect(port) as other:
                try:
                    flood.sendall(b"x" * 1_000_000)
                    self.assertEqual(receive_all(flood), b"")
                except ConnectionError:
                    pass
                other.sendall(b"alive\n")
                self.assertEqual(receive_line(other), "alive\n")
            server.send_signal(15)
            server.exit_code()
            self.assertIn("chunk exceed the limit", server.error_text())


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"you asked for {self.path}\n".encode() * 10_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class HttpGet(unittest.TestCase):
    def serve(self, context=None, ends_tls=True):
        class Server(http.server.ThreadingHTTPServer):
            def shutdown_request(self, request):
                if context and ends_tls:
                    request = request.unwrap()
                super().shutdown_request(request)

        server = Server((HOST, 0), Pages)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join, LIMIT)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1]

    def get(self, *arguments):
        program = os.path.join(program_path("SLUICE_EXAMPLES"), "http_get")
        return subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT, check=False
        )

    def test_fetches_a_page(self):
        result = self.get(HOST, self.serve(), "/a/page")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("200 OK", result.stderr)
        self.assertEqual(result.stdout, "you asked for /a/page\n" * 10_000)

    def test_fetches_a_page_over_tls_and_refuses_who_is_not_trusted(self):
        with Authority() as authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority.issue("localhost"))
            port = self.serve(context)
            result = self.get("localhost", port, "/", authority.file)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout, "you asked for /\n" * 10_000)
            refused = self.get("localhost", port, "/", "--tls")
            self.assertEqual(refused.returncode, 1)
            self.assertIn("certificate", refused.stderr)

    def test_a_page_over_tls_without_an_end_is_shown_and_an_error(self):
        with Authority() as authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority.issue("localhost"))
            result = self.get("localhost", self.serve(context, ends_tls=False), "/", authority.file)
            self.assertEqual(result.stdout, "you asked for /\n" * 10_000)
            self.assertEqual(result.returncode, 1)
            self.assertIn("close_notify", result.stderr)

    def test_says_why_it_cannot_connect(self):
        with connect(self.serve()):
            result = self.get("no.such.host.invalid")
            self.assertEqual(result.returncode, 1)
            self.assertIn("no.such.host.invalid", result.stderr)


class TlsChat(unittest.TestCase):
    def setUp(self):
        self.authority = Authority()
        self.addCleanup(self.authority.__exit__)
        self.certificate, self.key = self.authority.issue("localhost")

    def join(self, port, name):
        context = ssl.create_default_context(cafile=self.authority.file)
        client = context.wrap_socket(connect(port), server_hostname="localhost")
        self.addCleanup(client.close)
        self.assertEqual(receive_line(client), "your name?\n")
        client.sendall(f"{name}\n".encode())
        return client

    def test_lines_go_to_everybody_and_who_leaves_is_missed(self):
        with example("tls_chat", self.certificate, self.key, HOST, 0) as server:
            port = server.listening_port()
            ada = self.join(port, "ada")
            self.assertEqual(receive_line(ada), "* ada is here\n")
            bob = self.join(port, "bob")
            for client in (ada, bob):
                self.assertEqual(receive_line(client), "* bob is here\n")
            bob.sendall(b"hello\r\n")
            for client in (ada, bob):
                self.assertEqual(receive_line(client), "bob: hello\n")
            twin = self.join(port, "ada")
            self.assertEqual(receive_line(twin), "not that one, goodbye\n")
            bob.unwrap().close()
            self.assertEqual(receive_line(ada), "* bob has left\n")
            server.end()

    def test_talks_to_openssl_s_client(self):
        with example("tls_chat", self.certificate, self.key, HOST, 0) as server:
            client = subprocess.Popen(
                ["openssl", "s_client", "-connect", f"{HOST}:{server.listening_port()}", "-CAfile", self.authority.file,
                 "-verify_return_error", "-quiet", "-crlf"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            self.assertEqual(client.stdout.readline(), b"your name?\n")
            client.stdin.write(b"carol\n")
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), b"* carol is here\n")
            client.kill()
            client.communicate(timeout=LIMIT)


if __name__ == "__main__":
    unittest.main()
