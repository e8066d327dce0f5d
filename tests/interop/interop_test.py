#!/usr/bin/env python3
"""Echo servers of ours against clients that are not. CTest calls this with the name of one class below.

SLUICE_ECHO_SERVER is the command that starts a server on a free port and prints "listening on HOST:PORT".
"""

import asyncio
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))

from support import HOST, LIMIT, Program, pattern, program_path  # noqa: E402: the path comes first

MIB = 1 << 20


def raise_descriptor_limit(wanted):
    """For this process and the server it starts; fails where the system does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Interop(unittest.TestCase):
    def setUp(self):
        self.server = Program(*shlex.split(program_path("SLUICE_ECHO_SERVER")))
        self.addCleanup(self.server.__exit__)
        self.port = self.server.listening_port()

    def echo_through(self, data, *command):
        """Runs a client that sends its standard input and writes what comes back to its standard output.

        The input is a file: through a pipe, this side would have to read and write at the same time.
        """
        with tempfile.TemporaryFile() as source:
            source.write(data)
            source.seek(0)
            client = subprocess.run(command, stdin=source, capture_output=True, timeout=4 * LIMIT, check=False)
        self.assertEqual(client.stderr, b"")
        self.assertEqual(client.returncode, 0)
        self.assertTrue(client.stdout == data, f"{len(client.stdout)} bytes of {len(data)} came back, or other ones")


class Socat(Interop):
    def client(self):
        # -t: how long to wait for the rest of the answer once our own direction has ended.
        return "socat", "-t", str(LIMIT), "-", f"TCP4:{HOST}:{self.port}"

    def test_gets_every_byte_back(self):
        for size in (0, 1, 4096, 65_537, 8 * MIB):
            with self.subTest(size=size):
                self.echo_through(pattern(size, size), *self.client())
        self.server.end()


class Netcat(Interop):
    def client(self):
        # -N: end our direction at the end of the input.
        return "nc", "-N", HOST, str(self.port)

    def test_gets_every_byte_back(self):
        for size in (0, 1, 4096, 65_537, 8 * MIB):
            with self.subTest(size=size):
                self.echo_through(pattern(size, size), *self.client())
        self.server.end()


async def exchange(reader, writer, data):
    """Sends and receives at the same time: the server may be back-pressured, and so may we."""

    async def send():
        writer.write(data)
        await writer.drain()

    sending = asyncio.ensure_future(send())
    received = await reader.readexactly(len(data))
    await sending
    if received != data:
        raise AssertionError(f"other bytes than sent came back, among {len(data)}")


class Asyncio(Interop):
    def run_bounded(self, coroutine):
        async def bounded():
            await asyncio.wait_for(coroutine, 4 * LIMIT)

        asyncio.run(bounded())

    def test_streams_get_every_byte_back(self):
        async def client():
            reader, writer = await asyncio.open_connection(HOST, self.port)
            for number in range(200):
                await exchange(reader, writer, pattern(number, 1 + 37 * number))
            await exchange(reader, writer, pattern(5, 8 * MIB))
            writer.write_eof()
            self.assertEqual(await reader.read(), b"")
            writer.close()
            await writer.wait_closed()

        self.run_bounded(client())
        self.server.end()

    def test_a_protocol_sees_its_callbacks_in_order(self):
        class Recorder(asyncio.Protocol):
            def __init__(self, lost):
                self.calls = []
                self.received = b""
                self.lost = lost

            def connection_made(self, transport):
                self.calls.append("made")
                transport.writelines([b"head", b"er and ", b"body"])
                transport.write_eof()

            def data_received(self, data):
                self.received += data

            def eof_received(self):
                self.calls.append("eof")

            def connection_lost(self, reason):
                self.calls.append(("lost", reason))
                self.lost.set_result(None)

        async def client():
            loop = asyncio.get_running_loop()
            lost = loop.create_future()
            _, protocol = await loop.create_connection(lambda: Recorder(lost), HOST, self.port)
            await lost
            self.assertEqual(protocol.received, b"header and body")
            self.assertEqual(protocol.calls, ["made", "eof", ("lost", None)])

        self.run_bounded(client())
        self.server.end()


class ThousandConnections(Interop):
    """A thousand at the same time: all are open before the first is closed, each with bytes of its own."""

    COUNT = 1000
    ROUNDS = 4

    def setUp(self):
        raise_descriptor_limit(2 * self.COUNT)
        super().setUp()

    def test_get_every_byte_back(self):
        async def talk(number, connecting, open_ones):
            # More at once than the listen queue holds would only measure how long the kernel takes to try again.
            async with connecting:
                reader, writer = await asyncio.open_connection(HOST, self.port)
            try:
                await exchange(reader, writer, pattern(number, 1 + number))
                open_ones.add(number)
                if len(open_ones) == self.COUNT:
                    all_open.set_result(None)
                await all_open
                for turn in range(self.ROUNDS):
                    await exchange(reader, writer, pattern(number * self.ROUNDS + turn, 97 * (number % 400) + 1))
            finally:
                writer.close()
            return number

        async def clients():
            nonlocal all_open
            all_open = asyncio.get_running_loop().create_future()
            connecting = asyncio.Semaphore(50)
            open_ones = set()
            talks = [talk(number, connecting, open_ones) for number in range(self.COUNT)]
            finished = await asyncio.wait_for(asyncio.gather(*talks), 4 * LIMIT)
            self.assertEqual(finished, list(range(self.COUNT)))

        all_open = None
        asyncio.run(clients())
        self.server.end()


if __name__ == "__main__":
    unittest.main()
