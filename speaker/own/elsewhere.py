"""Speakers of this node's name on other machines: until they are surely silent, this one confirms no release. Pure.

What this process confirms, it confirms for its node. A predecessor on the same machine is dead by then. One on another
machine that did not say goodbye may be cut off from the API server and announce all the same. It is silent when all of
this is so, by the rules that an allocator has for a speaker that is gone (crds.fencing):

* It promised to withdraw by itself, and F has passed, with a margin, since this process took its Lease over: its last
  renewal was earlier than that.
* A strict majority of the witnesses of its promise has outlived it: as this speaker hears, each had contact with the
  API server that began F/2 later than that. A witness of the own name counts for nothing: it is that one itself.
  And it has had time to hear of them.
* Its routers have had their time, from then on.

Or it is off, by an operator's word, and its routers have had their time since that word: by its boot id
(ANNOTATION_DEAD_MACHINES), or by `kubectl delete speaker.berth.dev NODE`, which is said of the whole node.
This one registers anew then.
Until then this one makes no promise and says no goodbye: nobody else may be taken for silent because of it.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from crds.fencing import HEARD_SECONDS, OUTLIVED_SLACK_SECONDS, SETTLE_SECONDS, margin_seconds, outlived_after_seconds
from crds.speaker import FOREVER_SECONDS, MOST_ELSEWHERE, boot_id_of
from speaker.fencing import MemberContacts
from speaker.own.machine import is_same_machine
from speaker.own.predecessor import Elsewhere, LastWord


@dataclass(frozen=True)
class _Other:
    said: Elsewhere
    outlived_by: Mapping[str, float] = field(default_factory=dict)
    """Witnesses that have outlived it, with since when we know."""
    off_since: float | None = None
    """When an operator's word was heard that it is off."""


class OtherMachines:
    """`now`: CLOCK_BOOTTIME seconds. `machine`: see speaker.own.machine."""

    def __init__(self, own_node: str) -> None:
        self._own_node = own_node
        self._others: dict[str, _Other] = {}
        self._since: float | None = None

    def take(self, last_word: LastWord, machine: str) -> None:
        """Take in what another process wrote into the Speaker, before this one had ever registered."""
        for said in last_word.elsewhere:
            if not is_same_machine(said.machine, machine):
                known = self._others.get(said.machine)
                self._others[said.machine] = _Other(said if known is None else _worse(known.said, said))

    def known_as(self, machine: str) -> None:
        """More is known of the own machine now: which of them was this one before its reboot, and so is dead."""
        self._others = {text: one for text, one in self._others.items() if not is_same_machine(text, machine)}

    def said_off(self, boot_ids: Set[str], now: float) -> None:
        """An operator's word: these machines are off. Told again, it counts from the first time."""
        self._off({machine for machine in self._others if boot_id_of(machine) in boot_ids}, now)

    def all_said_off(self, now: float) -> None:
        """An operator's word: whatever ran for this node is off."""
        self._off(self._others.keys(), now)

    def _off(self, machines: Set[str], now: float) -> None:
        for machine in machines:
            one = self._others[machine]
            if one.off_since is None:
                self._others[machine] = replace(one, off_since=now)

    def registered(self, now: float) -> None:
        """This process has the Lease and the Speaker. The first time counts: no other renewed the Lease after that."""
        self._since = now if self._since is None else self._since

    def may_announce(self, now: float, members: MemberContacts) -> bool:
        """Whether one of them may. To be asked each second or so; False is for good."""
        if self._others and self._since is not None:
            self._others = dict(self._remaining(self._since, now, members))
        return bool(self._others)

    @property
    def are_there(self) -> bool:
        """Whether there are any, as far as was found when it was last asked for."""
        return bool(self._others)

    def entries(self) -> Sequence[Elsewhere]:
        """What a successor of this process has to know; of more than the object holds, that there are more."""
        every = [replace(one.said, is_said_off=one.off_since is not None) for _, one in sorted(self._others.items())]
        return every if len(every) <= MOST_ELSEWHERE else [*every[: MOST_ELSEWHERE - 1], Elsewhere("more")]

    def _remaining(self, since: float, now: float, members: MemberContacts) -> Iterator[tuple[str, _Other]]:
        for machine, one in self._others.items():
            noted = self._note(one, since, now, members)
            if not self._is_silent(noted, since, now):
                yield machine, noted

    def _note(self, one: _Other, since: float, now: float, members: MemberContacts) -> _Other:
        """What a member says of its contact came a moment after it was so: HEARD_SECONDS at most."""
        after = since + outlived_after_seconds(one.said.fence_after_seconds) + OUTLIVED_SLACK_SECONDS + HEARD_SECONDS
        outlived = {node: now for node, contact in members.contacts.items() if contact.began >= after}
        return replace(one, outlived_by={**outlived, **one.outlived_by})

    def _is_silent(self, one: _Other, since: float, now: float) -> bool:
        said = one.said
        if one.off_since is not None:
            # Who says so of routers that never forget has to see to them.
            return said.outlives_seconds >= FOREVER_SECONDS or now >= one.off_since + said.outlives_seconds
        if said.witnesses is None:
            return False
        silent_at = since + said.fence_after_seconds + margin_seconds(said.fence_after_seconds)
        settled = {node for node, known in one.outlived_by.items() if now >= known + SETTLE_SECONDS}
        outlived = settled & said.witnesses - {self._own_node}
        if now < silent_at or 2 * len(outlived) <= len(said.witnesses):
            return False
        known = sorted(one.outlived_by[node] for node in outlived)[len(said.witnesses) // 2]
        return now >= max(silent_at, known + SETTLE_SECONDS) + said.outlives_seconds


def _worse(one: Elsewhere, other: Elsewhere) -> Elsewhere:
    """Of two words of one machine: what is true of it whichever counts. Its promises may not be mixed."""
    witnesses = one.witnesses if one.witnesses == other.witnesses else None
    fence_after = max(one.fence_after_seconds, other.fence_after_seconds)
    outlives = max(one.outlives_seconds, other.outlives_seconds)
    return Elsewhere(one.machine, fence_after, witnesses, outlives)
