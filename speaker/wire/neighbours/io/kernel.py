"""Has the kernel answer for what is held, on each interface in use where it can; keeps its maps as the table says.

The program takes only frames that it answers. All others come to the sockets of the wire process as if there were no
program, and the process answers those among them that it should: for an address that is not yet, or no longer, in the
maps; after the deadline, as long as the permit lasts; everything where the program could not be attached. So an address
is answered for by one of the two at every moment, and a frame by one of them only.

What happens is told by `answerer`, by interface. Nothing of speaker.wire.neighbours.bpf is loaded where it is not
wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from speaker.wire.messages import Interface
from speaker.wire.neighbours.filter import ETH_P_ARP, ETH_P_IPV6
from speaker.wire.neighbours.io.port import Counters
from speaker.wire.neighbours.table import Table
from speaker.wire.part import Poll

if TYPE_CHECKING:
    from speaker.wire.neighbours.bpf.io.attach import Attachment
    from speaker.wire.neighbours.bpf.io.barrier import Barrier
    from speaker.wire.neighbours.bpf.io.responder import Responder

OFF = "Off"

LOOK_SECONDS = 10.0
"""How soon a program is put back that others took away. Until then the process answers, as it does without."""


class _Open:
    """An interface at which the program is. It answers when all that is known was put into its table."""

    def __init__(self, ifindex: int, mac: bytes, table: int, attachment: Attachment) -> None:
        self.ifindex = ifindex
        self.mac = mac
        self.is_ready = False
        self.table = table
        self.attachment = attachment
        self.counted = (0, 0)


class KernelAnswers:
    """Raises OSError from any method when the kernel refuses what it must not refuse: then the process has to end."""

    def __init__(
        self,
        poll: Poll,
        table: Table,
        counters: Mapping[str, Mapping[int, Counters]],
        *,
        is_wanted: bool,
        run_as_the_loop: Callable[[], None] = lambda: None,
    ) -> None:
        """`counters`: where to add what the program did, by interface and protocol. `run_as_the_loop`: see Barrier."""
        self._table = table
        self._counters = counters
        self._responder: Responder | None = None
        self._barrier: Barrier | None = None
        self._opened: dict[str, _Open] = {}
        self._why_not: dict[str, str] = {}  # by interface
        self._why_nowhere = OFF
        self._look_at = 0.0
        self._has_removed = False  # what no moment was asked for since
        self._moment = 0
        self.has_news = False
        """Whether `answerer` may have changed since this was last set to False."""
        if is_wanted:
            self._start(poll, run_as_the_loop)

    def _start(self, poll: Poll, run_as_the_loop: Callable[[], None]) -> None:
        from speaker.wire.neighbours.bpf.io.attach import remove_all_leftovers
        from speaker.wire.neighbours.bpf.io.barrier import Barrier
        from speaker.wire.neighbours.bpf.io.responder import Responder

        remove_all_leftovers()
        responder = None
        try:
            responder = Responder()
            self._barrier = Barrier(run_as_the_loop=run_as_the_loop)
        except OSError as error:
            if responder is not None:
                responder.close()
            self._why_nowhere = f"Refused: {error.strerror or error}"
            return
        self._responder = responder
        self._why_nowhere = ""
        poll.add(self._barrier.fd, self._barrier.on_readable)

    # ---- interfaces

    def answerer(self, name: str) -> tuple[bool, str]:
        """Whether the kernel answers on this interface, and if not, why."""
        if name in self._opened:
            return True, ""
        return False, self._why_nowhere or self._why_not.get(name, "")

    def described(self, interfaces: Iterable[Interface]) -> Iterator[Interface]:
        """The same with what answers on those in use."""
        for one in interfaces:
            is_kernel, why = self.answerer(one.name) if one.name in self._counters else (False, "")
            yield one._replace(kernel_answers=is_kernel, why_not=why)

    def open(self, name: str, ifindex: int, mac: bytes, slices: Sequence[Sequence[bytes]]) -> Iterator[None]:
        """A slice each turn: have the program answer on an interface that came into use, or that changed its MAC.

        `slices`: all addresses that are held or probed, wherever.
        """
        responder, opened = self._responder, self._opened.get(name)
        if responder is None:
            return
        if opened is not None and opened.ifindex == ifindex:
            opened.mac = mac
            if opened.is_ready:
                responder.use(ifindex, mac, opened.table)
            return
        yield from self.close(name, slices)
        opened = self._attach(responder, name, ifindex, mac)
        for addresses in slices:
            if opened is None or self._opened.get(name) is not opened:
                return
            self.follow([(address, name) for address in addresses])
            yield
        if opened is not None and self._opened.get(name) is opened:
            self._begin_to_answer(responder, name, opened)

    def _attach(self, responder: Responder, name: str, ifindex: int, mac: bytes) -> _Open | None:
        from speaker.wire.neighbours.bpf.io.attach import AttachError, attach

        try:
            attachment = attach(responder.program, ifindex)
        except AttachError as error:
            self._refuse(name, f"Refused: {error}")
            return None
        opened = self._opened[name] = _Open(ifindex, mac, responder.new_table(), attachment)
        self._why_not.pop(name, None)
        self.has_news = True
        return opened

    def _begin_to_answer(self, responder: Responder, name: str, opened: _Open) -> None:
        opened.is_ready = responder.use(opened.ifindex, opened.mac, opened.table)
        if not opened.is_ready:
            self._leave(responder, name, opened)
            self._refuse(name, "Full: the program answers on no more interfaces")

    def _refuse(self, name: str, why: str) -> None:
        self._why_not[name] = why
        self.has_news = True

    def close(self, name: str, slices: Sequence[Sequence[bytes]]) -> Iterator[None]:
        """It is no longer in use: nothing is answered there from now on. Unknown ones are fine.

        What is returned takes out of the maps what was known of it, a slice each turn. `slices`: all addresses that are
        held or probed, wherever, after `follow` of all that moved.
        """
        responder, opened = self._responder, self._opened.get(name)
        if responder is None or opened is None:
            return iter(())
        self._leave(responder, name, opened)
        return self._purge(responder, opened.table, slices)

    def _leave(self, responder: Responder, name: str, opened: _Open) -> None:
        self._count(opened, self._counters[name])
        del self._opened[name]
        responder.leave(opened.ifindex)
        opened.attachment.close()
        self._has_removed = True
        self.has_news = True

    def _purge(self, responder: Responder, table: int, slices: Sequence[Sequence[bytes]]) -> Iterator[None]:
        for addresses in slices:
            if self._responder is None:
                return
            for address in addresses:
                responder.remove(table, address)
            yield

    def deadline(self) -> float | None:
        """When to call `look` next. A link stays where it is; a filter at clsact may be anybody's prey."""
        is_held = all(opened.attachment.how == "tcx" for opened in self._opened.values())
        return None if is_held else self._look_at

    def look(self, now: float, slices: Sequence[Sequence[bytes]]) -> Iterator[None]:
        """An interface each turn: put the program back where others took it away, or came to stand before it.

        `slices`: as for `close`.
        """
        self._look_at = now + LOOK_SECONDS
        for name, opened in list(self._opened.items()):
            if self._opened.get(name) is opened and not opened.attachment.is_in_place():
                yield from self._attach_again(name, opened, slices)
            yield

    def _attach_again(self, name: str, opened: _Open, slices: Sequence[Sequence[bytes]]) -> Iterator[None]:
        from speaker.wire.neighbours.bpf.io.attach import AttachError, attach

        responder = self._responder
        if responder is None:
            return
        opened.attachment.close()
        try:
            opened.attachment = attach(responder.program, opened.ifindex)
        except AttachError as error:
            self._refuse(name, f"Refused: {error}")
            yield from self.close(name, slices)

    def set_own(self, macs: frozenset[bytes]) -> None:
        """The MACs of this machine."""
        if self._responder is not None:
            self._responder.set_own(macs)

    # ---- addresses

    def set_deadline(self, until: float) -> None:
        """Until when the program may answer: CLOCK_BOOTTIME seconds."""
        if self._responder is not None:
            self._responder.set_deadline(until)

    def follow(self, moved: Iterable[tuple[bytes, str]]) -> None:
        """Let the program know of each of these addresses on this interface what the table says now."""
        responder = self._responder
        if responder is None:
            return
        for address, name in moved:
            opened = self._opened.get(name)
            if opened is None:
                continue
            held = self._table.held.get(address)
            if held is not None and name in held.interfaces:
                responder.put(opened.table, address, is_answered=not held.is_handed_over)
            elif name in self._table.probed.get(address, ()):
                self._has_removed |= responder.remove(opened.table, address)
                responder.put(opened.table, address, is_answered=False)
            elif responder.remove(opened.table, address):
                self._has_removed = True

    def moment(self) -> int:
        """Names this moment, for `has_passed`."""
        if self._has_removed and self._barrier is not None:
            self._has_removed = False
            self._moment = self._barrier.moment()
        return self._moment

    def has_passed(self, moment: int) -> bool:
        """Whether nothing can leave any more that answers for what the program was not to answer for then."""
        return self._barrier is None or self._barrier.has_passed(moment)

    # ---- counters

    def count(self) -> None:
        """Add what the program did since the last call."""
        for name, opened in self._opened.items():
            self._count(opened, self._counters[name])

    def _count(self, opened: _Open, counters: Mapping[int, Counters]) -> None:
        if self._responder is None or not opened.is_ready:
            return
        replies = self._responder.replies(opened.ifindex)
        for protocol, before, total in zip((ETH_P_ARP, ETH_P_IPV6), opened.counted, replies, strict=True):
            counters[protocol].received += total - before
            counters[protocol].replies += total - before
        opened.counted = replies

    def shut(self) -> None:
        """Let go of everything. Nothing is answered any more."""
        responder, self._responder = self._responder, None
        if responder is None or self._barrier is None:
            return
        responder.set_deadline(0)
        for opened in self._opened.values():
            opened.attachment.close()
        self._opened.clear()
        self._barrier.close()
        responder.close()
