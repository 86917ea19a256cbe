"""Which addresses are probed before their first announcement, and what came of it.

Asks for probes and hears of answers; the probes are the wire's (speaker.wire.neighbours.probe). Only an address that
was never announced by anybody is probed: never one that fails over, and whoever can't be sure does not probe. An answer
of another speaker is no fault: whoever probes at the same time is ignored, and where one announces already there is
nothing left to find out. An address in use by a stranger is probed again now and then, until nobody answers.
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
    """How far an address is that is held back."""

    WAITING = "Waiting"
    """To be handed to the wire."""
    PROBING = "Probing"
    IN_USE = "InUse"
    """A stranger has it."""


class Verdict(Enum):
    """What a machine's answer makes of an address."""

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
    """By address. A `run` is one round of probes; reports of an earlier one than the latest count for nothing."""

    def __init__(self) -> None:
        self._probes: dict[str, _Probe] = {}
        self._waiting: dict[str, None] = {}
        self._runs = 0
        self._known: set[str] = set()

    def knows(self, uid: str) -> bool:
        """Whether that allocation was announced before, as far as was ever seen here, or was found clear."""
        return uid in self._known

    def learn(self, uid: str) -> None:
        """It was announced, by whomever. A status that is lost later changes nothing about that."""
        self._known.add(uid)

    def forget(self, uid: str) -> None:
        """The allocation is gone."""
        self._known.discard(uid)

    def retain(self, uids: Set[str]) -> None:
        """All other allocations are gone."""
        self._known &= uids

    def admits(self, uid: str, address: str, interfaces: Interfaces) -> bool:
        """Whether it may be announced there. If not yet, it is being probed there from now on; ask again later."""
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
        """It is not to be announced here. What the wire still does about it is the caller's to end."""
        self._probes.pop(address, None)
        self._waiting.pop(address, None)

    def stop_all(self) -> None:
        """As `stop`, for all."""
        self._probes.clear()
        self._waiting.clear()

    def is_in_use(self, address: str) -> bool:
        """Whether a stranger had it when it was probed last."""
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

    def answered(self, answer: Answer, is_speakers: bool, now: float) -> Verdict | None:
        """What that makes of the address; None when it changes nothing. A clear one is known from then on."""
        probe = self._under_way(answer.address, answer.run)
        if probe is None or (is_speakers and answer.is_probe):
            return None
        if is_speakers:
            self._clear(answer.address, probe)
            return Verdict.CLEAR
        probe.state, probe.again_at = State.IN_USE, now + PROBE_AGAIN_SECONDS
        return Verdict.IN_USE

    def finished(self, address: str, run: int, sent: int) -> bool:
        """That run is over. Whether nobody answered, so that it may be announced; False also for an earlier run.

        A run in which no frame could be sent found out nothing: there will be another.
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
        """Have those probed anew whose time has come. Whether there are any."""
        due = [one for one, probe in self._probes.items() if probe.state is State.IN_USE and probe.again_at <= now]
        for address in due:
            self._wait(address, self._probes[address])
        return bool(due)

    def held_back(self) -> Counter[str]:
        """How many addresses are not announced for that reason, by state."""
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
