"""A layer 2 course of one node, with a cluster to fill and a wire process that is played by the test."""

from collections.abc import Iterable
from typing import Any

from speaker.cluster.objects import Allocation, PoolFacts, SliceFacts
from speaker.cluster.state import ClusterState
from speaker.layer2.course import Confirmed, Layer2Course
from speaker.members.view import MemberTimes, MemberView
from speaker.notices import Notices
from speaker.own.announcements import Announcements
from speaker.own.status import StatusDraft
from speaker.proxies.questions import Answer, ProxyAnswered
from speaker.proxies.readiness import Readiness
from speaker.releases import Releases
from speaker.wire.messages import Interface, Order
from tests.speaker.make import advertisement, allocation, at, node, slice_of, speaker

TIMES = MemberTimes(lease_duration=6.0, renew=2.0, failback=120.0)


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def interface(name: str = "eth0", *, usable: bool = True) -> Interface:
    return Interface(name, 2, mac(1), True, usable, "" if usable else "it is no Ethernet")


class Node:
    """The course of one node among others, and the releases that it has a say in."""

    def __init__(self, own: str = "node-a", others: Iterable[str] = (), *, probes: bool = False) -> None:
        self.own = own
        self.now = 0.0
        self.nodes = sorted({own, *others})
        self.probes = probes
        self.slice: SliceFacts | None = None
        self.draft, self.notices = StatusDraft(), Notices()
        self.view = MemberView(own, TIMES)
        announcements = Announcements(self.draft.announcements)
        self.proxies = Readiness(own, self.notices)
        self.course = Layer2Course(own, self.view, self.draft, announcements, self.notices, self.proxies)
        self.releases = Releases((self.course,), self.draft.released)
        self.course.interfaces_changed((interface(),))
        self.cluster = ClusterState()
        self.begin()

    def begin(self) -> None:
        """A new registration: everything but allocations has been read anew."""
        self.cluster = ClusterState()
        self.proxies.begin(self.cluster)
        self.course.begin(self.cluster)
        self.releases.begin(self.cluster)
        self.slice = None
        for number, each in enumerate(self.nodes, 1):
            self.cluster.set_node(each, node(addresses=(f"172.30.0.{number}",)))
            facts = speaker()
            self.cluster.set_speaker(each, type(facts)(**{**_fields(facts), "macs": frozenset({mac(number)})}))
        self.cluster.set_pool("edge", PoolFacts({}, is_probed=self.probes))
        self.cluster.set_l2_advertisement("all", advertisement())
        self.course.decisions.set_alive(frozenset(self.nodes))

    def allocate(self, address: str, **fields: Any) -> Allocation:
        made = allocation(address, **fields)
        self.cluster.set_allocation(made.name, made)
        return made

    def release(self, address: str, **fields: Any) -> None:
        self.allocate(address, generation=2, is_releasing=True, **fields)

    def free(self, address: str) -> None:
        self.cluster.set_allocation(allocation(address).name, None)

    def endpoints(self, *ready: str, draining: tuple[str, ...] = ()) -> None:
        """Of the Service `web`."""
        made = slice_of(ready=ready, draining=draining)
        self.cluster.set_slice("default/web-1", self.slice, made)
        self.slice = made

    def proxies_say(self, answer: Answer) -> None:
        for question in self.proxies.questions():
            self.proxies.answered(ProxyAnswered(question, answer), self.now)

    def decide(self) -> None:
        self.proxies.update(self.now)
        for name in self.proxies.take_settled():
            self.course.decisions.look_again(name)
        self.course.decide(1000, at(self.now))

    def take(self, *, may_announce: bool = True) -> list[Order]:
        return self.course.take_orders(at(self.now), may_announce=may_announce)

    def confirm(self, *orders: Order) -> None:
        for order in orders:
            if isinstance(order, Confirmed):
                self.course.confirmed(order, at(self.now))

    def run(self, *, may_announce: bool = True) -> list[Order]:
        """Decide, and have every order carried out as long as there are any. All orders."""
        self.decide()
        orders: list[Order] = []
        while taken := self.take(may_announce=may_announce):
            orders += taken
            self.confirm(*taken)
            self.decide()
        return orders

    def announced(self) -> set[str]:
        """By the draft of the Speaker."""
        return set(self.draft.announcements.keys())

    def released(self) -> dict[str, int | None]:
        """What is confirmed now."""
        self.releases.settle(at(self.now))
        return {uid: self.draft.released.get(uid) for uid in sorted(self.draft.released.keys())}

    def field(self, name: str) -> Any:
        return self.draft.wanted(name)


def _fields(facts: Any) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in facts.__struct_fields__}
