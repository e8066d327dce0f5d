"""For tests that speak TLS with Python's ssl: certificates, made by the openssl command into a temporary folder, and an
echo that is sent and received at the same time.
"""

import os
import select
import ssl
import subprocess
import tempfile

from support import LIMIT


def echoed(connection, data):
    """Sends `data` and gives back as many bytes as come in return. In one thread: an SSLSocket that one thread reads and
    another writes mixes up its records before Python 3.13.
    """
    connection.setblocking(False)
    sent, received = memoryview(data), bytearray()
    while len(received) < len(data):
        waiting = True
        try:
            if sent:
                sent = sent[connection.send(sent[: 1 << 16]) :]
                waiting = False
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        try:
            chunk = connection.recv(1 << 18)
            if not chunk:
                raise AssertionError(f"the stream ended after {len(received)} of {len(data)} bytes")
            received += chunk
            waiting = False
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        if waiting and not any(select.select([connection], [connection] if sent else [], [], LIMIT)):
            raise AssertionError(f"nothing came for {LIMIT} s after {len(received)} of {len(data)} bytes")
    connection.settimeout(LIMIT)
    return bytes(received)


class Authority:
    """A certificate authority of its own. Use it in a `with` block, which removes the folder."""

    def __init__(self, name="Sluice Test Root"):
        self._folder = tempfile.TemporaryDirectory(prefix="sluice-tls-")
        self.folder = self._folder.name
        self.file = self.path("root.pem")
        self.key = self.path("root.key")
        self._openssl(
            "req", "-x509", *self._new_key(self.key), "-out", self.file, "-days", "2", "-subj", f"/CN={name}",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def _new_key(file, algorithm="ec"):
        kind = ("rsa:2048",) if algorithm == "rsa" else ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        return "-newkey", *kind, "-nodes", "-keyout", file

    @staticmethod
    def _openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=LIMIT)

    def issue(self, name, alternative_names="DNS:localhost,IP:127.0.0.1", days=1, algorithm="ec"):
        """A certificate; the paths of it and of its key. Negative days: it has expired. Algorithms: ec, rsa."""
        request, certificate, key = (self.path(f"{name}.{kind}") for kind in ("csr", "pem", "key"))
        self._openssl("req", *self._new_key(key, algorithm), "-out", request, "-subj", f"/CN={name}")
        extensions = self.path(f"{name}.ext")
        with open(extensions, "w", encoding="ascii") as file:
            file.write(f"subjectAltName={alternative_names}\n")
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-CAcreateserial",
            "-days", str(days), "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return certificate, key
