"""Programs that need nothing but the standard library: run by path, they start several times faster than a module."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def script(name: str) -> list[str]:
    """The command that runs one of the files here."""
    return [sys.executable, "-I", "-S", str(FOLDER / name)]
