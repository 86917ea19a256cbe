"""Prints the demo: numbered steps, commands with what they printed, and what was seen. Knows nothing of clusters."""

import shlex
import sys
import time
from dataclasses import dataclass, field
from typing import TextIO, TypeVar

T = TypeVar("T")


class NotSeen(AssertionError):
    """The demo did not see what it should have; the message says both."""


@dataclass
class Narrator:
    """`started` is monotonic. Lines carry the seconds since then, so a reader sees what takes how long."""

    output: TextIO = sys.stdout
    started: float = field(default_factory=time.monotonic)
    facts: list[tuple[str, str]] = field(default_factory=list)
    _steps: int = 0

    def step(self, title: str) -> None:
        self._steps += 1
        self._write(f"\n[{self._elapsed():5.1f} s] {self._steps}. {title}\n")

    def say(self, text: str) -> None:
        self._write(f"          {text}\n")

    def command(self, *words: str, stdin: str = "", printed: str = "", prompt: str = "$") -> None:
        """A command as a user would type it, its input, and what it printed."""
        self._write(f"          {prompt} {shlex.join(words)}\n")
        for line in [*_shown(stdin, "<"), *_shown(printed, " ")]:
            self._write(f"          {line}\n")

    def saw(self, text: str) -> None:
        """Something checked, that held."""
        self._write(f"        ✔ {text}\n")

    def measured(self, what: str, figure: str) -> None:
        """As `saw`, and again in the summary."""
        self.saw(f"{what}: {figure}")
        self.facts.append((what, figure))

    def summary(self) -> None:
        width = max((len(what) for what, _ in self.facts), default=0)
        self._write(f"\n[{self._elapsed():5.1f} s] All of it held.\n\n")
        for what, figure in self.facts:
            self._write(f"          {what.ljust(width)}   {figure}\n")

    def failed(self, why: str) -> None:
        self._write(f"\n        ✘ {why}\n")

    def clock(self, moment: float) -> float:
        """A monotonic time as the seconds that the steps show."""
        return moment - self.started

    def _elapsed(self) -> float:
        return self.clock(time.monotonic())

    def _write(self, text: str) -> None:
        self.output.write(text)
        self.output.flush()


def expect(holds: bool, wanted: str, seen: object) -> None:
    """Raise NotSeen unless it holds."""
    if not holds:
        raise NotSeen(f"expected: {wanted}\n          seen:     {seen}")


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _shown(text: str, mark: str) -> list[str]:
    return [f"{mark} {line}".rstrip() for line in text.strip("\n").splitlines()]
