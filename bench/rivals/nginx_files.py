#!/usr/bin/env python3
"""Starts nginx over one folder of files for the file benchmark: one process, sendfile on, a configuration and everything
else it writes below a temporary prefix. Prints "listening on HOST:PORT" and becomes nginx.

The port is one that was free a moment ago. (nginx can be handed a listening socket, as it does when it replaces its own
program, but 1.22 crashes on that without a master process.)
"""

import argparse
import ctypes
import os
import pathlib
import signal
import socket
import time

PR_SET_PDEATHSIG = 1

# What its users recommend for static files, and what takes limits away that the load would run into. The open-file cache
# stays off, as it is by default.
CONFIGURATION = """
daemon off;
master_process off;
worker_processes 1;
pid {prefix}/nginx-{port}.pid;
error_log {prefix}/error.log crit;
events {{
    worker_connections 1024;
}}
http {{
    access_log off;
    sendfile on;
    tcp_nopush {nopush};
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    server {{
        listen 127.0.0.1:{port}{tls};
        root {root};
        {certificate}
    }}
}}
"""

# As for the other servers: TLS 1.3 is what the load speaks.
CERTIFICATE = """
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
"""


def parse():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--program", required=True, help="nginx")
    parser.add_argument("--prefix", required=True, help="an existing folder for what nginx writes")
    parser.add_argument("--root", required=True, help="the folder to serve")
    parser.add_argument("--nopush", choices=["on", "off"], default="off")
    parser.add_argument("--tls", choices=["on", "off"], default="off")
    parser.add_argument("--cert", help="PEM file with the certificate")
    parser.add_argument("--key", help="PEM file with its key")
    return parser.parse_args()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def announce(port, nginx):
    """Prints the line as soon as nginx accepts connections, which it does not tell by itself."""
    while os.getppid() == nginx:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.005)
            continue
        print(f"listening on 127.0.0.1:{port}", flush=True)
        return


def main():
    # A server must not outlive the program that measures it; this survives execve(2).
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    options = parse()
    if not os.access(options.program, os.X_OK):
        raise SystemExit(f"there is no program '{options.program}'")
    port = free_port()
    tls = options.tls == "on"
    text = CONFIGURATION.format(
        prefix=options.prefix,
        nopush=options.nopush,
        port=port,
        root=options.root,
        tls=" ssl" if tls else "",
        certificate=CERTIFICATE.format(cert=options.cert, key=options.key) if tls else "",
    )
    configuration = pathlib.Path(options.prefix) / f"nginx-{port}.conf"
    configuration.write_text(text, encoding="ascii")
    words = [options.program, "-p", options.prefix, "-c", str(configuration), "-e", "stderr"]
    nginx = os.getpid()
    if os.fork() == 0:
        announce(port, nginx)
        # Without clean-up, of which the other process has the same to do.
        os._exit(0)
    os.execv(options.program, words)


if __name__ == "__main__":
    main()
