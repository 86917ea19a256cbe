"""In which life of the simulation a planted fault shows, as far as one is known: kept in lives.txt, a line for each.

A life is a seed, or the name of a scenario.
"""

from collections.abc import Mapping
from pathlib import Path

from tests.mutations.mutation import Life, Seed, Written

PATH = Path(__file__).with_name("lives.txt")


def _read() -> dict[str, Life]:
    lines = PATH.read_text().splitlines() if PATH.exists() else []
    return {name: life_of(word) for name, word in (line.split() for line in lines)}


def life_of(word: str) -> Life:
    """A seed's number, or the name of a scenario."""
    return Seed(int(word)) if word.isdecimal() else Written(word)


KNOWN: Mapping[str, Life] = _read()


def keep(lives: Mapping[str, Life]) -> None:
    """Write them down."""
    PATH.write_text("".join(f"{name} {life.word}\n" for name, life in sorted(lives.items())))
