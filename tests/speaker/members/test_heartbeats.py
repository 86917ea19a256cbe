"""The heartbeats of a node: what the wire process is told, and whether all members have had time to be heard."""

import pytest

from crds.conditions import ConditionType
from speaker.cluster.state import ClusterState
from speaker.members.heartbeats import LISTEN_INTERVALS, HeartbeatOptions, Heartbeats, changed_members
from speaker.notices import Notices
from speaker.own.conditions import Conditions
from speaker.wire.messages import Heartbeat, Member
from tests.speaker.make import node, speaker

KEY, NEXT = b"the key that all speakers have", b"the key that comes after it"
INTERVAL_MILLISECONDS = 300
LISTEN_SECONDS = LISTEN_INTERVALS * INTERVAL_MILLISECONDS / 1000


class World:
    """Heartbeats of node-a, with a cluster to fill, and a wire process that carries out what it is told."""

    def __init__(self, directory: str = "/keys", interval_milliseconds: int = INTERVAL_MILLISECONDS) -> None:
        self.now = 100.0
        self.cluster = ClusterState()
        self.notices = Notices()
        options = HeartbeatOptions(directory, 7000, interval_milliseconds)
        self.heartbeats = Heartbeats(options, "node-a", "one", self.notices)

    def add(self, name: str, *addresses: str) -> None:
        self.cluster.set_speaker(name, speaker())
        self.cluster.set_node(name, node(addresses=addresses))

    def follow(self, *, is_complete: bool = True) -> None:
        self.heartbeats.follow(self.cluster, is_complete=is_complete)

    def carry_out(self) -> Heartbeat | None:
        """What the wire process is told now, and confirms; None = nothing."""
        order = self.heartbeats.next_order()
        if order is not None:
            self.heartbeats.confirmed(order, self.now)
        return order

    @property
    def have_listened(self) -> bool:
        return self.heartbeats.have_listened(self.now)


def test_the_wire_learns_keys_members_and_their_addresses() -> None:
    world = World()
    world.add("node-a", "192.0.2.1")
    world.add("node-b", "192.0.2.2", "2001:db8::2")
    world.cluster.set_speaker("node-c", speaker(said_goodbye=True))
    world.heartbeats.keys_read((KEY,))
    world.follow()
    members = {"node-b": ("192.0.2.2", "2001:db8::2"), "node-c": ()}
    assert world.carry_out() == Heartbeat("node-a", "one", (KEY,), 0.3, 7000, members)
    assert world.carry_out() is None


def test_a_new_speaker_is_listened_to_and_one_that_is_gone_is_not() -> None:
    world = World()
    world.heartbeats.keys_read((KEY,))
    world.add("node-b")
    world.follow()
    assert set(world.carry_out().members) == {"node-b"}
    world.add("node-c")
    world.follow()
    assert set(world.carry_out().members) == {"node-b", "node-c"}
    world.cluster.set_speaker("node-b", None)
    world.follow()
    assert set(world.carry_out().members) == {"node-c"}


def test_nobody_is_forgotten_while_everything_is_read_anew() -> None:
    world = World()
    world.heartbeats.keys_read((KEY,))
    world.add("node-b")
    world.follow()
    world.carry_out()
    world.cluster = ClusterState()
    world.add("node-c")
    world.follow(is_complete=False)
    assert set(world.carry_out().members) == {"node-b", "node-c"}
    world.follow()
    assert set(world.carry_out().members) == {"node-c"}


def test_one_order_is_under_way_at_a_time_and_the_next_is_the_latest() -> None:
    world = World()
    world.heartbeats.keys_read((KEY,))
    first = world.heartbeats.next_order()
    world.heartbeats.keys_read((NEXT,))
    world.heartbeats.keys_read((NEXT, KEY))
    assert world.heartbeats.next_order() is None
    world.heartbeats.confirmed(first, world.now)
    assert world.carry_out().keys == (NEXT, KEY)


