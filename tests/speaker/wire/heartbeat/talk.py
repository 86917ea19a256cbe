"""Speakers that talk by heartbeats over a segment made of nothing: virtual time, and packets lost, late or repeated."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from speaker.wire.deadlines import earliest, is_due
from speaker.wire.heartbeat.packets import Dropped
from speaker.wire.heartbeat.sender import Sender, Settings
from speaker.wire.messages import OwnState

KEY = b"the key of all these speakers..."
LATENCY_SECONDS = 0.0005
SAY_SECONDS = 0.5
PERMIT_SECONDS = 3.0
WELL = OwnState(contact=0.0, is_serving=True, is_member=True, is_behind=False, is_leaving=False)


@dataclass
class Node:
    """One process after another under one name."""

    name: str
    keys: tuple[bytes, ...] = (KEY,)
    state: OwnState | None = WELL
    permit_seconds: float = PERMIT_SECONDS
    is_alive: bool = False
    starts: int = 0
    sender: Sender = field(default_factory=Sender)
    last_sent: float = float("-inf")
    outcomes: list[Dropped | None] = field(default_factory=list)
    next_say: float = 0.0

    @property
    def heard(self) -> set[str]:
        return {node for node, member in self.sender.receiver.members.items() if member.heard_since is not None}

    @property
    def incarnation(self) -> str:
        return f"{self.name}/{self.starts}"


@dataclass(order=True)
class Arrival:
    at: float
    number: int
    receiver: str = field(compare=False)
    packet: bytes = field(compare=False)
    via: str = field(compare=False)


class Talk:
    """`loses(sender, receiver)` decides about each copy; `delay` gives its latency."""

    def __init__(self, *names: str, interval_seconds: float = 0.2, start: bool = True) -> None:
        self.now = 1000.0
        self.nodes: Mapping[str, Node] = {name: Node(name) for name in names}
        self.interval_seconds = interval_seconds
        self.loses: Callable[[str, str], bool] = lambda _sender, _receiver: False
        self.delay: Callable[[], float] = lambda: LATENCY_SECONDS
        self.recorded: list[tuple[float, str, bytes]] = []
        """When, by whom, what: everything that was ever sent."""
        self.received: dict[str, list[bytes]] = {name: [] for name in names}
        self._under_way: list[Arrival] = []
        self._number = 0
        if start:
            for name in names:
                self.start(name)

    def start(self, name: str) -> None:
        """A new process, with a new incarnation, which knows nothing."""
        node = self.nodes[name]
        node.starts += 1
        node.sender, node.is_alive, node.next_say = Sender(), True, self.now
        node.sender.use(("eth0",), self.now)
        self.configure(name)

    def configure(self, name: str) -> None:
        node = self.nodes[name]
        settings = Settings(name, node.incarnation, node.keys, self.interval_seconds)
        node.sender.configure(settings, dict.fromkeys(self.nodes, ()), self.now)

    def kill(self, name: str) -> None:
        self.nodes[name].is_alive = False

    def deliver(self, receiver: str, packet: bytes, via: str = "eth0") -> Dropped | None:
        node = self.nodes[receiver]
        outcome = node.sender.receive(packet, via, self.now)
        node.outcomes.append(outcome)
        self.received[receiver].append(packet)
        return outcome

    def send(self, sender: str, packet: bytes) -> None:
        self.nodes[sender].last_sent = self.now
        self.recorded.append((self.now, sender, packet))
        for receiver in self.nodes:
            if receiver != sender and not self.loses(sender, receiver):
                self._number += 1
                heapq.heappush(
                    self._under_way, Arrival(self.now + self.delay(), self._number, receiver, packet, "eth0")
                )

    def run(self, seconds: float) -> None:
        """Let time pass, in the order of what happens."""
        end = self.now + seconds
        while True:
            self._act()
            at = self._next()
            if at is None or at > end:
                break
            self.now = max(self.now, at)
        self.now = end
        self._act()

    def _act(self) -> None:
        while self._under_way and self._under_way[0].at <= self.now:
            arrival = heapq.heappop(self._under_way)
            if self.nodes[arrival.receiver].is_alive:
                self.deliver(arrival.receiver, arrival.packet, arrival.via)
        for node in self.nodes.values():
            if node.is_alive:
                self._let_speak(node)

    def _let_speak(self, node: Node) -> None:
        if node.next_say <= self.now:
            node.next_say = self.now + SAY_SECONDS
            if node.state is not None:
                node.sender.permit(self.now + node.permit_seconds, self.now)
                node.sender.set_state(node.state._replace(contact=self.now), self.now)
        if is_due(node.sender.deadline(), self.now) and (packet := node.sender.due(self.now)) is not None:
            self.send(node.name, packet)

    def _next(self) -> float | None:
        times = [self._under_way[0].at if self._under_way else None]
        for node in self.nodes.values():
            if node.is_alive:
                times += [node.next_say, node.sender.deadline()]
        return earliest(*times)
