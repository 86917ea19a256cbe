"""The other speakers as the core deals with them: who is heard, what this node says of itself, whom fencing counts."""

from crds.speaker import Standing
from speaker.cluster.state import ClusterState
from speaker.fencing import Contact
from speaker.members.heartbeats import HeartbeatOptions
from speaker.members.members import SAID_SECONDS, SHOWN_MEMBERS, Members
from speaker.members.view import MemberTimes
from speaker.notices import Line, Notices
from speaker.own.status import StatusDraft
from speaker.wire.heartbeat.sender import STATE_SECONDS
from speaker.wire.messages import NEVER, Member, OwnState
from tests.speaker.make import allocation, at, speaker

TIMES = MemberTimes(lease_duration=6.0, renew=2.0, failback=120.0)
NOBODY: frozenset[str] = frozenset()


class World:
    """Members as node-a sees them, with a cluster to fill."""

    def __init__(self, *others: str, heartbeats: bool = True) -> None:
        self.draft, self.notices, self.cluster = StatusDraft(), Notices(), ClusterState()
        options = HeartbeatOptions("/keys" if heartbeats else "")
        self.members = Members("node-a", "one", TIMES, options, self.draft, self.notices)
        self.members.follow(self.cluster)
        self.members.begin(at(0))
        for node in ("node-a", *others):
            self.cluster.set_speaker(node, speaker())
        if heartbeats:
            self.members.heartbeats.keys_read((b"k" * 16,))
            order = self.members.heartbeats.next_order()
            assert order is not None
            self.members.heartbeats.confirmed(order, 0.0)

    def hear(self, *nodes: str, now: float, **facts) -> bool:
        heard = {node: Member(f"{node}-1", ("eth0",), **facts) for node in nodes}
        return self.members.members_heard(heard, at(now))

    def judge(self, now: float, **how):
        return self.members.judge(at(now), at(now).boottime, **{"others": NOBODY} | how)

    @property
    def shown(self):
        return self.draft.wanted("heard")


def test_those_who_are_heard_are_shown_with_the_time_since_when() -> None:
    world = World("node-b", "node-c")
    assert world.shown == []
    world.hear("node-c", now=1)
    world.hear("node-b", "node-c", now=5, is_behind=True)
    assert world.shown == [
        {"node": "node-b", "since": at(5).text, "cutOff": True},
        {"node": "node-c", "since": at(1).text, "cutOff": True},
    ]
    world.hear("node-b", now=6)
    world.hear("node-b", "node-c", now=7)
    assert world.shown[1] == {"node": "node-c", "since": at(7).text, "cutOff": False}


def test_ages_alone_change_nothing_in_the_speaker() -> None:
    """A changed object goes to all who watch it."""
    world = World("node-b")
    world.hear("node-b", now=1, contact=10.0)
    before = world.shown
    world.hear("node-b", now=3, contact=12.0)
    assert world.shown == before


def test_no_more_are_shown_than_the_object_has_room_for() -> None:
    world = World()
    world.hear(*(f"n{number}" for number in range(SHOWN_MEMBERS + 10)), now=1)
    assert len(world.shown) == SHOWN_MEMBERS


def test_one_that_is_heard_again_and_ran_all_the_time_came_back_and_that_is_told() -> None:
    world = World("node-b", "node-c")
    world.hear("node-b", "node-c", now=1)
    assert not world.hear("node-c", now=2)
    world.notices.take()
    assert world.hear("node-b", "node-c", now=3)
    assert Line("info", "heard again", {"nodes": ["node-b"]}) in world.notices.take()


def test_nothing_is_said_and_nobody_is_heard_before_there_are_keys() -> None:
    world = World("node-b", heartbeats=False)
    world.hear("node-b", now=1)
    assert world.members.own_state(1.0, is_serving=True, now=1.0) is None
    assert world.members.heard == {}


def test_heartbeats_say_how_this_node_stands() -> None:
    world = World()
    world.judge(1)
    assert world.members.own_state(7.0, is_serving=True, now=8.0) == OwnState(7.0, is_serving=True, is_member=True)
    world.members.view.leave()
    world.judge(2)
    said = world.members.own_state(7.0, is_serving=False, now=8.0)
    assert said == OwnState(7.0, is_serving=False, is_member=True, is_behind=False, is_leaving=True)
    assert world.draft.wanted("standing") == Standing.Leaving.value


def test_what_was_said_a_moment_ago_is_said_again_as_it_changes_and_before_it_is_forgotten() -> None:
    world = World()
    world.judge(1)
    says = world.members.own_state
    same = OwnState(7.0, is_serving=True, is_member=True)
    assert says(7.0, is_serving=True, now=8.0) == same
    assert says(7.0, is_serving=True, now=8.5) is None
    assert says(7.0, is_serving=True, now=9.0) == same
    assert says(9.0, is_serving=True, now=9.1) is not None
    assert SAID_SECONDS <= STATE_SECONDS / 3


def test_a_node_that_comes_while_others_serve_waits_unless_there_is_nothing_to_move() -> None:
    world = World("node-b")
    world.cluster.set_allocation("v4-192-0-2-1", allocation("192.0.2.1"))
    assert not world.judge(1, others=frozenset({"node-b"})).is_member
    assert world.draft.wanted("standing") == Standing.Waiting.value
    world.cluster.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", is_releasing=True))
    assert world.judge(2, others=frozenset({"node-b"})).is_member


def test_before_the_others_are_known_it_is_no_member() -> None:
    assert not World("node-b").judge(1, others=None).is_member


def test_those_are_unheard_who_have_not_said_goodbye_and_are_not_heard() -> None:
    world = World("node-b", "node-c")
    world.cluster.set_speaker("node-d", speaker(said_goodbye=True))
    world.hear("node-b", now=1)
    assert world.members.unheard() == {"node-c"}
    world.members.follow(ClusterState())
    assert world.members.unheard() == NOBODY


def test_leases_are_needed_as_long_as_one_that_is_not_heard_may_renew() -> None:
    world = World("node-b")
    assert world.members.needs_leases(1.0)
    liveness = world.members.view.liveness
    for now in range(1, 100):
        liveness.observe("node-a", "one", str(now), float(now))  # our own renewals show that time goes on
        if now == 1:
            liveness.observe("node-b", "two", "1", 1.0)
        is_needed = world.members.needs_leases(float(now))
        assert is_needed or now > liveness.patience_seconds
    assert not is_needed
    world.cluster.set_speaker("node-c", speaker())
    assert world.members.needs_leases(100.0)


def test_after_another_registration_leases_are_needed_anew() -> None:
    """Those of before belong to another reading; whether they are needed is judged by what this one shows."""
    world = World("node-b")
    before = world.members.needs_leases
    world.members.begin(at(50))
    world.members.view.liveness.observe("node-b", "two", "1", 51.0)
    assert before(52.0)


def test_fencing_counts_those_who_told_when_they_had_contact() -> None:
    """One that has not told must not pass for one that lost it long ago."""
    world = World("node-b", "node-c")
    world.hear("node-b", now=1, contact=900.0, heard=1000.0)
    known = world.members.for_fencing()
    assert known.known == {"node-b", "node-c"}
    assert known.contacts == {"node-b": Contact(900.0, 1000.0)}
    world.hear("node-b", now=2, contact=NEVER, heard=1001.0)
    assert world.members.for_fencing().contacts == {}
