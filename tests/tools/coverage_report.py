"""gcovr, which may be told nothing about functions whose line differs between two translation units.

GCC 12 gives a defaulted member function the line of whoever needs it first. gcovr 6 has --merge-mode-functions for that,
the 5.2 of Debian 12 only this variable behind it.
"""

import sys

import gcovr.__main__
import gcovr.merging

if hasattr(gcovr.merging, "DEFAULT_MERGE_OPTIONS"):
    object.__setattr__(gcovr.merging.DEFAULT_MERGE_OPTIONS, "ignore_function_lineno", True)

if __name__ == "__main__":
    sys.exit(gcovr.__main__.main())
