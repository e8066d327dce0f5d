#!/usr/bin/env python3
"""The TLS examples with clients and servers that others wrote: openssl, curl, Python's ssl. CTest calls this with the
name of one class below. SLUICE_EXAMPLES names the folder with the programs.
"""

import http.server
import os
import shutil
import signal
import ssl
import subprocess
import threading
import unittest

from support import HOST, LIMIT, Program, connect, pattern, program_path, receive_exactly, receive_line
from tls_support import Authority, echoed


def example(name, *arguments):
    return Program(os.path.join(program_path("SLUICE_EXAMPLES"), name), *arguments)


def run_example(name, *arguments):
    program = os.path.join(program_path("SLUICE_EXAMPLES"), name)
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT, check=False
    )


class TlsTest(unittest.TestCase):
    def setUp(self):
        self.authority = Authority()
        self.addCleanup(self.authority.__exit__)
        self.certificate, self.key = self.authority.issue("localhost")

    def client_context(self):
        return ssl.create_default_context(cafile=self.authority.file)

    def connect(self, port, context=None):
        """Python's ssl as the client, verifying."""
        context = context or self.client_context()
        return context.wrap_socket(connect(port), server_hostname="localhost")


class TlsEchoServer(TlsTest):
    def test_gives_python_every_byte_back_and_ends_with_close_notify(self):
        sent = pattern(1, 300_000)
        with example("tls_echo_server", self.certificate, self.key, HOST, 0) as server:
            port = server.listening_port()
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = self.client_context()
                context.minimum_version = context.maximum_version = version
                with self.connect(port, context) as client:
                    self.assertTrue(echoed(client, sent) == sent)
                    # Raises when the server does not answer with close_notify.
                    client.unwrap()
            server.end()

    def test_talks_to_openssl_s_client(self):
        with example("tls_echo_server", self.certificate, self.key, HOST, 0) as server:
            client = subprocess.Popen(
                ["openssl", "s_client", "-connect", f"{HOST}:{server.listening_port()}", "-CAfile", self.authority.file,
                 "-verify_return_error", "-verify_hostname", "localhost", "-quiet"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            client.stdin.write(b"through openssl\n")
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), b"through openssl\n")
            client.kill()
            client.communicate(timeout=LIMIT)
            server.end()

    def test_answers_curl_that_speaks_plain_http_with_an_end(self):
        if shutil.which("curl") is None:
            self.fail("curl is missing: cmake/setup.sh tests")
        with example("tls_echo_server", self.certificate, self.key, HOST, 0) as server:
            port = server.listening_port()
            plain = subprocess.run(
                ["curl", "-sS", "--max-time", str(LIMIT), f"http://{HOST}:{port}/"], capture_output=True, check=False
            )
            self.assertNotEqual(plain.returncode, 0)
            # Over TLS the request itself comes back, which is no HTTP answer but arrives whole.
            echoed = subprocess.run(
                ["curl", "-sS", "--http0.9", "--max-time", "1", "--cacert", self.authority.file,
                 f"https://localhost:{port}/where"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            self.assertTrue(echoed.stdout.startswith("GET /where HTTP/1.1\n"), echoed)
            server.end()

    def test_says_what_is_wrong_with_its_files(self):
        wrong = run_example("tls_echo_server", self.certificate, self.authority.key, HOST, 0)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn(self.authority.key, wrong.stderr)
        missing = run_example("tls_echo_server", "no/such.pem", self.key, HOST, 0)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("no/such.pem", missing.stderr)


class TlsEchoClient(TlsTest):
    def test_talks_to_the_server_by_name_and_by_address(self):
        with example("tls_echo_server", self.certificate, self.key, HOST, 0) as server:
            port = server.listening_port()
            for host in ("localhost", HOST):
                done = run_example("tls_echo_client", host, port, self.authority.file, "hi there")
                self.assertEqual((done.stdout, done.stderr, done.returncode), ("hi there\n", "", 0))
            server.end()

    def test_refuses_a_server_of_another_authority(self):
        with Authority("somebody else") as other, example(
            "tls_echo_server", self.certificate, self.key, HOST, 0
        ) as server:
            refused = run_example("tls_echo_client", "localhost", server.listening_port(), other.file, "secret")
            self.assertEqual((refused.stdout, refused.returncode), ("", 1))
            self.assertIn("certificate verify failed", refused.stderr)
            server.end()


class Page(http.server.BaseHTTPRequestHandler):
    """Says /rude without close_notify at the end."""

    def do_GET(self):  # noqa: N802: the name is http.server's
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"you asked for {self.path}".encode())

    def finish(self):
        super().finish()
        if self.path != "/rude":
            self.connection.unwrap()

    def log_message(self, *_):
        pass


class HttpsGet(TlsTest):
    def serve(self, certificate, key):
        """Python's HTTPS server; its port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = http.server.ThreadingHTTPServer((HOST, 0), Page)
        server.handle_error = lambda *_: None
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join, LIMIT)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1]

    def test_fetches_a_page(self):
        port = self.serve(self.certificate, self.key)
        done = run_example("https_get", "localhost", port, "/a/page", self.authority.file)
        self.assertTrue(done.stdout.endswith("\n\nyou asked for /a/page"), done)
        self.assertIn("certificate of CN=localhost", done.stderr)
        self.assertEqual(done.returncode, 0)

    def test_does_not_take_a_cut_page_for_a_whole_one(self):
        port = self.serve(self.certificate, self.key)
        done = run_example("https_get", "localhost", port, "/rude", self.authority.file)
        self.assertTrue(done.stdout.endswith("\n\nyou asked for /rude"), done)
        self.assertIn("may be incomplete", done.stderr)
        self.assertEqual(done.returncode, 1)

    def test_refuses_bad_certificates_and_says_why(self):
        with Authority("somebody else") as other:
            cases = {
                "hostname mismatch": self.authority.issue("wrong", "DNS:other.test"),
                "certificate has expired": self.authority.issue("expired", days=-1),
                "unable to get local issuer certificate": other.issue("foreign"),
                "self-signed certificate": (other.file, other.key),
            }
            for reason, files in cases.items():
                with self.subTest(reason):
                    port = self.serve(*files)
                    done = run_example("https_get", "localhost", port, "/", self.authority.file)
                    self.assertEqual((done.stdout, done.returncode), ("", 1))
                    self.assertIn(reason, done.stderr.lower())

    def test_refuses_what_the_system_does_not_trust(self):
        port = self.serve(self.certificate, self.key)
        done = run_example("https_get", "localhost", port, "/")
        self.assertEqual((done.stdout, done.returncode), ("", 1))
        self.assertIn("certificate verify failed", done.stderr)


class StartTls(TlsTest):
    def say(self, connection, line):
        connection.sendall(f"{line}\r\n".encode())
        return receive_line(connection)

    def test_turns_to_tls_in_the_middle_of_the_dialogue(self):
        with example("start_tls", self.certificate, self.key, HOST, 0) as server:
            with connect(server.listening_port()) as plain:
                self.assertEqual(receive_line(plain), "220 ready\r\n")
                self.assertEqual(self.say(plain, "hello"), "250 in plain: hello\r\n")
                self.assertEqual(self.say(plain, "STARTTLS"), "220 go ahead\r\n")
                with self.client_context().wrap_socket(plain, server_hostname="localhost") as secure:
                    self.assertEqual(self.say(secure, "hello"), "250 in secret: hello\r\n")
                    secure.unwrap()
            server.end()

    def test_takes_what_is_injected_behind_the_command_for_tls_not_for_text(self):
        with example("start_tls", self.certificate, self.key, HOST, 0) as server:
            port = server.listening_port()
            with connect(port) as plain:
                receive_line(plain)
                self.assertEqual(self.say(plain, "STARTTLS\r\ninjected"), "220 go ahead\r\n")
                # It is no TLS: an alert at most, never an answer to the line, and the end.
                rest = b""
                try:
                    while chunk := plain.recv(4096):
                        rest += chunk
                except ConnectionResetError:
                    pass
                self.assertNotIn(b"250", rest)
            # Nobody else suffers.
            with connect(port) as plain:
                self.assertEqual(receive_line(plain), "220 ready\r\n")


class MutualTls(TlsTest):
    def test_greets_clients_by_the_name_in_their_certificate(self):
        client_files = self.authority.issue("a client", "DNS:client.test")
        with example("mtls", self.certificate, self.key, self.authority.file, HOST, 0) as server:
            context = self.client_context()
            context.load_cert_chain(*client_files)
            with self.connect(server.listening_port(), context) as client:
                self.assertEqual(receive_line(client), "hello CN=a client\n")
            server.end()

    def test_refuses_clients_without_one(self):
        with example("mtls", self.certificate, self.key, self.authority.file, HOST, 0) as server:
            with self.assertRaises((ssl.SSLError, ConnectionResetError)):
                with self.connect(server.listening_port()) as client:
                    # In TLS 1.3 the refusal arrives with the first read.
                    receive_line(client)
            server.end()


class CertReload(TlsTest):
    def subject(self, port):
        with self.connect(port) as client:
            return dict(part[0] for part in client.getpeercert()["subject"])["commonName"]

    def test_serves_the_new_certificate_after_sighup_and_keeps_the_old_one_when_the_new_is_bad(self):
        with example("cert_reload", self.certificate, self.key, HOST, 0) as server:
            port = server.listening_port()
            self.assertEqual(self.subject(port), "localhost")
            with self.connect(port) as before:
                new_certificate, new_key = self.authority.issue("renewed")
                shutil.copy(new_certificate, self.certificate)
                shutil.copy(new_key, self.key)
                server.send_signal(signal.SIGHUP)
                self.assertEqual(server.line(), "reloaded")
                self.assertEqual(self.subject(port), "renewed")
                before.sendall(b"still here")
                self.assertEqual(receive_exactly(before, 10), b"still here")
            with open(self.certificate, "w", encoding="ascii") as file:
                file.write("garbage\n")
            server.send_signal(signal.SIGHUP)
            self.assertIn("kept the old certificate: ", server.line())
            self.assertEqual(self.subject(port), "renewed")
            server.end()


if __name__ == "__main__":
    unittest.main()
