"""Looks into the programs that were linked for macOS: check_programs.py ARCHITECTURE LIBSYSTEM_TBD FOLDER...

A program must be one for the processor, load nothing but what every macOS has, and want no symbol that libSystem has not
got there; LIBSYSTEM_TBD is Apple's list of these. Prints for each folder how many programs are below it. A folder
without one, like a program that is not as it must be, is a failure: the exit code is 1.
"""

import os
import pathlib
import re
import struct
import sys

# <mach-o/loader.h>, <mach/machine.h>
MH_MAGIC_64 = 0xFEEDFACF
MH_EXECUTE = 2
PROCESSORS = {"x86_64": 0x01000007, "aarch64": 0x0100000C}
LC_SYMTAB = 0x2
# Of the commands that load a library all but the first have a bit set that is not part of the number.
LC_LOADS = {0xC, 0x18, 0x1F, 0x20, 0x23}
LC_REQ_DYLD = 0x80000000
# <mach-o/nlist.h>
N_STAB, N_TYPE, N_EXT, N_UNDF = 0xE0, 0x0E, 0x01, 0x00
SYMBOL = struct.Struct("<IBBHQ")

LIBSYSTEM = "/usr/lib/libSystem.B.dylib"


def symbols_of_system(list_of_symbols: str, architecture: str) -> set[str]:
    """What libSystem and the libraries behind it give to programs for the architecture."""
    target = {"x86_64": "x86_64-macos", "aarch64": "arm64-macos"}[architecture]
    names: set[str] = set()
    for targets, symbols in re.findall(
        r"- targets: +\[([^]]*)\]\s+(?:weak-)?symbols: +\[([^]]*)\]", list_of_symbols
    ):
        if target in re.split(r"[\s,]+", targets):
            names.update(re.findall(r"[^\s,']+", symbols))
    return names


def text_at(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()


class Program:
    """What a Mach-O file for 64 bits says of itself; ValueError or struct.error if it is none."""

    def __init__(self, data: bytes):
        magic, self.processor, _, self.kind, commands = struct.unpack_from("<5I", data)
        if magic != MH_MAGIC_64:
            raise ValueError("not a Mach-O file for 64 bits")
        self.libraries: list[str] = []
        self.undefined: list[str] = []
        offset = 32
        for _ in range(commands):
            command, size = struct.unpack_from("<2I", data, offset)
            if command & ~LC_REQ_DYLD in LC_LOADS:
                (name,) = struct.unpack_from("<I", data, offset + 8)
                self.libraries.append(text_at(data, offset + name))
            elif command == LC_SYMTAB:
                self._read_symbols(data, *struct.unpack_from("<3I", data, offset + 8))
            offset += size

    def _read_symbols(self, data: bytes, offset: int, count: int, names: int) -> None:
        for name, kind, _, _, _ in SYMBOL.iter_unpack(data[offset : offset + count * SYMBOL.size]):
            if kind & N_STAB == 0 and kind & N_EXT and kind & N_TYPE == N_UNDF:
                self.undefined.append(text_at(data, names + name))


def complaints(path: pathlib.Path, architecture: str, system: set[str]) -> list[str]:
    try:
        program = Program(path.read_bytes())
    except (ValueError, struct.error) as error:
        return [str(error)]
    found = []
    if program.processor != PROCESSORS[architecture] or program.kind != MH_EXECUTE:
        found.append(f"not a program for {architecture}")
    if program.libraries != [LIBSYSTEM]:
        found.append(f"loads {', '.join(program.libraries) or 'nothing'}")
    # Every program wants some: else the table was not found.
    if not program.undefined:
        found.append("wants no symbol of the system")
    missing = sorted(set(program.undefined) - system)
    return found + [f"wants {name}, which macOS has not got for {architecture}" for name in missing]


def programs_below(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and os.access(path, os.X_OK) and "CMakeFiles" not in path.parts
    )


def main() -> int:
    architecture, list_of_symbols, *folders = sys.argv[1:]
    system = symbols_of_system(pathlib.Path(list_of_symbols).read_text(), architecture)
    failed = False
    counts = []
    for folder in map(pathlib.Path, folders):
        programs = programs_below(folder)
        counts.append(str(len(programs)))
        found = [(path, text) for path in programs for text in complaints(path, architecture, system)]
        if not programs:
            found = [(folder, "has no program")]
        for path, text in found:
            print(f"{path}: {text}", file=sys.stderr)
        failed = failed or bool(found)
    print(*counts)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
