"""The release protocol under every fault we could think of: never two Services on the wire for one address, and when
the faults end, so does every release. tests/mutations shows that this world notices broken rules."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.examples import examples
from tests.protocol.world import Allocator, Api, Speaker

FIRST, LATER = ("n1", "n2", "n3"), ("n4", "n5", "n6")
ALL = FIRST + LATER
founders = st.sampled_from(FIRST)
some = st.sets(founders, min_size=1, max_size=2)
modes = st.sampled_from(["none", "none", "requests", "no leases"])
LONG = st.sampled_from([7, 12, 35, 58, 64, 75])


class World(RuleBasedStateMachine):
    """Seconds are steps. In each, everybody does what it can: the worst order is up to the rules between them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.api = Api()
        self.speakers = {node: Speaker(self.api, node) for node in ALL}
        self.allocators = (Allocator(self.api), Allocator(self.api))
        self.deaf: set[frozenset[str]] = set()
        self.releases = False

    @initialize()
    def begin(self) -> None:
        for node in FIRST:
            self.speakers[node].start(self.now)
        self.pass_seconds(12)

    # Time

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.heartbeats()
            for each in self.speakers.values():
                each.work(self.now)
                self.check()
            for one in self.allocators:
                one.work(self.now, releases=self.releases)
                self.check()

    def heartbeats(self) -> None:
        running = [one for one in self.speakers.values() if one.is_running]
        for one in running:
            one.hear([o for o in running if o is not one and frozenset((one.node, o.node)) not in self.deaf], self.now)

    @rule(seconds=st.sampled_from([1, 1, 3, 8]))
    def a_little_time_passes(self, seconds: int) -> None:
        self.pass_seconds(seconds)

    @rule(seconds=LONG)
    def time_passes(self, seconds: int) -> None:
        self.pass_seconds(seconds)

    # Users and allocators

    @rule()
    def the_service_is_deleted_and_its_address_wanted_again(self) -> None:
        self.releases = True
        self.pass_seconds(1)
        self.releases = False

    @rule(which=st.sampled_from([0, 1]), seconds=LONG)
    def an_allocator_freezes(self, which: int, seconds: int) -> None:
        self.allocators[which].frozen_until = self.now + seconds

    @rule(which=st.sampled_from([0, 1]))
    def an_allocator_restarts(self, which: int) -> None:
        one = self.allocators[which]
        one.__init__(self.api)  # type: ignore[misc]

    # Faults of speakers

    @rule(nodes=some, mode=modes, seconds=LONG, releases=st.booleans(), lags=st.booleans())
    def some_lose_the_api_server(self, nodes: set[str], mode: str, seconds: int, releases: bool, lags: bool) -> None:
        """And their watches come back late."""
        self.cut(nodes, mode)
        for node in nodes:
            self.speakers[node].is_lagging = lags
        if releases:
            self.the_service_is_deleted_and_its_address_wanted_again()
        self.pass_seconds(seconds)

    @rule(stuck=some, seconds=st.sampled_from([35, 45]))
    def all_lose_the_api_server_and_what_some_had_sent_arrives_late(self, stuck: set[str], seconds: int) -> None:
        self.the_service_is_deleted_and_its_address_wanted_again()
        self.cut(set(ALL) - stuck, "none")
        self.cut(stuck, "stuck")
        self.pass_seconds(seconds)
        for node in stuck:
            self.speakers[node].link.let_go()
            self.speakers[node].link.mode = "none"
        self.pass_seconds(40)

    @rule(nodes=some, first=st.sampled_from([0, 45]), seconds=st.sampled_from([20, 40]))
    def some_restart_without_the_api_server(self, nodes: set[str], first: int, seconds: int) -> None:
        """After the others, who hear them, have lost it."""
        self.cut(set(ALL) - nodes, "none")
        self.the_service_is_deleted_and_its_address_wanted_again()
        self.pass_seconds(first)
        self.cut(nodes, "none")
        for node in nodes:
            self.speakers[node].crash()
            self.speakers[node].start(self.now)
        self.pass_seconds(seconds)

    @rule(nodes=some, seconds=LONG)
    def an_island_parts_from_the_rest(self, nodes: set[str], seconds: int) -> None:
        """They hear each other, and nothing else."""
        self.cut(nodes, "none")
        self.deaf |= {frozenset((one, other)) for one in nodes for other in set(ALL) - nodes}
        self.the_service_is_deleted_and_its_address_wanted_again()
        self.pass_seconds(seconds)

    @rule(seconds=st.sampled_from([20, 64, 75]), late=some, parts=st.booleans())
    def the_api_server_is_down_for_all_and_comes_back_later_for_some(
        self, seconds: int, late: set[str], parts: bool
    ) -> None:
        """And just then these stop hearing the others."""
        self.cut(set(ALL), "none", with_allocators=True)
        self.pass_seconds(seconds)
        self.cut(set(ALL), "both", with_allocators=True)
        self.cut(late, "none")
        if parts:
            self.deaf |= {frozenset((one, other)) for one in late for other in set(ALL) - late}
        self.the_service_is_deleted_and_its_address_wanted_again()
        self.pass_seconds(12)

    def cut(self, nodes: set[str], mode: str, *, with_allocators: bool = False) -> None:
        for node in nodes:
            self.speakers[node].link.mode = mode
        for one in self.allocators if with_allocators else ():
            one.link.mode = mode

    @rule(node=founders, joins=st.booleans(), releases=st.booleans())
    def contact_is_back(self, node: str, joins: bool, releases: bool) -> None:
        self.speakers[node].link.mode = "both"
        if releases:
            self.pass_seconds(2)
            self.the_service_is_deleted_and_its_address_wanted_again()
        if joins:
            self.deaf = {pair for pair in self.deaf if node not in pair}

    @rule(one=founders, other=founders)
    def two_stop_hearing_each_other(self, one: str, other: str) -> None:
        if one != other:
            self.deaf.add(frozenset((one, other)))

    @rule(node=founders, seconds=st.sampled_from([3, 5, 8, 65]))
    def a_speaker_freezes(self, node: str, seconds: int) -> None:
        self.speakers[node].frozen_until = self.now + seconds

    @rule(node=founders)
    def a_watch_lags(self, node: str) -> None:
        self.speakers[node].is_lagging = not self.speakers[node].is_lagging

    @rule(node=founders)
    def a_wire_process_confirms_late(self, node: str) -> None:
        self.speakers[node].is_wire_slow = True
        self.the_service_is_deleted_and_its_address_wanted_again()
        self.pass_seconds(2)
        self.speakers[node].is_wire_slow = False

    @rule(node=founders, word=st.sampled_from(["crash", "crash", "goodbye", "deleted"]))
    def a_speaker_ends(self, node: str, word: str) -> None:
        one = self.speakers[node]
        if one.is_running and word == "goodbye":
            one.stop(self.now)
        one.crash()
        if word == "deleted":
            self.api.speakers.pop(node, None)

    @rule(node=founders)
    def an_operator_says_that_a_node_is_shut_down(self, node: str) -> None:
        """Who is wrong about it is so only about a node that is in contact."""
        one = self.speakers[node]
        is_in_contact = one.link.mode == "both" and not one.is_lagging and one.frozen_until <= self.now
        if is_in_contact or not one.is_running:
            self.api.out_of_service.add(node)
            self.pass_seconds(2)

    @rule(node=founders)
    def a_node_is_in_service_again(self, node: str) -> None:
        self.api.out_of_service.discard(node)

    @rule(node=founders)
    def a_speaker_starts(self, node: str) -> None:
        if not self.speakers[node].is_running:
            self.speakers[node].start(self.now)

    @rule()
    def others_join(self) -> None:
        for node in LATER:
            if not self.speakers[node].is_running:
                self.speakers[node].start(self.now)

    # What must hold

    @invariant()
    def check(self) -> None:
        owners = {one.on_wire(self.now) for one in self.speakers.values()} - {None}
        assert len(owners) <= 1, f"at {self.now} the address is announced for {sorted(map(str, owners))}"
        record = self.api.record
        held = None if record is None else record.uid
        assert owners <= {held}, f"at {self.now} it is announced for {owners}, and held by {held}"

    def teardown(self) -> None:
        """The faults end, and whoever is dead comes back: so does every release."""
        for one in self.speakers.values():
            one.link.mode, one.is_lagging, one.frozen_until, one.refuses = "both", False, 0.0, None
            one.is_blind = False
            if not one.is_running and one.node in self.api.speakers:
                one.start(self.now)
        for each in self.allocators:
            each.link.mode, each.frozen_until = "both", 0.0
        self.deaf.clear()
        self.api.out_of_service.clear()
        self.pass_seconds(12)
        assert self.api.record is None or not self.api.record.releasing, "a release never ends"


World.TestCase.settings = settings(
    max_examples=examples(25), stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWorld = World.TestCase
