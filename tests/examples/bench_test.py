#!/usr/bin/env python3
"""The benchmark driver as its users run it, in runs of milliseconds: what it measures is not judged here, only that a
run ends with figures, names what is missing, and that the charts can be drawn from what it wrote.

SLUICE_BENCH names the folder with the programs, SLUICE_CHART the chart program.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from support import LIMIT, program_path

SERVERS = "raw_epoll,sluice,libuv"
SHORT = ("--rounds", "2", "--ms", "5", "--sizes", "64,4096", "--connections", "1,3")


class Program(unittest.TestCase):
    common = ()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.programs = pathlib.Path(program_path("SLUICE_BENCH"))

    def run_driver(self, program, *arguments):
        self.results = self.folder / "results.json"
        command = [program, *self.common, *arguments, "--json", self.results]
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=4 * LIMIT)

    def read_results(self):
        return json.loads(self.results.read_text(encoding="utf-8"))


class Driver(Program):
    def draw(self, *arguments):
        """The pictures' texts by name."""
        pictures = self.folder / "pictures"
        chart = [sys.executable, program_path("SLUICE_CHART"), self.results, "--out", pictures, *arguments]
        subprocess.run([str(word) for word in chart], check=True, capture_output=True, timeout=4 * LIMIT)
        return {path.stem: path.read_text(encoding="utf-8") for path in pictures.glob("*.svg")}

    def test_measures_echo_and_writelines(self):
        run = self.run_driver(self.programs / "echo", "--echo", "--writelines", "--servers", "raw_epoll,sluice", *SHORT)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        results = self.read_results()
        cells = {(row["server"], row["message_bytes"], row["connections"]) for row in results["echo"]}
        self.assertEqual(
            cells, {(server, size, count) for server in ("raw_epoll", "sluice") for size in (64, 4096) for count in (1, 3)}
        )
        for row in results["echo"] + results["writelines"]:
            self.assertNotIn("failure", row)
            self.assertEqual(len(row["messages_per_second"]["rounds"]), 2)
            self.assertGreater(row["messages_per_second"]["min"], 0)
        self.assertEqual([row["server"] for row in results["writelines"]], ["raw_epoll", "sluice"])

    def test_names_a_rival_that_is_missing_and_measures_the_others(self):
        # The driver looks for servers beside itself.
        for name in ("echo", "raw_epoll"):
            shutil.copy(self.programs / name, self.folder / name)
        run = self.run_driver(self.folder / "echo", "--echo", "--servers", SERVERS, *SHORT)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("SKIPPED: libuv: not built (Debian package libuv1-dev)", run.stdout)
        results = self.read_results()
        self.assertEqual({row["server"] for row in results["skipped"]}, {"sluice", "libuv"})
        self.assertEqual({row["server"] for row in results["echo"]}, {"raw_epoll"})

    def test_measures_tls_like_tcp_and_draws_both_in_one_picture(self):
        servers = "raw_epoll,raw_epoll_tuned,sluice"
        parts = ("--echo", "--tls", "--handshakes", "--memory", "--tls-memory", "--idle", "20")
        run = self.run_driver(self.programs / "echo", *parts, "--servers", servers, *SHORT)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("Echo, TLS 1.3", run.stdout)
        self.assertIn("50 % interval", run.stdout)  # of two rounds
        results = self.read_results()
        cells = {(row["server"], row["message_bytes"], row["connections"]) for row in results["tls_echo"]}
        self.assertEqual(
            cells, {(server, size, count) for server in servers.split(",") for size in (64, 4096) for count in (1, 3)}
        )
        for row in results["tls_echo"]:
            self.assertNotIn("failure", row)
            self.assertEqual(len(row["cpu_us_per_message"]["rounds"]), 2)
            self.assertGreater(row["syscalls_per_message"]["total"], 0)
            self.assertGreater(row["cpu_ratio"]["low"], 0)
        # What the tuned reference changes concerns echo only.
        kinds = {(row["server"], row["resumed"]) for row in results["handshakes"]}
        self.assertEqual(kinds, {(server, resumed) for server in ("raw_epoll", "sluice") for resumed in (False, True)})
        for row in results["handshakes"]:
            self.assertNotIn("failure", row)
            self.assertGreater(row["handshakes_per_second"]["min"], 0)
        self.assertEqual([(row["server"], row["connections"]) for row in results["tls_memory"]], [("raw_epoll", 20), ("sluice", 20)])
        pictures = self.draw()
        self.assertEqual(
            set(pictures), {"cpu", "curve", "memory", "handshakes", "tcp_echo", "tcp_cpu", "tls_echo", "tls_cpu"}
        )
        for name in ("cpu", "memory"):
            self.assertIn(">TCP, ", pictures[name])
            self.assertIn(">TLS, ", pictures[name])

    def test_names_a_rival_without_its_tls_server_and_measures_the_others(self):
        for name in ("echo", "raw_epoll_tls", "libuv_echo"):
            if (self.programs / name).exists():
                shutil.copy(self.programs / name, self.folder / name)
        parts = ("--tls", "--handshakes", "--sizes", "64", "--connections", "2", "--rounds", "1", "--ms", "5")
        run = self.run_driver(self.folder / "echo", *parts, "--servers", SERVERS)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("SKIPPED: libuv in tls: not built (Debian package libuv1-dev)", run.stdout)
        results = self.read_results()
        self.assertEqual({(row["server"], row["section"]) for row in results["skipped"]}, {("sluice", "tls"), ("libuv", "tls")})
        self.assertEqual({row["server"] for row in results["tls_echo"] + results["handshakes"]}, {"raw_epoll"})

    def test_says_why_when_a_server_does_not_speak_tls(self):
        # Takes the options and answers in plain text.
        shutil.copy(self.programs / "echo", self.folder / "echo")
        plain = self.folder / "raw_epoll_tls"
        plain.write_text(
            f"#!{sys.executable}\n"
            "import socket\n"
            "listener = socket.create_server(('127.0.0.1', 0))\n"
            "print('listening on 127.0.0.1:%d' % listener.getsockname()[1], flush=True)\n"
            "while True:\n"
            "    with listener.accept()[0] as connection:\n"
            "        connection.sendall(b'220 hello\\r\\n')\n"
            "        connection.recv(65536)\n",
            encoding="utf-8",
        )
        plain.chmod(0o755)
        parts = ("--tls", "--handshakes", "--sizes", "64", "--connections", "1", "--rounds", "1", "--ms", "5")
        run = self.run_driver(self.folder / "echo", *parts, "--servers", "raw_epoll")
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        results = self.read_results()
        for row in results["tls_echo"] + results["handshakes"]:
            self.assertIn("wrong version number", row["failure"])
        self.assertEqual(len(results["tls_echo"] + results["handshakes"]), 3)

    def test_fails_when_a_server_answers_wrongly(self):
        shutil.copy(self.programs / "echo", self.folder / "echo")
        wrong = self.folder / "raw_epoll"
        # Listens and closes whatever comes.
        wrong.write_text(
            f"#!{sys.executable}\n"
            "import socket\n"
            "listener = socket.create_server(('127.0.0.1', 0))\n"
            "print('listening on 127.0.0.1:%d' % listener.getsockname()[1], flush=True)\n"
            "while True:\n"
            "    listener.accept()[0].close()\n",
            encoding="utf-8",
        )
        wrong.chmod(0o755)
        run = self.run_driver(self.folder / "echo", "--echo", "--servers", "raw_epoll", *SHORT)
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        self.assertIn("FAILED", run.stdout)
        self.assertTrue(all("failure" in row for row in self.read_results()["echo"]))

    def test_refuses_an_option_it_does_not_know(self):
        run = self.run_driver(self.programs / "echo", "--ehco")
        self.assertEqual(run.returncode, 2)
        self.assertIn("--ehco", run.stderr)

    def test_draws_charts_of_what_was_measured(self):
        run = self.run_driver(self.programs / "echo", "--echo", "--servers", "raw_epoll,sluice", *SHORT)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        pictures = self.draw()
        self.assertEqual(set(pictures), {"cpu", "curve", "tcp_echo", "tcp_cpu"})
        for picture in pictures.values():
            self.assertIn("sluice", picture)

    def test_draws_the_latency_curve_and_only_what_was_asked_for(self):
        parts = ("--echo", "--latency", "--rate", "500", "--rounds", "2", "--ms", "20", "--sizes", "64", "--connections", "2")
        run = self.run_driver(self.programs / "echo", *parts, "--servers", "raw_epoll,sluice")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        pictures = self.draw("--only", "latency", "--no-png")
        self.assertEqual(set(pictures), {"latency"})
        self.assertEqual(pictures["latency"].count("<polyline"), 2)
        self.assertEqual(list((self.folder / "pictures").glob("*.png")), [])