def test_a_changed_secret_is_taken_up_and_a_broken_one_changes_nothing() -> None:
    world = World()
    world.heartbeats.keys_read((KEY,))
    world.carry_out()
    world.heartbeats.keys_read((KEY, NEXT))
    assert world.carry_out().keys == (KEY, NEXT)
    world.heartbeats.keys_unusable("this one 4")
    assert world.heartbeats.fault == "this one 4"
    assert world.carry_out() is None
    assert world.heartbeats.are_on
    world.add("node-b")
    world.follow()
    assert world.carry_out().keys == (KEY, NEXT)
    world.heartbeats.keys_read((NEXT, KEY))
    assert world.carry_out().keys == (NEXT, KEY)
    assert world.heartbeats.fault == ""


def test_a_fault_of_the_keys_is_logged_once() -> None:
    world = World()
    for _ in range(3):
        world.heartbeats.keys_unusable("No such file")
    (line,) = world.notices.take()
    assert (line.level, line.fields) == ("error", {"error": "No such file", "earlier_keys_stay": False})


def test_nothing_is_ordered_before_there_are_keys() -> None:
    world = World()
    world.add("node-b")
    world.follow()
    world.heartbeats.keys_unusable("No such file")
    assert world.carry_out() is None
    assert not world.heartbeats.are_on
    world.heartbeats.keys_read((KEY,))
    assert not world.heartbeats.are_on
    world.carry_out()
    assert world.heartbeats.are_on


def test_all_who_live_are_heard_some_heartbeats_after_the_wire_knows_of_them() -> None:
    world = World()
    world.follow()
    assert world.have_listened  # nobody to listen to
    world.add("node-b")
    world.follow()
    assert not world.have_listened
    world.heartbeats.keys_unusable("No such file")
    assert world.have_listened  # without a key there is nothing to wait for
    world.heartbeats.keys_read((KEY,))
    assert not world.have_listened
    world.carry_out()
    assert world.heartbeats.deadline() == world.now + LISTEN_SECONDS
    world.now += LISTEN_SECONDS - 0.001
    assert not world.have_listened
    world.now = world.heartbeats.deadline()
    assert world.have_listened
    assert world.heartbeats.deadline() is None
    world.add("node-c")
    world.follow(is_complete=False)
    assert not world.have_listened
    world.carry_out()
    assert not world.have_listened
    world.now += LISTEN_SECONDS
    assert world.have_listened


@pytest.mark.parametrize("has_members", [False, True])
def test_a_time_that_is_over_is_awaited_no_longer(has_members) -> None:
    """Whatever `have_listened` says: a deadline in the past would keep a processor busy."""
    world = World()
    world.heartbeats.keys_read((KEY,))
    world.carry_out()
    if has_members:
        world.add("node-b")
        world.follow()
    world.now += LISTEN_SECONDS
    assert world.have_listened is not has_members
    assert world.heartbeats.deadline() is None


def test_a_refusal_of_the_wire_is_a_fault_and_is_tried_again_when_the_keys_are_read_again() -> None:
    """Not before: the wire process would refuse it as often as it is asked."""
    world = World()
    world.add("node-b")
    world.follow()
    world.heartbeats.keys_read((KEY,))
    assert world.heartbeats.next_order() is not None
    world.heartbeats.refused("the name is too long")
    assert world.heartbeats.fault == "the name is too long"
    assert not world.heartbeats.are_on
    assert world.have_listened
    assert world.heartbeats.next_order() is None
    world.heartbeats.keys_read((KEY,))
    assert world.carry_out() is not None
    assert world.heartbeats.are_on
    assert world.heartbeats.fault == ""


def test_something_else_is_tried_at_once_after_a_refusal() -> None:
    world = World()
    world.heartbeats.keys_read((KEY,))
    world.heartbeats.next_order()
    world.heartbeats.refused("no")
    world.add("node-b")
    world.follow()
    assert set(world.carry_out().members) == {"node-b"}


