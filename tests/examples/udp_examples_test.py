#!/usr/bin/env python3
"""The examples that speak UDP, run as a user runs them. CTest calls this with the name of one class below.

SLUICE_EXAMPLES names the folder with the programs.
"""

import os
import re
import socket
import unittest

from support import HOST, LIMIT, Program, pattern, program_path


def example(name, *arguments):
    return Program(os.path.join(program_path("SLUICE_EXAMPLES"), name), *arguments)


def client_of(port):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(LIMIT)
    client.connect((HOST, port))
    return client


class UdpEcho(unittest.TestCase):
    def test_gives_every_datagram_back_to_its_sender(self):
        with example("udp_echo", HOST, 0) as server:
            port = server.listening_port()
            with client_of(port) as one, client_of(port) as other:
                for size in (0, 1, 64, 1472, 9000, 60000):
                    one.send(pattern(1, size))
                    other.send(pattern(2, size))
                    self.assertTrue(one.recv(65536) == pattern(1, size))
                    self.assertTrue(other.recv(65536) == pattern(2, size))
            server.end()

    def test_says_what_is_wrong_with_its_address(self):
        with example("udp_echo", "256.1.1.1.invalid", 0) as server:
            self.assertEqual(server.exit_code(), 1)
            self.assertIn("256.1.1.1.invalid", server.error_text())


class UdpBlast(unittest.TestCase):
    def test_counts_what_comes_back(self):
        with example("udp_echo", HOST, 0) as server:
            with example("udp_blast", HOST, server.listening_port(), 500, 100) as blast:
                answer = re.fullmatch(r"(\d+) of 500 came back, (\d+) bytes", blast.line())
                self.assertEqual(blast.exit_code(), 0)
            self.assertIsNotNone(answer)
            # UDP may lose some on a busy machine, but neither all nor a part of one.
            self.assertGreater(int(answer[1]), 0)
            self.assertEqual(int(answer[1]) * 100, int(answer[2]))
            server.end()

    def test_says_when_nobody_listens(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
            holder.bind((HOST, 0))
            port = holder.getsockname()[1]
        with example("udp_blast", HOST, port, 32) as blast:
            self.assertEqual(blast.line(), "0 of 32 came back, 0 bytes")
            self.assertIn("refused", blast.line())

    def test_explains_its_arguments(self):
        with example("udp_blast") as blast:
            self.assertEqual(blast.exit_code(), 1)
            self.assertIn("usage", blast.error_text())


if __name__ == "__main__":
    unittest.main()
