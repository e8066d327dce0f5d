"""Rivals: CPython's asyncio and uvloop, each with the protocol kind that suits it.

asyncio tries the send at once and copies what is left, so one BufferedProtocol buffer can serve all connections and no
message costs an allocation. uvloop sends at the end of the iteration and keeps a reference until then, so it gets the
plain Protocol, whose bytes objects it is built around.
"""

import argparse
import asyncio
import ctypes
import mmap
import signal
import socket
import sys

from server_tls import tls_context

PR_SET_PDEATHSIG = 1
PIECE_BYTES = 64  # as in server_support.hpp
RECEIVE_BYTES = 256 * 1024
# Since 3.12 asyncio keeps a view of what it could not send, so a shared buffer would be overwritten under it.
WRITE_COPIES = sys.version_info < (3, 12)


# Mapped rather than allocated, so that it starts on a cache line like the other servers' buffers (see aligned_buffer.hpp).
PAGES = memoryview(mmap.mmap(-1, RECEIVE_BYTES))


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.write = transport.write

    def data_received(self, data):
        self.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class BufferedEcho(asyncio.BufferedProtocol):
    buffer = PAGES

    def connection_made(self, transport):
        self.transport = transport
        self.write = transport.write

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, count):
        self.write(self.buffer[:count])

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class PiecesEcho(Echo):
    def data_received(self, data):
        view = memoryview(data)
        self.transport.writelines([view[i : i + PIECE_BYTES] for i in range(0, len(view), PIECE_BYTES)])


class Sink(asyncio.BufferedProtocol):
    buffer = PAGES

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, count):
        pass


def parse():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mode", choices=["echo", "sink", "pieces"], default="echo")
    parser.add_argument("--tls", action="store_true", help="TLS, with --cert and --key")
    parser.add_argument("--cert", help="PEM file with the certificate")
    parser.add_argument("--key", help="PEM file with its key")
    parser.add_argument("--protocol", choices=["simple", "buffered"], help="overrides the choice")
    return parser.parse_args()


def protocol_for(options):
    if options.mode == "sink":
        return Sink
    if options.mode == "pieces":
        return PiecesEcho
    buffered_suits = options.loop == "asyncio" and WRITE_COPIES
    kind = options.protocol or ("buffered" if buffered_suits else "simple")
    return BufferedEcho if kind == "buffered" else Echo


async def serve(options):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        protocol_for(options),
        options.host,
        options.port,
        family=socket.AF_INET,
        backlog=socket.SOMAXCONN,
        ssl=tls_context(options) if options.tls else None,
    )
    host, port = server.sockets[0].getsockname()
    print(f"listening on {host}:{port}", flush=True)
    await server.serve_forever()


def main():
    # A server must not outlive the program that measures it.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The default handler of Python ends at once; asyncio's own clean-up is not what is measured.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    options = parse()
    if options.loop == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
