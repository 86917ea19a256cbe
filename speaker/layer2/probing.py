"""Which addresses are probed before their first announcement, and what came of it.

Asks for probes and takes in answers; the wire process sends the probes (speaker.wire.neighbours.probe). Only an address
that no speaker ever announced is probed: never one that fails over, and a node that can't be sure does not probe. An
address in use is probed again now and then, until no machine answers.

A frame of a node with a speaker may be from that speaker or from the node's kernel, and looks the same. A speaker
announces what it owns. So where the node was the address's owner, as this one has seen it, the speaker may be meant,
and the probing ends; where it never was, it is the kernel, which has the address on an interface. Of allocations that
are older than what this process has seen nobody knows; then it is taken for the speaker's. Probes of speakers are
ignored in any case.
"""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from enum import Enum

from speaker.layer2.orders import Interfaces
from speaker.wire.messages import Answer

PROBE_AGAIN_SECONDS = 15.0
"""After an address was found in use. RFC 5227 §2.1.1 allows hosts that try address after address one attempt a minute,
after ten conflicts. This one stays at its address, and a stranger that is there answers the first frame of a run."""


class State(Enum):
    """How far the probing of an address is."""

    WAITING = "Waiting"
    """To be handed to the wire."""
    PROBING = "Probing"
    IN_USE = "InUse"
    """A machine has it that does not announce it for us."""


class Verdict(Enum):
    """The result of probing an address."""

    CLEAR = "Clear"
    """A speaker announces it already."""
    IN_USE = "InUse"


@dataclass(slots=True)
class _Probe:
    uid: str
    interfaces: Interfaces
    state: State = State.WAITING
    run: int = 0
    again_at: float = 0.0


class Probing:
    """Probes by address. A `run` is one round of probes; reports of any run but the latest are ignored."""

    def __init__(self) -> None:
        self._probes: dict[str, _Probe] = {}
        self._waiting: dict[str, None] = {}
        self._runs = 0
        self._known: set[str] = set()
        self._older: set[str] = set()
        self._owners: dict[str, set[str]] = {}

    def knows(self, uid: str) -> bool:
        """Whether that allocation was announced before, as far as this node saw, or was found clear."""
        return uid in self._known

    def learn(self, uid: str) -> None:
        """Some speaker announced it. That stays true even if the status is lost later."""
        self._known.add(uid)
        self._owners.pop(uid, None)

    def owned_by(self, uid: str, node: str) -> None:
        """Another node owns its address, as this one sees it, and may announce it."""
        if uid not in self._known:
            self._owners.setdefault(uid, set()).add(node)

    def forget(self, uid: str) -> None:
        """The allocation is gone."""
        self._known.discard(uid)
        self._older.discard(uid)
        self._owners.pop(uid, None)

    def read_in_full(self, uids: Set[str]) -> None:
        """These allocations are there, and no others. Who has announced them before now was not seen."""
        self._known &= uids
        self._older = set(uids)
        self._owners.clear()

    def admits(self, uid: str, address: str, interfaces: Interfaces) -> bool:
        """Whether it may be announced there. If not, it is being probed there from now on; ask again later."""
        if uid in self._known:
            self.stop(address)
            return True
        probe = self._probes.get(address)
        if probe is None or probe.uid != uid:
            self._probes[address] = _Probe(uid, interfaces)
            self._waiting[address] = None
        elif probe.interfaces != interfaces:
            probe.interfaces = interfaces
            if probe.state is State.PROBING:
                self._wait(address, probe)
        return False

    def stop(self, address: str) -> None:
        """It is not to be announced here. The caller ends what the wire process still does about it."""
        self._probes.pop(address, None)
        self._waiting.pop(address, None)

    def stop_all(self) -> None:
        """As `stop`, for all."""
        self._probes.clear()
        self._waiting.clear()

    def is_in_use(self, address: str) -> bool:
        """Whether another machine had it when it was probed last."""
        probe = self._probes.get(address)
        return probe is not None and probe.state is State.IN_USE

    def next_probes(self, limit: int) -> list[tuple[str, Interfaces, int]]:
        """Addresses to probe now, on which interfaces, and the number of the run."""
        found = []
        for address in [address for address, _ in zip(self._waiting, range(limit), strict=False)]:
            del self._waiting[address]
            probe = self._probes[address]
            self._runs += 1
            probe.state, probe.run = State.PROBING, self._runs
            found.append((address, probe.interfaces, probe.run))
        return found

    def answered(self, answer: Answer, node: str | None, now: float) -> Verdict | None:
        """Returns the verdict on the address; None when it changes nothing. A clear address is not probed again.

        `node`: the node with a speaker whose frame it was; None = of no such node.
        """
        probe = self._under_way(answer.address, answer.run)
        if probe is None or (node is not None and answer.is_probe):
            return None
        if node is not None and self._may_announce(probe.uid, node):
            self._clear(answer.address, probe)
            return Verdict.CLEAR
        probe.state, probe.again_at = State.IN_USE, now + PROBE_AGAIN_SECONDS
        return Verdict.IN_USE

    def _may_announce(self, uid: str, node: str) -> bool:
        return uid in self._older or node in self._owners.get(uid, ())

    def finished(self, address: str, run: int, sent: int) -> bool:
        """That run is over. Returns whether no machine answered, so that the address may be announced; False also for
        an earlier run.

        A run in which no frame could be sent found out nothing: another follows.
        """
        probe = self._under_way(address, run)
        if probe is None:
            return False
        if not sent:
            self._wait(address, probe)
            return False
        self._clear(address, probe)
        return True

    def again(self, now: float) -> bool:
        """Probe those again whose time has come. Returns whether there are any."""
        due = [one for one, probe in self._probes.items() if probe.state is State.IN_USE and probe.again_at <= now]
        for address in due:
            self._wait(address, self._probes[address])
        return bool(due)

    def held_back(self) -> Counter[str]:
        """How many addresses are held back by probing, by state."""
        return Counter(probe.state.value for probe in self._probes.values())

    def _under_way(self, address: str, run: int) -> _Probe | None:
        probe = self._probes.get(address)
        return probe if probe is not None and probe.state is State.PROBING and probe.run == run else None

    def _wait(self, address: str, probe: _Probe) -> None:
        probe.state = State.WAITING
        self._waiting[address] = None

    def _clear(self, address: str, probe: _Probe) -> None:
        self._known.add(probe.uid)
        self.stop(address)
