"""Several nodes' pure cores, a wire each that confirms late, and an allocator that frees by the barrier.

The world of the design's model in small: caches lag, speakers restart and register anew, allocations come again for
another holder. What must never be: an address answered for by a holder whose release everybody has confirmed.
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from speaker.layer2.course import Announcer
from speaker.own.status import announcement
from tests.speaker.make import NOW, advertisement, allocation, node, speaker

NODES = ("node-a", "node-b", "node-c")
ADDRESSES = ("192.0.2.1", "192.0.2.2")


def name_of(address):
    return allocation(address).name


@dataclass
class Core:
    """One node: its announcer, the wire's table with the uid each answer is for, and its place in the event log."""

    own: str
    announcer: Announcer
    table: dict = field(default_factory=dict)
    position: int = 0
    is_permitted: bool = False
    written: dict = field(default_factory=dict)


def test_a_confirmation_of_what_is_gone_meanwhile_is_not_kept() -> None:
    announcer = settled("node-a")
    address = ADDRESSES[0]
    cluster = announcer.cluster
    cluster.set_allocation(name_of(address), allocation(address, uid="u1"))
    announcer.decisions.set_alive(frozenset())
    announcer.decide(99)
    entries = announcer.orders.next_announcements(99)
    announcer.announced(entries, NOW)
    cluster.set_allocation(name_of(address), allocation(address, uid="u1", generation=2, is_releasing=True))
    announcer.decide(99)
    cluster.set_allocation(name_of(address), None)
    announcer.decide(99)
    announcer.withdrawn(announcer.orders.next_withdrawals(99))
    assert not announcer.draft.released.is_stale
    assert len(announcer.draft.released) == 0


def test_the_time_since_when_it_is_announced_outlasts_a_change_of_interfaces() -> None:
    announcer = settled("node-a")
    announcer.announced([("192.0.2.1", ("eth0",))], "first")
    announcer.announced([("192.0.2.1", ("eth0", "eth1"))], "second")
    assert announcer.draft.announcements.get("192.0.2.1")["since"] == "first"
    announcer.withdrawn(["192.0.2.1"])
    announcer.announced([("192.0.2.1", ("eth0",))], "third")
    assert announcer.draft.announcements.get("192.0.2.1")["since"] == "third"


def test_an_entry_names_every_key_since_a_merge_patch_leaves_what_it_does_not_name() -> None:
    both = announcement("first", interfaces=("eth0",), peers=["tor2", "tor1"])
    assert both == {"protocols": ["BGP", "Layer2"], "interfaces": ["eth0"], "peers": ["tor1", "tor2"], "since": "first"}
    layer2 = announcement("first", interfaces=("eth0",))
    assert layer2 == {"protocols": ["Layer2"], "interfaces": ["eth0"], "peers": None, "since": "first"}
    assert len(announcement("first", peers=map(str, range(100)))["peers"]) == 16


def settled(own):
    announcer = Announcer(own)
    furnish(announcer)
    return announcer


def furnish(announcer) -> None:
    """Everything but allocations, read anew."""
    cluster = announcer.begin()
    for each in NODES:
        cluster.set_node(each, node())
        cluster.set_speaker(each, speaker())
    announcer.decisions.set_alive(frozenset(NODES))
    announcer.decisions.set_own_interfaces(("eth0",))
    cluster.set_l2_advertisement("all", advertisement())


class World(RuleBasedStateMachine):
    """`log` is what the API server's watch of IPAllocations says; each core reads it at its own pace."""

    def __init__(self) -> None:
        super().__init__()
        self.log = []
        self.now_held = {}
        self.freed = set()
        self.serial = 0
        self.cores = {each: Core(each, settled(each)) for each in NODES}
        for core in self.cores.values():
            self._list(core)

    def _list(self, core) -> None:
        for value in self.now_held.values():
            core.announcer.cluster.set_allocation(value.name, value)
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
            core.announcer.cluster.set_allocation(name, value)
        core.position = min(core.position + events, len(self.log))

    @rule(own=st.sampled_from(NODES), limit=st.integers(1, 3))
    def decide(self, own, limit) -> None:
        self.cores[own].announcer.decide(limit)

    @rule(own=st.sampled_from(NODES), alive=st.frozensets(st.sampled_from(NODES)))
    def see_others_come_and_go(self, own, alive) -> None:
        self.cores[own].announcer.decisions.set_alive(alive)

    @rule(own=st.sampled_from(NODES))
    def permit(self, own) -> None:
        core = self.cores[own]
        core.is_permitted = core.is_permitted or core.announcer.is_complete

    @rule(own=st.sampled_from(NODES), limit=st.integers(1, 2))
    def carry_out(self, own, limit) -> None:
        core = self.cores[own]
        orders = core.announcer.orders
        if addresses := orders.next_withdrawals(limit):
            for address in addresses:
                core.table.pop(address, None)
            core.announcer.withdrawn(addresses)
        elif core.is_permitted:
            entries = orders.next_announcements(limit)
            for address, _ in entries:
                core.table[address] = core.announcer.cluster.allocations[name_of(address)].uid
            core.announcer.announced(entries, NOW)
        for address in core.table:
            # What it answers for is whoever it now believes to hold the address.
            held = core.announcer.cluster.allocations.get(name_of(address))
            if held is not None:
                core.table[address] = held.uid

    @rule(own=st.sampled_from(NODES))
    def write(self, own) -> None:
        core = self.cores[own]
        draft = core.announcer.draft.next(only_urgent=False, limit=99)
        for uid, generation in draft.released.items():
            if generation is None:
                core.written.pop(uid, None)
            else:
                core.written[uid] = generation
        core.announcer.draft.confirm(draft)
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
                self.carry_out(own, 2)

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
        """After a pause: what it confirmed is cleared, and everything is read again."""
        core = self.cores[own]
        furnish(core.announcer)
        patch = core.announcer.draft.registration("again")
        core.announcer.draft.registered(patch)
        core.written.clear()
        self._list(core)
        core.announcer.forget_old_releases()

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
            for own in NODES:
                self.watch(own, 3)
                self.decide(own, 3)
                self.carry_out(own, 2)
                self.permit(own)
                self.write(own)
        assert self.now_held == {}
        assert all(core.table == {} for core in self.cores.values())
        assert all(core.written == {} for core in self.cores.values())


World.TestCase.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
TestWorld = World.TestCase
