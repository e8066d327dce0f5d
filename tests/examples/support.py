"""Programs under test as processes: started on a port of the system's choice, talked to over loopback, ended by pid.

Nothing here sleeps. What a program has to do is waited for by its effect: a line of its output, bytes, an end of
stream, its exit; each wait has a limit that only a hanging program reaches.
"""

import os
import queue
import random
import signal
import socket
import subprocess
import threading

# For one step of a test, in seconds. Generous, because sanitizer builds on a busy machine are slow.
LIMIT = 30
HOST = "127.0.0.1"


class Program:
    """A running program. Use it in a `with` block, which ends the process however the block is left.

    `options` are subprocess.Popen's.
    """

    def __init__(self, *command, **options):
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.errors = []
        self._lines = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read_output, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_output(self):
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _read_errors(self):
        self.errors.extend(self.process.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT)
        for reader in self._readers:
            reader.join(LIMIT)
        self.process.stdout.close()
        self.process.stderr.close()

    def line(self):
        """The next line of its output."""
        line = self._lines.get(timeout=LIMIT)
        if line is None:
            raise AssertionError(f"the program ended with {self.exit_code()}: {self.error_text()}")
        return line

    def listening_port(self):
        line = self.line()
        prefix = f"listening on {HOST}:"
        if not line.startswith(prefix):
            raise AssertionError(f"expected '{prefix}PORT', got '{line}'")
        return int(line[len(prefix) :])

    def send_signal(self, number):
        self.process.send_signal(number)

    def exit_code(self):
        """Waits for its end; what it wrote to standard error is complete then."""
        code = self.process.wait(LIMIT)
        for reader in self._readers:
            reader.join(LIMIT)
        return code

    def error_text(self):
        return "".join(self.errors)

    def end(self):
        """Ends a server that runs until it is killed. It must have lived until now and have had nothing to report."""
        self.send_signal(signal.SIGTERM)
        code = self.exit_code()
        if code not in (-signal.SIGTERM, 0) or self.error_text():
            raise AssertionError(f"the program ended with {code}: {self.error_text()}")


def connect(port):
    return socket.create_connection((HOST, port), timeout=LIMIT)


def receive_exactly(connection, count):
    data = bytearray()
    while len(data) < count:
        chunk = connection.recv(min(count - len(data), 1 << 18))
        if not chunk:
            raise AssertionError(f"the stream ended after {len(data)} of {count} bytes: {bytes(data[-200:])!r}")
        data += chunk
    return bytes(data)


def receive_line(connection):
    """One byte at a time, so that nothing behind the line is taken."""
    line = b""
    while not line.endswith(b"\n"):
        line += receive_exactly(connection, 1)
    return line.decode()


def receive_all(connection):
    data = bytearray()
    while chunk := connection.recv(1 << 18):
        data += chunk
    return bytes(data)


def send_until_refused(connection, data):
    """Sends until the system takes no more for a moment, or everything has been sent; gives the number of bytes.

    Nobody reads meanwhile, so where it stops is the sum of all buffers on the way. A busy machine can only make it
    stop earlier.
    """
    sent = 0
    view = memoryview(data)
    connection.settimeout(0.5)
    try:
        while sent < len(data):
            sent += connection.send(view[sent : sent + (1 << 18)])
    except socket.timeout:
        pass
    connection.settimeout(LIMIT)
    return sent


def pattern(seed, count):
    """Bytes that repeat nowhere soon and differ for each seed: a lost, doubled or strayed piece shows."""
    return random.Random(seed).randbytes(count)


def program_path(variable):
    path = os.environ.get(variable)
    if not path:
        raise SystemExit(f"the environment variable {variable} must name what to test")
    return path
