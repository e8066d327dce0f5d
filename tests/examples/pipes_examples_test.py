#!/usr/bin/env python3
"""The example that talks over pipes and terminals, run with both. CTest calls this with the name of one class below.

SLUICE_EXAMPLES names the folder with the programs.
"""

import fcntl
import os
import pty
import select
import socket
import subprocess
import termios
import tty
import unittest

from support import HOST, LIMIT, Program, pattern, program_path, receive_all


def example_path(name):
    return os.path.join(program_path("SLUICE_EXAMPLES"), name)


def echo_server():
    return Program(example_path("echo_server"), HOST, 0)


def start(port, stdin, stdout):
    """The example, whose standard input and output are given."""
    return subprocess.Popen(
        [example_path("stdin_chat"), HOST, str(port)], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
    )


def read_until(descriptor, wanted):
    """Reads from a terminal until `wanted` has appeared; what came."""
    data = b""
    while wanted not in data:
        ready, _, _ = select.select([descriptor], [], [], LIMIT)
        if not ready:
            raise AssertionError(f"waited for {wanted!r}, got {data!r}")
        data += os.read(descriptor, 65536)
    return data


class StdinChat(unittest.TestCase):
    def finish(self, program, errors=b""):
        """Waits for its end, which is to be a good one with nothing but `errors` to report."""
        try:
            _, told = program.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            program.kill()
            program.communicate()
            raise
        self.assertEqual(told, errors)
        return program.returncode

    def test_with_pipes_everything_comes_back_and_the_end_goes_all_the_way(self):
        sent = pattern(1, 1_000_000)
        with echo_server() as server:
            program = start(server.listening_port(), subprocess.PIPE, subprocess.PIPE)
            output, errors = program.communicate(sent, timeout=LIMIT)
            self.assertTrue(output == sent)
            self.assertEqual((program.returncode, errors), (0, b""))
            server.end()

    def test_with_a_terminal_lines_go_there_and_back_and_others_do_not_notice(self):
        master, slave = pty.openpty()
        tty.setraw(slave)
        attributes = termios.tcgetattr(slave)
        attributes[3] |= termios.ICANON  # Lines, and a control character for the end; no echo.
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        with echo_server() as server:
            program = start(server.listening_port(), slave, slave)
            os.write(master, b"good\n")
            self.assertEqual(read_until(master, b"good\n"), b"good\n")
            self.assertFalse(fcntl.fcntl(slave, fcntl.F_GETFL) & os.O_NONBLOCK)
            os.write(master, b"morning\n")
            self.assertEqual(read_until(master, b"morning\n"), b"morning\n")
            os.write(master, b"\x04")
            self.assertEqual(self.finish(program), 0)
            server.end()
        os.close(slave)
        os.close(master)

    def test_without_input_it_ends_at_once(self):
        with echo_server() as server:
            program = start(server.listening_port(), subprocess.DEVNULL, subprocess.PIPE)
            self.assertEqual(self.finish(program), 0)
            server.end()

    def test_ends_when_the_server_does_and_prints_its_last_words(self):
        with socket.create_server((HOST, 0)) as listener:
            listener.settimeout(LIMIT)
            program = start(listener.getsockname()[1], subprocess.PIPE, subprocess.PIPE)
            connection, _ = listener.accept()
            connection.sendall(b"goodbye")
            connection.close()
            # Its standard input is still open: communicate() would close that.
            self.assertEqual(program.stdout.read(), b"goodbye")
            self.assertEqual(program.wait(LIMIT), 0)
            program.communicate()

    def test_ends_when_nobody_reads_its_output_any_more(self):
        with socket.create_server((HOST, 0)) as listener:
            listener.settimeout(LIMIT)
            program = start(listener.getsockname()[1], subprocess.PIPE, subprocess.PIPE)
            connection, _ = listener.accept()
            connection.settimeout(LIMIT)
            program.stdout.close()
            self.assertEqual(receive_all(connection), b"")
            connection.close()
            self.assertEqual(program.wait(LIMIT), 0)
            program.stdin.close()
            program.stderr.close()

    def test_says_who_does_not_answer(self):
        with socket.socket() as unused:
            unused.bind((HOST, 0))
            port = unused.getsockname()[1]
            program = start(port, subprocess.DEVNULL, subprocess.PIPE)
            _, errors = program.communicate(timeout=LIMIT)
            self.assertEqual(program.returncode, 1)
            self.assertIn(f"{HOST}:{port}".encode(), errors)


if __name__ == "__main__":
    unittest.main()
