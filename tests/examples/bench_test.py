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


class Driver(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.programs = pathlib.Path(program_path("SLUICE_BENCH"))

    def run_driver(self, program, *arguments):
        self.results = self.folder / "results.json"
        command = [program, *arguments, "--json", self.results]
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=4 * LIMIT)

    def read_results(self):
        return json.loads(self.results.read_text(encoding="utf-8"))

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
        pictures = self.folder / "pictures"
        chart = [sys.executable, program_path("SLUICE_CHART"), self.results, "--out", pictures]
        subprocess.run([str(word) for word in chart], check=True, capture_output=True, timeout=4 * LIMIT)
        self.assertEqual({path.stem for path in pictures.glob("*.svg")}, {"echo", "cpu", "curve"})
        for path in pictures.glob("*.svg"):
            self.assertIn("sluice", path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
