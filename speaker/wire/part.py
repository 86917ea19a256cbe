"""What the wire process's loop and its parts are to each other: neighbours (ARP, NDP), heartbeats, BFD.

Parts do not know each other, and they know of the loop only what stands here. All run on the loop's thread, one turn
after the other, and an ARP reply waits for each of them: what a part does at a time takes about 0.2 ms at most.

No I/O. Types only: importing this costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from speaker.wire.messages import WireReport

Handler = Callable[[int, Any], None]
"""Takes the sequence number of an order and the order. It sees to it that the order is confirmed or refused, sooner or
later."""


class Part(Protocol):
    """One protocol's share of the wire process."""

    @property
    def clock(self) -> int:
        """The clock of `turn` and `deadline`: time.CLOCK_MONOTONIC, or CLOCK_BOOTTIME, which counts suspended time."""

    @property
    def orders(self) -> Mapping[type, Handler]:
        """Which orders are for this part, and who takes them. Never changes."""

    def turn(self, now: float) -> None:
        """Do some of what is due. Called after whatever else happened, due or not: costs next to nothing then."""

    def deadline(self) -> float | None:
        """When to call `turn` next; None = when something has happened. Asked after `turn`.

        May be early, never late.
        """

    def totals(self) -> Mapping[str, Mapping[str, Any]]:
        """Those fields of messages.Counters that this part counts."""

    def leave(self, *, is_clean: bool) -> None:
        """Say last words, and send no more. Safe to repeat.

        `is_clean`: the agent asked for it; else it is gone, or this process has failed. There is no permit any more.
        """

    @property
    def has_left(self) -> bool:
        """Whether nothing of ours is left in the kernel. Asked after `leave`, each turn."""

    def close(self) -> None:
        """Let go of all descriptors."""


class Poll(Protocol):
    """Where a part registers its file descriptors, with a function to call when there is something to read."""

    def add(self, fd: int, on_readable: Callable[[], object]) -> None: ...

    def mute(self, fd: int, is_muted: bool) -> None:
        """Do not wake up for it, for as long as it is muted."""

    def remove(self, fd: int) -> None: ...


class Agent(Protocol):
    """The agent, to a part. Nothing here waits: what the agent has not read yet is kept."""

    def report(self, report: WireReport) -> None: ...

    def confirm(self, sequence: int) -> None:
        """This order was carried out."""

    def refuse(self, sequence: int, why: str) -> None:
        """This order, or part of it, was not."""

    @property
    def is_crowded(self) -> bool:
        """Whether it has much to read, so that reports which only inform should wait."""


class Permit(Protocol):
    """The agent's permission to send. It is looked up right before each frame."""

    until: float
    """CLOCK_BOOTTIME."""

    def is_valid(self) -> bool: ...

    on_change: Callable[[float], None]
    """Gets, each time that it may be another, until when may be answered without this process: as long as the permit
    lasts and members hear this node."""

    def hear(self, until: float) -> None:
        """Members take this node for alive until then (CLOCK_BOOTTIME); infinity where there are none."""
