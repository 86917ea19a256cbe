"""What the nodes report, turned round: for each address, peer or other object, what each node last said of it.

From the slices of their reports; judges nothing. A slice counts while the node's Speaker names the process that wrote
it, and has not said goodbye.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from allocator.objects import StoredPeer
from allocator.release.speakers import SpeakerState
from allocator.status.announcers import Announcers, Said, Source
from allocator.status.entries import Cause, Fault, KernelEntry, Session, Sighting
from allocator.status.slices import Slice
from crds.addresses import IPAddress

T = TypeVar("T")


class NodeReports(Generic[T]):
    """What nodes say of addresses, or of other things by name, as it stands in the latest version of each object."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[Source, T]] = {}
        self._by_source: dict[Source, Mapping[str, T]] = {}

    def of(self, name: IPAddress | str) -> Mapping[str, T]:
        """By node. What moves from one slice to another stands in both for a moment: either will do."""
        if not self._by_name:
            return {}  # so it is with most kinds of reports, and the text of an address takes longer than to look
        return {source.node: said for source, said in self._by_name.get(str(name), {}).items()}

    def update(self, source: Source, reported: Mapping[str, T]) -> set[str]:
        """Replace what is said there; the names for which that is news."""
        before = self._by_source.pop(source, {})
        changed = {one for one in before.keys() | reported.keys() if before.get(one) != reported.get(one)}
        for name in changed:
            sources = self._by_name.setdefault(name, {})
            sources.pop(source, None)
            if name in reported:
                sources[source] = reported[name]
            if not sources:
                del self._by_name[name]
        if reported:
            self._by_source[source] = reported
        return changed


Sightings = NodeReports[Sighting]
KernelEntries = NodeReports[KernelEntry]
Causes = NodeReports[Cause]


@dataclass
class BGPReports:
    """What the Speakers said last about peers and advertisements."""

    _sessions: NodeReports[Session] = field(default_factory=NodeReports)
    _faults: NodeReports[tuple[Fault, ...]] = field(default_factory=NodeReports)
    _peers: dict[Source, frozenset[str]] = field(default_factory=dict)

    def update(self, source: Source, sessions: Iterable[Session], faults: Iterable[Fault]) -> bool:
        """Replace what is said there; whether that is news."""
        by_peer = {one.peer: one for one in sessions}
        by_object: dict[str, tuple[Fault, ...]] = {}
        for one in faults:
            by_object[one.object] = (*by_object.get(one.object, ()), one)
        self._peers.pop(source, None)
        if by_peer:
            self._peers[source] = frozenset(by_peer)
        return bool(self._sessions.update(source, by_peer) | self._faults.update(source, by_object))

    @property
    def nodes(self) -> set[str]:
        """Those that have sessions."""
        return {source.node for source in self._peers}

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
        nodes = self.sessions(peer.name)
        return sorted(same & {name for source, names in self._peers.items() if source.node in nodes for name in names})


@dataclass(frozen=True, slots=True)
class News:
    """What is to be looked at again: addresses at once, and others in time; peers and advertisements."""

    at_once: Set[str]
    in_time: Set[str]
    is_about_peers: bool


class Reports:
    """All that the nodes say. Told of each change of a Speaker or a slice, in any order."""

    def __init__(self) -> None:
        self.announcers = Announcers()
        self.sightings = Sightings()
        self.kernels = KernelEntries()
        self.causes = Causes()
        self.bgp = BGPReports()
        self._conflicted: set[str] = set()
        self._answered: set[str] = set()
        self._is_about_peers = False
        self._counting: dict[str, str] = {}
        """By node, the process whose slices count."""
        self._slices: dict[str, dict[str, Slice]] = {}
        """By node and name."""

    def speaker_seen(self, node: str, speaker: SpeakerState | None) -> None:
        """Which slices count now; None = there is no such Speaker."""
        counts = speaker.incarnation if speaker is not None and not speaker.goodbye else ""
        if counts != self._counting.get(node, ""):
            self._counting[node] = counts
            for name, one in self._slices.get(node, {}).items():
                self._replace(Source(node, name), one if self._does_count(one) else _SILENCE)
        if not counts:
            self._counting.pop(node, None)

    def slice_seen(self, name: str, old: Slice | None, new: Slice | None) -> None:
        """The SpeakerReport of this name has changed; None = it was not there, or is not any more."""
        if old is not None and (new is None or new.node != old.node):
            self._forget(name, old.node)
        if new is not None:
            self._slices.setdefault(new.node, {})[name] = new
            self._replace(Source(new.node, name), new if self._does_count(new) else _SILENCE)

    def take_news(self) -> News:
        """What has changed since the last call."""
        changed = self.announcers.take_changed()
        news = News(changed.at_once | self._conflicted, changed.in_time | self._answered, self._is_about_peers)
        self._conflicted, self._answered, self._is_about_peers = set(), set(), False
        return news

    def _forget(self, name: str, node: str) -> None:
        self._replace(Source(node, name), _SILENCE)
        slices = self._slices.get(node, {})
        slices.pop(name, None)
        if not slices:
            self._slices.pop(node, None)

    def _does_count(self, one: Slice) -> bool:
        return one.incarnation != "" and one.incarnation == self._counting.get(one.node)

    def _replace(self, source: Source, said: Slice) -> None:
        sightings = {one.address: one for one in said.sightings}
        self.announcers.update(source, said.announced)
        self._conflicted |= self.sightings.update(source, sightings)
        self._answered |= self.causes.update(source, {one.address: one for one in said.unannounced})
        self._answered |= self.kernels.update(source, {one.address: one for one in said.kernel})
        self._is_about_peers |= self.bgp.update(source, said.sessions, said.faults)


_SILENCE = Slice("", "", Said())
"""Nothing is said."""
