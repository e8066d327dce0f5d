#!/usr/bin/env python3
"""aiohttp over one folder of files for the file benchmark: its own static route on asyncio, which sends with sendfile over
TCP and reads and writes in pieces over TLS. Prints "listening on HOST:PORT" when it is ready.
"""

import argparse
import asyncio
import ctypes
import signal
import socket

from aiohttp import web

from server_tls import tls_context

PR_SET_PDEATHSIG = 1


def parse():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--root", required=True, help="the folder to serve")
    parser.add_argument("--tls", choices=["on", "off"], default="off")
    parser.add_argument("--cert", help="PEM file with the certificate")
    parser.add_argument("--key", help="PEM file with its key")
    return parser.parse_args()


async def serve(options):
    application = web.Application()
    application.router.add_static("/", options.root)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    context = tls_context(options) if options.tls == "on" else None
    await web.SockSite(runner, listener, ssl_context=context).start()
    print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    await asyncio.Event().wait()


def main():
    # A server must not outlive the program that measures it.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The default handler of Python ends at once; asyncio's own clean-up is not what is measured.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(serve(parse()))


if __name__ == "__main__":
    main()
