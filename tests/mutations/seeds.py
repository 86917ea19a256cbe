"""Which seed of the simulation finds which planted fault, as far as one does: kept in seeds.txt, a line for each."""

from collections.abc import Mapping
from pathlib import Path

PATH = Path(__file__).with_name("seeds.txt")


def _read() -> dict[str, int]:
    lines = PATH.read_text().splitlines() if PATH.exists() else []
    return {name: int(seed) for name, seed in (line.split() for line in lines)}


KNOWN: Mapping[str, int] = _read()


def keep(seeds: Mapping[str, int]) -> None:
    """Write them down."""
    PATH.write_text("".join(f"{name} {seed}\n" for name, seed in sorted(seeds.items())))
