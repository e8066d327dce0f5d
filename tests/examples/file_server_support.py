"""What the tests of the example file_server share: a folder with files, the server that serves it, and curl.

SLUICE_EXAMPLES names the folder with the program.
"""

import hashlib
import os
import subprocess
import tempfile
import unittest

from support import HOST, LIMIT, Program, pattern, program_path
from tls_support import Authority

MIB = 1 << 20
# Around the size up to which a file is copied behind its head, around a chunk of the fallback, and more than buffers hold.
SIZES = {
    "empty": 0,
    "one.txt": 1,
    "small.html": 16 * 1024,
    "middle.bin": 16 * 1024 + 1,
    "chunk.bin": 256 * 1024 + 13,
    "wide.bin": 3 * MIB + 5,
    "sub/large.bin": 40 * MIB + 7,
}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Site(unittest.TestCase):
    """A folder with files, and the server that serves it."""

    tls = False

    @classmethod
    def setUpClass(cls):
        cls.outside = tempfile.TemporaryDirectory(prefix="sluice-files-")
        cls.addClassCleanup(cls.outside.cleanup)
        cls.root = os.path.join(cls.outside.name, "root")
        cls.files = {}
        for seed, (name, size) in enumerate(SIZES.items()):
            cls.files[name] = cls.add(name, pattern(seed, size))
        cls.files["sub/"] = cls.add("sub/index.html", b"<p>the folder\n")
        with open(os.path.join(cls.outside.name, "secret.txt"), "wb") as file:
            file.write(b"a secret")
        if cls.tls:
            cls.authority = Authority()
            cls.addClassCleanup(cls.authority.__exit__)
            cls.identity = cls.authority.issue("server")

    @classmethod
    def add(cls, name, data):
        path = os.path.join(cls.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return data

    def serve(self, *options):
        if self.tls:
            options = (*options, "--tls", "on", "--cert", self.identity[0], "--key", self.identity[1])
        program = os.path.join(program_path("SLUICE_EXAMPLES"), "file_server")
        server = Program(program, *options, self.root, HOST, 0)
        self.addCleanup(server.__exit__)
        self.port = server.listening_port()
        return server

    def url(self, name):
        return f"{'https://localhost' if self.tls else 'http://' + HOST}:{self.port}/{name}"

    def curl(self, *words):
        trust = ("--cacert", self.authority.file) if self.tls else ()
        return subprocess.run(
            ["curl", "-sS", "--max-time", str(4 * LIMIT), *trust, *words], capture_output=True, check=False
        )

    def fetch(self, *words):
        """Status, fields and body of one answer."""
        done = self.curl("-i", *words)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        lines = head.decode("ascii").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), fields, body