@pytest.mark.parametrize(
    ("members", "milliseconds"),
    [(0, 50), (2, 50), (12, 50), (25, 100), (50, 200), (100, 200), (249, 498), (499, 998)],
)
def test_heartbeats_are_as_fast_as_the_number_of_members_allows(members: int, milliseconds: float) -> None:
    assert HeartbeatOptions().interval_seconds(members) * 1000 == pytest.approx(milliseconds)


@pytest.mark.parametrize(("members", "milliseconds"), [(2, 300), (100, 300), (499, 998)])
def test_heartbeats_are_as_far_apart_as_was_said_unless_a_node_would_get_too_many(members, milliseconds) -> None:
    options = HeartbeatOptions(interval_milliseconds=300)
    assert options.interval_seconds(members) * 1000 == pytest.approx(milliseconds)


def test_the_interval_and_the_time_to_be_heard_follow_the_members() -> None:
    world = World(interval_milliseconds=0)
    world.heartbeats.keys_read((KEY,))
    for number in range(500):
        world.add(f"node-{number}")
    world.follow()
    order = world.carry_out()
    assert order.interval_seconds == 1.0
    assert world.heartbeats.deadline() == world.now + LISTEN_INTERVALS
    for number in range(1, 500):
        world.cluster.set_speaker(f"node-{number}", None)
    world.follow()
    assert world.carry_out().interval_seconds == 0.05


def test_what_was_in_force_stays_so_when_a_change_is_refused() -> None:
    world = World()
    world.heartbeats.keys_read((KEY,))
    world.carry_out()
    world.heartbeats.keys_read((NEXT,))
    world.heartbeats.next_order()
    world.heartbeats.refused("no")
    assert world.heartbeats.are_on


def test_without_a_folder_there_are_no_heartbeats() -> None:
    world = World("")
    world.add("node-b")
    world.follow()
    assert not world.heartbeats.are_wanted
    assert world.carry_out() is None
    assert world.have_listened


def test_people_are_told_who_came_and_who_went() -> None:
    notices = Notices()
    changed_members({"b": Member("b-1")}, {"c": Member("c-1", via=("eth0",))}, notices)
    came, went = notices.take()
    assert (came.event, came.fields["node"], came.fields["via"]) == ("hearing a member", "c", ("eth0",))
    assert (went.event, went.fields["node"]) == ("a member is not heard any more", "b")


@pytest.mark.parametrize(
    ("fault", "known", "heard", "holds", "reason"),
    [
        ("key: No such file", {"b"}, {"b"}, "False", "KeysUnusable"),
        ("", set(), set(), "True", "OnlySpeaker"),
        ("", {"b", "c"}, {"b"}, "True", "HearingPeers"),
        ("", {"b", "c", "d"}, {"b", "stranger"}, "False", "PeersUnheard"),
    ],
)
def test_the_condition_says_whether_heartbeats_work_here(fault, known, heard, holds, reason):
    conditions = Conditions()
    conditions.set_members_heard(fault, known, heard, "2026-01-01T00:00:00Z")
    (told,) = conditions.to_wire()
    assert (told["type"], told["status"], told["reason"]) == (ConditionType.PeersHeard.value, holds, reason)


def test_a_port_that_another_program_has_is_told_until_it_is_ours() -> None:
    world = World()
    world.heartbeats.port_found(is_taken=True)
    assert world.heartbeats.port_taken == 7000
    world.heartbeats.port_found(is_taken=False)
    assert world.heartbeats.port_taken == 0
    conditions = Conditions()
    conditions.set_port_taken(7473, "2026-01-01T00:00:00Z")
    (told,) = conditions.to_wire()
    assert (told["type"], told["status"], told["reason"]) == ("PeersHeard", "False", "PortTaken")
    assert "ss -lunp 'sport = :7473'" in told["message"]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (HeartbeatOptions(port=0), "port"),
        (HeartbeatOptions(port=70000), "port"),
        (HeartbeatOptions(interval_milliseconds=5), "milliseconds"),
        (HeartbeatOptions(interval_milliseconds=60000), "milliseconds"),
    ],
)
def test_options_that_can_not_work_are_refused(options, fault):
    assert fault in options.fault()
    assert HeartbeatOptions().fault() == ""