class Files(Program):
    """The file benchmark, of our server alone: the others need not be there."""

    common = ("--rounds", "2", "--ms", "5", "--connections", "2")

    def test_measures_every_size_over_tcp_and_tls(self):
        run = self.run_driver(self.programs / "sendfile", "--servers", "sluice,sluice_16k", "--sizes", "1000,300000")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        rows = self.read_results()["files"]
        cells = {(row["server"], row["tls"], row["file_bytes"]) for row in rows}
        expected = {("sluice", tls, size) for tls in (False, True) for size in (1000, 300000)}
        self.assertEqual(cells, expected | {("sluice_16k", True, size) for size in (1000, 300000)})
        for row in rows:
            self.assertNotIn("failure", row)
            self.assertEqual(len(row["cpu_us_per_mib"]["rounds"]), 2)
            self.assertGreater(row["requests_per_second"]["min"], 0)

    def test_names_nginx_if_it_is_missing_and_measures_the_others(self):
        missing = ("--nginx", self.folder / "nginx", "--servers", "nginx,sluice", "--sizes", "1000", "--only", "tcp")
        run = self.run_driver(self.programs / "sendfile", *missing)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("SKIPPED: nginx in tcp", run.stdout)
        self.assertEqual([row["server"] for row in self.read_results()["files"]], ["sluice"])

    def test_fails_when_a_server_sends_something_else(self):
        shutil.copy(self.programs / "sendfile", self.folder / "sendfile")
        wrong = self.folder / "file_server"
        # The right length, and not one right byte.
        wrong.write_text(
            f"#!{sys.executable}\n"
            "import http.server\n"
            "class Zeros(http.server.BaseHTTPRequestHandler):\n"
            "    protocol_version = 'HTTP/1.1'\n"
            "    def do_GET(self):\n"
            "        self.send_response(200)\n"
            "        self.send_header('Content-Length', '1000')\n"
            "        self.end_headers()\n"
            "        self.wfile.write(bytes(1000))\n"
            "    def log_message(self, *_):\n"
            "        pass\n"
            "server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Zeros)\n"
            "print('listening on 127.0.0.1:%d' % server.server_address[1], flush=True)\n"
            "server.serve_forever()\n",
            encoding="utf-8",
        )
        wrong.chmod(0o755)
        only = ("--servers", "sluice", "--sizes", "1000", "--only", "tcp")
        run = self.run_driver(self.folder / "sendfile", *only)
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        self.assertIn("wrong bytes came", self.read_results()["files"][0]["failure"])

    def test_refuses_an_option_it_does_not_know(self):
        run = self.run_driver(self.programs / "sendfile", "--fiels")
        self.assertEqual(run.returncode, 2)
        self.assertIn("--fiels", run.stderr)


