"""Certificates for the tests of the TLS examples, made by the openssl command into a temporary folder."""

import os
import subprocess
import tempfile

from support import LIMIT


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
