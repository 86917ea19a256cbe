"""What the nodes report, turned round: for each address, peer or other object, what each node last said of it.

From the status of each Speaker; judges nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from allocator.objects import StoredPeer
from allocator.release.speakers import Announcement, Fault, Session, Sighting, SpeakerState
from crds.addresses import IPAddress

T = TypeVar("T")


class NodeReports(Generic[T]):
    """What nodes say of addresses, or of other things by name, from the latest status of each Speaker."""

    def __init__(self) -> None:
        self._by_address: dict[str, dict[str, T]] = {}
        self._by_node: dict[str, Mapping[str, T]] = {}

    def of(self, address: IPAddress | str) -> Mapping[str, T]:
        """By node."""
        return self._by_address.get(str(address), {})

    def update(self, node: str, reported: Mapping[str, T]) -> set[str]:
        """Replace what a node says; the addresses for which that is news."""
        before = self._by_node.pop(node, {})
        changed = {one for one in before.keys() | reported.keys() if before.get(one) != reported.get(one)}
        for address in changed:
            nodes = self._by_address.setdefault(address, {})
            nodes.pop(node, None)
            if address in reported:
                nodes[node] = reported[address]
            if not nodes:
                del self._by_address[address]
        if reported:
            self._by_node[node] = reported
        return changed


Announcers = NodeReports[Announcement]
Sightings = NodeReports[Sighting]


@dataclass
class BGPReports:
    """What the Speakers said last about peers and advertisements."""

    _sessions: NodeReports[Session] = field(default_factory=NodeReports)
    _faults: NodeReports[tuple[Fault, ...]] = field(default_factory=NodeReports)
    _peers: dict[str, frozenset[str]] = field(default_factory=dict)

    def update(self, node: str, speaker: SpeakerState | None) -> None:
        """Replace what a node says; None = there is no such Speaker."""
        sessions = speaker.sessions() if speaker is not None else {}
        self._sessions.update(node, sessions)
        self._faults.update(node, speaker.faults() if speaker is not None else {})
        self._peers.pop(node, None)
        if sessions:
            self._peers[node] = frozenset(sessions)

    @property
    def nodes(self) -> Iterable[str]:
        """Those that have sessions."""
        return self._peers.keys()

    def sessions(self, peer: str) -> Mapping[str, Session]:
        """By node."""
        return self._sessions.of(peer)

    def faults(self, kind: str, name: str) -> Mapping[str, tuple[Fault, ...]]:
        """What is wrong with that object, by the node that says so."""
        return self._faults.of(f"{kind}/{name}")

    def duplicates(self, peer: StoredPeer, others: Iterable[StoredPeer]) -> list[str]:
        """Other peers at the same address and port with which some node has a session too."""
        same = {one.name for one in others if one.endpoint == peer.endpoint and one.name != peer.name}
        if not same or peer.endpoint[0] is None:
            return []
        return sorted(same & {name for node in self.sessions(peer.name) for name in self._peers.get(node, ())})
