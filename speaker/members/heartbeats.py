"""The heartbeats of this node: which keys, which members, and whether all of them have had time to be heard.

Pure: the keys are read by speaker.members.io.keys, the packets are the wire process's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from crds.names import HEARTBEAT_PORT
from speaker.cluster.state import ClusterState
from speaker.notices import Notices
from speaker.wire.messages import MOST_PACKETS_PER_SECOND, Heartbeat, Member

FASTEST_SECONDS, SLOWEST_SECONDS = 0.05, 0.2
"""How far apart heartbeats are where nobody says it: a member is lost after three missed ones. The slower ones keep to
a rate up to this."""
PACKETS_PER_SECOND = 250
"""As many are worth their CPU: with these a speaker at rest takes less than 2% of a core."""
LISTEN_INTERVALS = 4
"""A member is lost after three missed heartbeats, so one that lives is heard in this time; and one for the
handshake."""

Addresses = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class HeartbeatOptions:
    """`key_directory` "" = no heartbeats. `interval_milliseconds` 0 = as fast as the number of members allows."""

    key_directory: str = ""
    port: int = HEARTBEAT_PORT
    interval_milliseconds: int = 0

    def fault(self) -> str:
        """What is wrong with these figures; "" when nothing is wrong."""
        if not 0 < self.port < 65536:
            return "the heartbeats' port should be between 1 and 65535"
        if self.interval_milliseconds and not 50 <= self.interval_milliseconds <= 5000:
            return "heartbeats should be 50 to 5000 milliseconds apart, or 0: by the number of nodes"
        return ""

    def interval_seconds(self, members: int) -> float:
        """How far apart they are among so many other speakers. Nobody gets more packets than it can take in."""
        paced = min(max(FASTEST_SECONDS, members / PACKETS_PER_SECOND), SLOWEST_SECONDS)
        return max(self.interval_milliseconds / 1000 or paced, members / MOST_PACKETS_PER_SECOND)


class Heartbeats:
    """`now`: monotonic seconds."""

    def __init__(self, options: HeartbeatOptions, node: str, incarnation: str, notices: Notices) -> None:
        self.fault = ""
        """Why there are no heartbeats, or none with the keys that the folder has now; "" when all is well."""
        self.port_taken = 0
        """The UDP port that they are to have and another program on this node has; 0 = none has it."""
        self.are_wanted = bool(options.key_directory)
        """Whether there is a folder of keys at all."""
        self._notices = notices
        self._options = options
        self._wanted = Heartbeat(node, incarnation, (), options.interval_seconds(0), port=options.port)
        self._applied: Heartbeat | None = None
        self._listens_until: float | None = None
        self._in_flight: Heartbeat | None = None
        self._refused: Heartbeat | None = None

    @property
    def are_on(self) -> bool:
        """Whether the wire process has keys."""
        return self._applied is not None and bool(self._applied.keys)

    def keys_read(self, keys: tuple[bytes, ...]) -> None:
        """What the folder has now; the first one signs."""
        if keys != self._wanted.keys:
            self._notices.say("info", "heartbeat keys read", keys=len(keys))
        self._wanted = self._wanted._replace(keys=keys)
        self._refused = None
        self.fault = ""

    def keys_unusable(self, why: str) -> None:
        """Good keys stay in use when the folder becomes unusable: a mistake in a Secret must not cut all nodes off."""
        if why != self.fault:
            earlier = bool(self._wanted.keys)
            self._notices.say("error", "no usable heartbeat key", error=why, earlier_keys_stay=earlier)
        self.fault = why

    def follow(self, cluster: ClusterState, *, is_complete: bool) -> None:
        """The members to listen to. One that said goodbye may be back any moment, so it is listened to as well.

        While the objects are being read (again; `is_complete` False), nobody is dropped: one that was not read yet is
        no less there.
        """
        read = _members(cluster, self._wanted.node)
        members = read if is_complete else {**self._wanted.members, **read}
        interval_seconds = self._options.interval_seconds(len(members))
        self._wanted = self._wanted._replace(members=members, interval_seconds=interval_seconds)

    def have_listened(self, now: float) -> bool:
        """Whether every live member has had time to be heard. True when there are no members, or no keys."""
        if self._listens_until is not None and now >= self._listens_until:
            self._listens_until = None
        members = self._wanted.members
        if not self.are_wanted or self.fault or not members:
            return True
        is_listening = self.are_on and self._applied is not None and members.keys() <= self._applied.members.keys()
        return is_listening and self._listens_until is None

    def deadline(self) -> float | None:
        """When `have_listened` may come true though nothing happens (monotonic seconds); None = no time is awaited."""
        return self._listens_until

    def next_order(self) -> Heartbeat | None:
        """What the wire process should do otherwise from now on; one order at a time."""
        if self._in_flight is not None or not self._wanted.keys or self._wanted in (self._applied, self._refused):
            return None
        self._in_flight = self._wanted
        return self._wanted

    def confirmed(self, order: Heartbeat, now: float) -> None:
        """It is in force."""
        self._in_flight, self._applied = None, order
        self._listens_until = now + LISTEN_INTERVALS * order.interval_seconds

    def port_found(self, *, is_taken: bool) -> None:
        """Whether another program has their port. The wire process tries again by itself."""
        port = self._wanted.port
        self.port_taken = port if is_taken else 0
        if is_taken:
            self._notices.say("error", "another program has the heartbeats' UDP port", port=port)
        else:
            self._notices.say("info", "the heartbeats have their UDP port", port=port)

    def refused(self, message: str) -> None:
        """It is not. Asked for again when something else is wanted, or the keys were read again."""
        self._notices.say("error", "the wire refused to send heartbeats", error=message)
        self.fault = message
        self._in_flight, self._refused = None, self._in_flight


def _members(cluster: ClusterState, own: str) -> Addresses:
    nodes = cluster.nodes
    return {node: nodes[node].addresses if node in nodes else () for node in cluster.speakers if node != own}


def changed_members(before: Mapping[str, Member], after: Mapping[str, Member], notices: Notices) -> None:
    """Log which members came and which went."""
    for node in after.keys() - before.keys():
        notices.say("info", "hearing a member", node=node, incarnation=after[node].incarnation, via=after[node].via)
    for node in before.keys() - after.keys():
        notices.say("info", "a member is not heard any more", node=node, incarnation=before[node].incarnation)
