"""The commands that were written to ExaBGP and that it has not answered yet. Pure.

It works them off, and answers them, in the order in which they were written.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from speaker.bgp.exabgp.routestate import RibEntry
from speaker.bgp.model import Route

LINES_IN_FLIGHT = 16


class Change(NamedTuple):
    """Of one prefix, by a command. `before`, `after`: what ExaBGP holds of it before and after; None = nothing."""

    entry: RibEntry
    before: Route | None
    after: Route | None


@dataclass(frozen=True)
class Command:
    """`changes`: all announce, or all withdraw, or there are none."""

    line: str
    changes: Sequence[Change] = ()

    @property
    def is_withdrawal(self) -> bool:
        return bool(self.changes) and self.changes[0].after is None


class CommandQueue:
    """`waiting_since`: when ExaBGP last answered, or the wait for an answer began (monotonic seconds)."""

    def __init__(self, now: float) -> None:
        self.waiting_since = now
        self._commands: deque[Command] = deque()

    def __len__(self) -> int:
        return len(self._commands)

    def __bool__(self) -> bool:
        return bool(self._commands)

    @property
    def room(self) -> int:
        """How many more may be written now."""
        return LINES_IN_FLIGHT - len(self._commands)

    @property
    def has_changes(self) -> bool:
        """Whether a command about routes has no answer yet."""
        return any(command.changes for command in self._commands)

    def write(self, line: str, changes: Sequence[Change] = ()) -> None:
        self._commands.append(Command(line, changes))
        for change in changes:
            change.entry.unanswered += 1

    def lines_after(self, count: int) -> list[str]:
        """All but the oldest `count`."""
        return [command.line for command in list(self._commands)[count:]]

    def answered(self, now: float) -> Command | None:
        """The oldest, which this answer is for; None when there is none."""
        self.waiting_since = now
        if not self._commands:
            return None
        command = self._commands.popleft()
        for change in command.changes:
            change.entry.unanswered -= 1
        return command

    def clear(self) -> list[RibEntry]:
        """Nobody will answer. The entries that were waiting."""
        entries = [change.entry for command in self._commands for change in command.changes]
        for entry in entries:
            entry.unanswered = 0
        self._commands.clear()
        return entries
