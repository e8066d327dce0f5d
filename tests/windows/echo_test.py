#!/usr/bin/env python3
"""The example echo_server, run by Wine, with a client of Linux: bytes come back whole and the end is answered.

    echo_test.py WINE ECHO_SERVER
"""
import hashlib
import os
import re
import socket
import subprocess
import sys
import threading

PATIENCE = 60
MEBIBYTE = 1 << 20


def echo(address, content):
    """Sends, ends its side, and returns what came back until the other end."""
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        def send():
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        pieces = []
        while piece := connection.recv(MEBIBYTE):
            pieces.append(piece)
        sender.join()
        return b"".join(pieces)


def main():
    wine, server = sys.argv[1:]
    # To port 0, so that the system chooses one; Wine's own words go nowhere.
    with subprocess.Popen([wine, server, "127.0.0.1", "0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        try:
            line = process.stdout.readline()
            found = re.fullmatch(r"listening on (127\.0\.0\.1):(\d+)\s*", line)
            if not found:
                sys.exit(f"the server said {line!r}")
            address = (found[1], int(found[2]))
            for size in (1, 4096, 8 * MEBIBYTE):
                content = os.urandom(size)
                answer = echo(address, content)
                if hashlib.sha256(answer).digest() != hashlib.sha256(content).digest():
                    sys.exit(f"{len(answer)} of {size} bytes came back, or others")
        finally:
            process.kill()


main()
