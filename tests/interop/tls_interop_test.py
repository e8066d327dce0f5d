#!/usr/bin/env python3
"""Our TLS with other people's, in both directions: OpenSSL's and GnuTLS's command-line programs, curl, Python's ssl.
CTest calls this with the name of one class below. SLUICE_TLS_PEER names the program that is our side.

Each pair speaks TLS 1.2 and 1.3 with ECDSA and RSA certificates, moves 8 MiB, agrees on an application protocol, resumes
a session, shows client certificates, and ends with close_notify in both directions.
"""

import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))

from support import HOST, LIMIT, Program, connect, program_path  # noqa: E402: the path comes first
from tls_support import Authority, echoed  # noqa: E402

VERSIONS = ("1.2", "1.3")
ALGORITHMS = ("ec", "rsa")
# As tls_peer makes them: 8 MiB in lines of 4 KiB.
LINE = 4097
LINES = 2048
GNUTLS_VERSION = "NORMAL:-VERS-ALL:+VERS-TLS{}"


def numbered_lines(count):
    halves = (str(1_000_000 + number).ljust(2048, "0") for number in range(count))
    return "".join(half + half[::-1] + "\n" for half in halves).encode()


def listening_port_of(pid):
    """The IPv4 port a process listens on, from proc(5)."""
    folder = f"/proc/{pid}/fd"
    sockets = {os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder)}
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    listening = "0A"
    ports = [int(row[1].split(":")[1], 16) for row in rows if row[3] == listening and f"socket:[{row[9]}]" in sockets]
    if len(ports) != 1:
        raise AssertionError(f"expected one listening socket of process {pid}, found ports {ports}")
    return ports[0]


