#!/usr/bin/env python3
"""The examples about Unix sockets, run as a user runs them. CTest calls this with the name of one class below.

SLUICE_EXAMPLES names the folder with the programs.
"""

import os
import socket
import tempfile
import unittest

from support import Program, program_path


def example(name, *arguments):
    return Program(os.path.join(program_path("SLUICE_EXAMPLES"), name), *arguments)


class UnixEcho(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "echo")

    def test_greets_the_process_by_its_number_and_gives_back_what_it_said(self):
        with example("unix_echo", self.path, "good", "morning") as program:
            self.assertEqual(program.line(), f"hello, process {program.process.pid}")
            self.assertEqual(program.line(), "good morning")
            self.assertEqual(program.exit_code(), 0)
            self.assertEqual(program.error_text(), "")
        self.assertFalse(os.path.exists(self.path))

    def test_takes_the_place_of_a_socket_that_nobody_serves(self):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(self.path)
        with example("unix_echo", self.path) as program:
            self.assertEqual(program.exit_code(), 0)

    def test_leaves_other_files_alone_and_names_the_path(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write("precious")
        with example("unix_echo", self.path) as program:
            self.assertEqual(program.exit_code(), 1)
            self.assertIn(f"Address '{self.path}' is already in use", program.error_text())
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_explains_its_arguments(self):
        with example("unix_echo") as program:
            self.assertEqual(program.exit_code(), 1)
            self.assertIn("usage", program.error_text())


if __name__ == "__main__":
    unittest.main()
