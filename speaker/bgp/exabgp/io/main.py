"""`python -m speaker.bgp.exabgp.io.main`: forks an ExaBGP for each that is asked for.

What ExaBGP loads and never uses here is left out, 4 MB of memory: a debugger, TLS, and the names of TCP ports, which
flow specifications may have.
"""

import sys
from types import ModuleType
from typing import Any


class _Port:
    """In the place of exabgp.protocol.ip.port.Port."""

    @staticmethod
    def named(name: str) -> int:
        """Raises ValueError for what is no number."""
        return int(name)


def leave_out(modules: dict[str, Any]) -> None:
    """Have these not loaded: before ExaBGP is."""
    modules["ssl"] = None  # asyncio does without it
    modules["pdb"] = ModuleType("pdb")
    port = modules["exabgp.protocol.ip.port"] = ModuleType("exabgp.protocol.ip.port")
    port.Port = _Port  # type: ignore[attr-defined]


if __name__ == "__main__":
    leave_out(sys.modules)
    from speaker.bgp.exabgp.io.changed import serve

    serve()