class Pair(unittest.TestCase):
    """One authority and one certificate of each kind."""

    needs = ()

    def setUp(self):
        for program in self.needs:
            if shutil.which(program) is None:
                self.fail(f"{program} is missing: cmake/setup.sh tests")
        self.authority = Authority()
        self.addCleanup(self.authority.__exit__)
        self.identity = {kind: self.authority.issue(kind, algorithm=kind) for kind in ALGORITHMS}
        self.client_identity = self.authority.issue("client", "DNS:client.test")

    def started(self, *command):
        program = Program(*command)
        self.addCleanup(program.__exit__)
        return program

    def serve(self, mode="echo", algorithm="ec", *options):
        server = self.started(program_path("SLUICE_TLS_PEER"), mode, *self.identity[algorithm], *options)
        return server, server.listening_port()

    def each_kind(self):
        """Every version with every certificate, as subtests."""
        for version in VERSIONS:
            for algorithm in ALGORITHMS:
                with self.subTest(version=version, algorithm=algorithm):
                    yield version, algorithm

    def exchange(self, data, *command):
        """Sends through a client, reads the echo, then ends the client's input; gives its messages.

        The client must end by itself then: it has sent and seen close_notify.
        """
        client = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        timer = threading.Timer(4 * LIMIT, client.kill)
        timer.start()
        try:
            sender = threading.Thread(target=self.send_all, args=(client.stdin, data))
            sender.start()
            echoed = client.stdout.read(len(data))
            sender.join(LIMIT)
            client.stdin.close()
            rest = client.stdout.read()
            errors = client.stderr.read().decode()
            code = client.wait(LIMIT)
        finally:
            timer.cancel()
            client.kill()
            client.wait(LIMIT)
            for stream in (client.stdin, client.stdout, client.stderr):
                stream.close()
        self.assertTrue(echoed == data, f"{len(echoed)} bytes of {len(data)} came back, or other ones: {errors}")
        self.assertEqual((rest, code), (b"", 0), errors)
        return errors

    @staticmethod
    def send_all(pipe, data):
        try:
            pipe.write(data)
            pipe.flush()
        except BrokenPipeError:
            pass  # The client has ended; what it left unsaid shows in what came back.

    def run_client(self, port, *options):
        """Our client; its exit code, report and error."""
        command = [program_path("SLUICE_TLS_PEER"), "client", "localhost", port, "--authority", self.authority.file]
        done = subprocess.run(
            [str(word) for word in (*command, *options)],
            capture_output=True, text=True, timeout=4 * LIMIT, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def talk(self, port, *options):
        """Our client, which must succeed; its report, one line per connection."""
        code, report, errors = self.run_client(port, *options)
        self.assertEqual((code, errors), (0, ""))
        return report.splitlines()


class OpenSslClient(Pair):
    needs = ("openssl",)

    def command(self, port, *options):
        return (
            "openssl", "s_client", "-connect", f"{HOST}:{port}", "-servername", "localhost", "-CAfile",
            self.authority.file, "-verify_return_error", "-verify_hostname", "localhost", "-quiet", "-no_ign_eof", *options,
        )  # fmt: skip

    def test_gets_every_byte_back(self):
        for version, algorithm in self.each_kind():
            server, port = self.serve("echo", algorithm)
            flag = "-tls" + version.replace(".", "_")
            self.exchange(numbered_lines(LINES), *self.command(port, flag))
            self.assertIn(f"TLSv{version} ", server.line())
            server.end()

    def test_resumes_sessions(self):
        session = self.authority.path("session")
        for version in VERSIONS:
            with self.subTest(version=version):
                server, port = self.serve()
                flag = "-tls" + version.replace(".", "_")
                self.exchange(b"1\n", *self.command(port, flag, "-sess_out", session))
                self.assertIn("reused=no", server.line())
                self.exchange(b"1\n", *self.command(port, flag, "-sess_in", session))
                self.assertIn("reused=yes", server.line())
                server.end()

    def test_agrees_on_a_protocol(self):
        server, port = self.serve("echo", "ec", "--alpn", "h2")
        self.exchange(b"1\n", *self.command(port, "-alpn", "http/1.1,h2"))
        self.assertIn("alpn=h2 ", server.line())
        server.end()

    def test_shows_its_certificate(self):
        certificate, key = self.client_identity
        for version in VERSIONS:
            with self.subTest(version=version):
                server, port = self.serve("echo", "ec", "--client-authority", self.authority.file, "--version", version)
                self.exchange(b"1\n", *self.command(port, "-cert", certificate, "-key", key))
                self.assertIn("peer=CN=client", server.line())
                server.end()


class GnuTlsClient(Pair):
    needs = ("gnutls-cli",)

    def command(self, port, *options):
        # --logfile keeps its messages out of the data.
        return (
            "gnutls-cli", "--x509cafile", self.authority.file, "--sni-hostname", "localhost", "--verify-hostname",
            "localhost", "--logfile", self.log(), "-p", port, *options, HOST,
        )  # fmt: skip

    def log(self):
        return self.authority.path("gnutls.log")

    def test_gets_every_byte_back(self):
        for version, algorithm in self.each_kind():
            server, port = self.serve("echo", algorithm)
            # It reads, sends and receives in turn, one MiB a second: all of it in one combination only.
            lines = LINES if (version, algorithm) == ("1.3", "ec") else LINES // 16
            self.exchange(numbered_lines(lines), *self.command(port, "--priority", GNUTLS_VERSION.format(version)))
            self.assertIn(f"TLSv{version} ", server.line())
            server.end()

    def test_resumes_sessions(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                server, port = self.serve()
                options = "--resume", "--waitresumption", "--priority", GNUTLS_VERSION.format(version)
                self.exchange(b"1\n", *self.command(port, *options))
                self.assertIn("reused=no", server.line())
                self.assertIn("reused=yes", server.line())
                server.end()

    def test_agrees_on_a_protocol(self):
        server, port = self.serve("echo", "ec", "--alpn", "h2")
        self.exchange(b"1\n", *self.command(port, "--alpn", "http/1.1", "--alpn", "h2"))
        self.assertIn("alpn=h2 ", server.line())
        server.end()

    def test_shows_its_certificate(self):
        certificate, key = self.client_identity
        for version in VERSIONS:
            with self.subTest(version=version):
                server, port = self.serve("echo", "ec", "--client-authority", self.authority.file, "--version", version)
                self.exchange(b"1\n", *self.command(port, "--x509certfile", certificate, "--x509keyfile", key))
                self.assertIn("peer=CN=client", server.line())
                server.end()


class Curl(Pair):
    needs = ("curl",)

    def test_fetches_a_page(self):
        for version, algorithm in self.each_kind():
            server, port = self.serve("page", algorithm, "--lines", LINES)
            done = subprocess.run(
                ["curl", "-sS", "--max-time", str(LIMIT), "--cacert", self.authority.file, f"--tlsv{version}",
                 "--tls-max", version, f"https://localhost:{port}/"],
                capture_output=True, check=False,
            )  # fmt: skip
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertTrue(done.stdout == numbered_lines(LINES), f"{len(done.stdout)} bytes came, or other ones")
            self.assertIn(f"TLSv{version} ", server.line())
            server.end()

    def test_refuses_a_server_it_does_not_know(self):
        server, port = self.serve("page")
        done = subprocess.run(
            ["curl", "-sS", "--max-time", str(LIMIT), f"https://localhost:{port}/"], capture_output=True, check=False
        )
        # "60: Peer certificate cannot be authenticated with known CA certificates" (curl(1)).
        self.assertEqual((done.returncode, done.stdout), (60, b""))
        server.end()


class PythonClient(Pair):
    def context(self, version=None):
        context = ssl.create_default_context(cafile=self.authority.file)
        if version is not None:
            context.minimum_version = context.maximum_version = ssl.TLSVersion["TLSv" + version.replace(".", "_")]
        return context

    def converse(self, port, context, data, session=None):
        with context.wrap_socket(connect(port), server_hostname="localhost", session=session) as client:
            self.assertTrue(echoed(client, data) == data)
            chosen, session = client.selected_alpn_protocol(), client.session
            client.unwrap()
        return chosen, session

    def test_gets_every_byte_back(self):
        for version, algorithm in self.each_kind():
            server, port = self.serve("echo", algorithm)
            self.converse(port, self.context(version), numbered_lines(LINES))
            self.assertIn(f"TLSv{version} ", server.line())
            server.end()

    def test_resumes_sessions(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                server, port = self.serve()
                context = self.context(version)
                _, session = self.converse(port, context, b"1\n")
                self.converse(port, context, b"1\n", session)
                self.assertIn("reused=no", server.line())
                self.assertIn("reused=yes", server.line())
                server.end()

    def test_agrees_on_a_protocol(self):
        server, port = self.serve("echo", "ec", "--alpn", "h2")
        context = self.context()
        context.set_alpn_protocols(["http/1.1", "h2"])
        self.assertEqual(self.converse(port, context, b"1\n")[0], "h2")
        server.end()

    def test_shows_its_certificate(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                server, port = self.serve("echo", "ec", "--client-authority", self.authority.file)
                context = self.context(version)
                context.load_cert_chain(*self.client_identity)
                self.converse(port, context, b"1\n")
                self.assertIn("peer=CN=client", server.line())
                server.end()


class Server(Pair):
    """Our client at a server that other people wrote; `start` gives its port."""

    def check_report(self, lines, version, reused=("no",), **expected):
        self.assertEqual(len(lines), len(reused), lines)
        for line, was_reused in zip(lines, reused):
            self.assertTrue(line.startswith(f"TLSv{version} "), line)
            fields = dict(word.split("=", 1) for word in line.split()[1:])
            expected["reused"] = was_reused
            self.assertEqual({name: fields[name] for name in expected}, expected)

    def check_everything(self):
        for version, algorithm in self.each_kind():
            port = self.start(version, algorithm)
            # The second and third connection resume.
            report = self.talk(port, "--lines", LINES, "--connections", 3, "--alpn", "h2")
            size = str(LINES * LINE)
            self.check_report(report, version, ("no", "yes", "yes"), alpn="h2", peer=f"CN={algorithm}", bytes=size)

    def check_client_certificate(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                port = self.start(version, "ec", demand_certificate=True)
                self.check_report(self.talk(port, "--identity", self.authority.path("client")), version, bytes=str(LINE))
                self.check_refused(port)

    def check_refused(self, port):
        code, report, errors = self.run_client(port)
        self.assertEqual((code, report), (1, ""))
        # With TLS 1.3 we may be writing already, and the server's reset for that overtakes its alert.
        self.assertRegex(errors, "the peer sent the alert|Connection reset")


class OpenSslServer(Server):
    needs = ("openssl",)

    def start(self, version, algorithm, demand_certificate=False):
        certificate, key = self.identity[algorithm]
        command = ["openssl", "s_server", "-accept", f"{HOST}:0", "-cert", certificate, "-key", key, "-alpn", "h2", "-rev",
                   "-tls" + version.replace(".", "_")]  # fmt: skip
        if demand_certificate:
            command += ["-CAfile", self.authority.file, "-Verify", "1", "-verify_return_error"]
        server = self.started(*command)
        while not (match := re.fullmatch(rf"ACCEPT {HOST}:(\d+)", server.line())):
            pass
        return int(match[1])

    def test_gives_every_byte_back_and_resumes(self):
        self.check_everything()

    def test_knows_us_by_our_certificate(self):
        self.check_client_certificate()


class GnuTlsServer(Server):
    needs = ("gnutls-serv",)

    def start(self, version, algorithm, demand_certificate=False):
        certificate, key = self.identity[algorithm]
        command = ["gnutls-serv", "--echo", "--x509certfile", certificate, "--x509keyfile", key, "--alpn", "h2",
                   "--priority", GNUTLS_VERSION.format(version), "-p", "0"]  # fmt: skip
        if demand_certificate:
            command += ["--x509cafile", self.authority.file, "--require-client-cert", "--verify-client-cert"]
        # It says on standard error that it listens.
        server = self.started("sh", "-c", 'exec "$@" 2>&1', "sh", *command)
        # It repeats the port it was given, which is 0; the kernel knows which one that became.
        while not re.search(r"listening on IPv4 .*done", server.line()):
            pass
        return listening_port_of(server.process.pid)

    def test_gives_every_byte_back_and_resumes(self):
        self.check_everything()

    def test_knows_us_by_our_certificate(self):
        self.check_client_certificate()


if __name__ == "__main__":
    unittest.main()