class Datagrams(Program):
    """The UDP benchmark, of our server and the reference."""

    common = ("--rounds", "2", "--ms", "5")

    def test_measures_every_shape(self):
        run = self.run_driver(self.programs / "udp", "--servers", "raw_recvfrom,sluice")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        rows = self.read_results()["udp"]
        for server in ("raw_recvfrom", "sluice"):
            shapes = {(row["bytes"], row["sockets"], row["window"]) for row in rows if row["server"] == server}
            self.assertEqual(len(shapes), 6)
            self.assertIn(server, run.stdout)
        for row in rows:
            self.assertNotIn("failure", row)
            self.assertEqual(len(row["cpu_us_per_datagram"]), 2)
            self.assertGreater(min(row["datagrams_per_second"]), 0)

    def test_names_what_is_missing_and_measures_the_others(self):
        shutil.copy(self.programs / "udp", self.folder / "udp")
        shutil.copy(self.programs / "raw_udp", self.folder / "raw_udp")
        run = self.run_driver(self.folder / "udp", "--servers", "raw_recvfrom,sluice")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("skipped: sluice: not built", run.stderr)
        self.assertEqual({row["server"] for row in self.read_results()["udp"]}, {"raw_recvfrom"})

    def test_refuses_options_it_does_not_know(self):
        run = self.run_driver(self.programs / "udp", "--winodw", "3")
        self.assertEqual(run.returncode, 2)
        self.assertIn("--winodw", run.stderr)


if __name__ == "__main__":
    unittest.main()
