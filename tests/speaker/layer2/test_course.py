"""Several nodes' courses, a wire each that confirms late, and an allocator that frees by the barrier.

The world of the design's model in small: caches lag, speakers restart and register anew, allocations come again for
another holder. What must never be: an address answered for by a holder whose release everybody has confirmed.
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from speaker.own.entries import announcement
from speaker.wire.messages import Announce, Order, Withdraw
from tests.examples import examples
from tests.speaker.layer2.courses import Node
from tests.speaker.make import allocation, at

NODES = ("node-a", "node-b", "node-c")
ADDRESSES = ("192.0.2.1", "192.0.2.2")


def name_of(address):
    return allocation(address).name


@dataclass
class Core:
    """One node: its course, the wire's table with the uid each answer is for, and its place in the event log."""

    own: str
    node: Node
    table: dict = field(default_factory=dict)
    in_flight: list[Order] = field(default_factory=list)
    announced_since: set[str] = field(default_factory=set)
    """The last withdrawal was ordered."""
    position: int = 0
    is_permitted: bool = False
    written: dict = field(default_factory=dict)


def test_a_confirmation_of_what_is_gone_meanwhile_is_not_kept() -> None:
    node = Node()
    address = ADDRESSES[0]
    node.allocate(address, uid="u1")
    node.run()
    node.release(address, uid="u1")
    node.decide()
    assert node.released() == {}
    node.free(address)
    node.run()
    assert node.released() == {}
    assert not node.draft.released.is_stale


def test_the_time_since_when_it_is_announced_outlasts_a_change_of_interfaces() -> None:
    node = Node()
    node.course.confirmed(Announce((("192.0.2.1", ("eth0",)),)), at(1))
    node.course.confirmed(Announce((("192.0.2.1", ("eth0", "eth1")),)), at(2))
    assert node.draft.announcements.get("192.0.2.1")["since"] == at(1).text
    assert node.draft.announcements.get("192.0.2.1")["interfaces"] == ["eth0", "eth1"]
    node.course.confirmed(Withdraw(("192.0.2.1",)), at(3))
    node.course.confirmed(Announce((("192.0.2.1", ("eth0",)),)), at(4))
    assert node.draft.announcements.get("192.0.2.1")["since"] == at(4).text


def test_an_entry_names_every_key_since_a_merge_patch_leaves_what_it_does_not_name() -> None:
    both = announcement("first", interfaces=("eth0",), peers=["tor2", "tor1"])
    peers = {"peers": ["tor1", "tor2"], "peerCount": None, "paths": None}
    assert both == {"protocols": ["BGP", "Layer2"], "interfaces": ["eth0"], "since": "first"} | peers
    layer2 = announcement("first", interfaces=("eth0",))
    none = {"peers": None, "peerCount": None, "paths": None}
    assert layer2 == {"protocols": ["Layer2"], "interfaces": ["eth0"], "since": "first"} | none


def test_an_entry_names_a_few_peers_and_counts_the_rest() -> None:
    entry = announcement("first", peers=map(str, range(100)))
    assert (entry["peers"], entry["peerCount"]) == (["0", "1", "10", "11"], 100)


