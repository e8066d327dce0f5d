#!/usr/bin/env python3
"""Rivals: the UDP echo server of asyncio, and of uvloop (--loop uvloop)."""

import argparse
import asyncio
import ctypes
import signal

PR_SET_PDEATHSIG = 1


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.sendto = transport.sendto

    def datagram_received(self, data, sender):
        self.sendto(data, sender)


async def serve(port):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", port))
    print("listening on 127.0.0.1:%d" % transport.get_extra_info("sockname")[1], flush=True)
    await loop.create_future()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    options = parser.parse_args()
    # A server must not outlive the program that measures it, however that one ends.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if options.loop == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(serve(options.port))


main()