class World(RuleBasedStateMachine):
    """`log` is what the API server's watch of IPAllocations says; each core reads it at its own pace."""

    def __init__(self) -> None:
        super().__init__()
        self.log = []
        self.now_held = {}
        self.freed = set()
        self.serial = 0
        self.cores = {each: Core(each, Node(each, NODES)) for each in NODES}
        for core in self.cores.values():
            self._list(core)

    def _list(self, core) -> None:
        for value in self.now_held.values():
            core.node.cluster.set_allocation(value.name, value)
        core.position = len(self.log)
        core.is_permitted = False

    def _say(self, address, value) -> None:
        self.log.append((name_of(address), value))
        if value is None:
            del self.now_held[address]
        else:
            self.now_held[address] = value

    @rule(address=st.sampled_from(ADDRESSES))
    def allocate(self, address) -> None:
        if address not in self.now_held:
            self.serial += 1
            self._say(address, allocation(address, uid=f"uid-{self.serial}"))

    @rule(address=st.sampled_from(ADDRESSES))
    def mark_releasing(self, address) -> None:
        value = self.now_held.get(address)
        if value is not None and not value.is_releasing:
            self._say(address, allocation(address, uid=value.uid, generation=2, is_releasing=True))

    def free_what_all_have_confirmed(self) -> None:
        """The barrier is judged after each write."""
        for address, value in list(self.now_held.items()):
            if value.is_releasing and all(
                core.written.get(value.uid) == value.generation for core in self.cores.values()
            ):
                self.freed.add(value.uid)
                self._say(address, None)

    @rule(own=st.sampled_from(NODES), events=st.integers(1, 3))
    def watch(self, own, events) -> None:
        core = self.cores[own]
        for name, value in self.log[core.position : core.position + events]:
            core.node.cluster.set_allocation(name, value)
        core.position = min(core.position + events, len(self.log))

    @rule(own=st.sampled_from(NODES), limit=st.integers(1, 3))
    def decide(self, own, limit) -> None:
        core = self.cores[own]
        core.node.course.decide(limit, at(core.node.now))
        core.node.releases.settle(at(core.node.now))

    @rule(own=st.sampled_from(NODES), alive=st.frozensets(st.sampled_from(NODES)))
    def see_others_come_and_go(self, own, alive) -> None:
        self.cores[own].node.course.decisions.set_alive(alive)

    @rule(own=st.sampled_from(NODES))
    def permit(self, own) -> None:
        core = self.cores[own]
        core.is_permitted = core.is_permitted or core.node.course.is_complete

    @rule(own=st.sampled_from(NODES))
    def order(self, own) -> None:
        """What is announced is on the wire at once, whenever that is confirmed."""
        core = self.cores[own]
        taken = core.node.take(may_announce=core.is_permitted)
        assert core.is_permitted or not any(isinstance(order, Announce) for order in taken)
        core.in_flight += taken
        assert sum(isinstance(order, Withdraw) for order in core.in_flight) <= 1
        assert sum(not isinstance(order, Withdraw) for order in core.in_flight) <= 1
        for order in taken:
            if isinstance(order, Announce):
                for address, _ in order.entries:
                    core.table[address] = "nobody"
                    core.announced_since.add(address)
            if isinstance(order, Withdraw):
                core.announced_since.clear()
        self._believe(core)

    @rule(own=st.sampled_from(NODES), is_last=st.booleans())
    def confirm(self, own, is_last) -> None:
        """What is withdrawn is off the wire when that is confirmed, and no sooner; what was announced since is not."""
        core = self.cores[own]
        if not core.in_flight:
            return
        order = core.in_flight.pop(-1 if is_last else 0)
        for address in order.addresses if isinstance(order, Withdraw) else ():
            if address not in core.announced_since:
                core.table.pop(address, None)
        core.node.confirm(order)
        core.node.releases.settle(at(core.node.now))
        self._believe(core)

    def _believe(self, core) -> None:
        """A table answers for whoever its node now believes to hold the address."""
        for address in core.table:
            held = core.node.cluster.allocations.get(name_of(address))
            if held is not None:
                core.table[address] = held.uid

    @rule(own=st.sampled_from(NODES), address=st.sampled_from(ADDRESSES))
    def refuse(self, own, address) -> None:
        """Whatever is announced at present; what it was refused for may be on the wire all the same."""
        core = self.cores[own]
        if core.in_flight and isinstance(core.in_flight[-1], Announce):
            core.node.course.refused(core.in_flight.pop(), "no", at(core.node.now))

    @rule(seconds=st.sampled_from([0.5, 3.0]))
    def pass_time(self, seconds) -> None:
        for core in self.cores.values():
            core.node.now += seconds

    def carry_out(self, own) -> None:
        self.order(own)
        while self.cores[own].in_flight:
            self.confirm(own, is_last=False)

    @rule(own=st.sampled_from(NODES))
    def write(self, own) -> None:
        core = self.cores[own]
        released = core.node.draft.released.patch(limit=99)
        for uid, generation in released.items():
            if generation is None:
                core.written.pop(uid, None)
            else:
                core.written[uid] = generation
        core.node.draft.released.confirm(released)
        self.free_what_all_have_confirmed()

    @rule()
    def all_announce_what_is_new(self) -> None:
        """The way to something worth taking back; found by chance it would take too many steps."""
        for address in ADDRESSES:
            self.allocate(address)
        for own in NODES:
            self.catch_up(own)
            self.permit(own)
            for _ in range(4):
                self.carry_out(own)

    @rule()
    def all_catch_up(self) -> None:
        for own in NODES:
            self.catch_up(own)

    @rule(own=st.sampled_from(NODES))
    def catch_up(self, own) -> None:
        """Read, decide and write, while the wire lags behind."""
        self.watch(own, 99)
        self.decide(own, 99)
        self.write(own)

    @rule(own=st.sampled_from(NODES))
    def register_anew(self, own) -> None:
        """After a pause: everything is read again. What it confirmed stays, and is written again."""
        core = self.cores[own]
        core.node.begin()
        core.node.draft.released.found(core.written.keys())
        self._list(core)
        core.node.releases.forget_unread(core.node.cluster)
        core.node.course.read_in_full()

    @invariant()
    def nobody_answers_for_a_holder_whose_address_was_freed(self) -> None:
        for core in self.cores.values():
            if core.is_permitted:
                assert not set(core.table.values()) & self.freed

    def teardown(self) -> None:
        """Left alone, every release ends."""
        for address in list(self.now_held):
            self.mark_releasing(address)
        for _ in range(60):
            self.pass_time(0.5)
            for own in NODES:
                self.watch(own, 3)
                self.decide(own, 3)
                self.carry_out(own)
                self.permit(own)
                self.write(own)
        assert self.now_held == {}
        assert all(core.table == {} for core in self.cores.values())
        assert all(core.written == {} for core in self.cores.values())


World.TestCase.settings = settings(max_examples=examples(150), stateful_step_count=20, deadline=None)
TestWorld = World.TestCase
