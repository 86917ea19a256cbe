"""Which speakers are alive, by the Leases that the watch shows."""

from hypothesis import given
from hypothesis import strategies as st

from speaker.liveness import Liveness

DURATION, INTERVAL = 6.0, 2.0


class Watch:
    """Feeds a Liveness like a watch of Leases: each renewal has its own renew time."""

    def __init__(self) -> None:
        self.liveness = Liveness("own", duration_seconds=DURATION, renew_seconds=INTERVAL)
        self.now = 1000.0
        self.renewals = 0

    def renew(self, *nodes) -> None:
        for node in nodes:
            self.renewals += 1
            self.liveness.observe(node, f"{node}-1", str(self.renewals), self.now)

    def run(self, seconds, *nodes) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += INTERVAL
            self.renew("own", *nodes)

    @property
    def alive(self):
        return self.liveness.alive(self.now) - {"own"}


def test_the_own_node_counts_in_any_case() -> None:
    assert Watch().liveness.alive(1000.0) == {"own"}


def test_a_peer_is_alive_from_its_first_sight_and_as_long_as_it_renews() -> None:
    watch = Watch()
    watch.renew("own", "peer")
    assert watch.alive == {"peer"}
    watch.run(60, "peer")
    assert watch.alive == {"peer"}


def test_a_peer_that_stops_renewing_is_dead_after_the_leases_duration() -> None:
    watch = Watch()
    watch.run(10, "peer", "other")
    watch.run(DURATION - INTERVAL, "other")
    assert watch.alive == {"peer", "other"}
    watch.run(INTERVAL, "other")
    assert watch.alive == {"other"}
    watch.run(INTERVAL, "other", "peer")
    assert watch.alive == {"other", "peer"}


def test_nobody_dies_while_no_renewal_comes_by_though_the_watch_may_be_open() -> None:
    """An API server that takes no writes still sends bookmarks."""
    watch = Watch()
    watch.run(10, "peer", "other")
    watch.now += 3600
    assert watch.alive == {"peer", "other"}


def test_a_lease_that_was_given_back_ends_it_at_once() -> None:
    watch = Watch()
    watch.run(10, "peer")
    watch.liveness.observe("peer", "", "last", watch.now)
    assert watch.alive == set()


def test_a_lease_that_was_deleted_ends_it_at_once() -> None:
    watch = Watch()
    watch.run(10, "peer")
    watch.liveness.forget("peer")
    assert watch.alive == set()


def test_seeing_the_same_lease_again_is_no_sign_of_life() -> None:
    """A relist shows all Leases, whoever is dead."""
    watch = Watch()
    watch.liveness.observe("peer", "peer-1", "same", watch.now)
    for _ in range(5):
        watch.run(INTERVAL)
        watch.liveness.observe("peer", "peer-1", "same", watch.now)
    assert watch.alive == set()


def test_after_an_outage_peers_have_time_to_be_seen_again() -> None:
    watch = Watch()
    watch.run(10, "peer", "dead")
    watch.now += 3600
    watch.renew("own")
    assert watch.alive == {"peer", "dead"}
    watch.now += 1.4 * INTERVAL
    assert watch.alive == {"peer", "dead"}
    watch.renew("own", "peer")
    watch.run(2 * DURATION, "peer")
    assert watch.alive == {"peer"}


@given(st.lists(st.floats(0.0, 100.0), max_size=50))
def test_a_peer_that_renews_whenever_we_do_never_dies(pauses) -> None:
    watch = Watch()
    watch.renew("own", "peer")
    for pause in pauses:
        watch.now += pause
        watch.renew("own")
        assert watch.alive == {"peer"}
        watch.renew("peer")


@given(st.lists(st.floats(0.1, 2.9), min_size=30, max_size=60))
def test_a_peer_that_never_renews_dies_while_our_own_renewals_come_by(pauses) -> None:
    watch = Watch()
    watch.renew("own", "peer")
    for pause in pauses:
        watch.now += pause
        watch.renew("own")
    assert (watch.alive == set()) is (sum(pauses) >= DURATION)


class Ear(Watch):
    """Leases and heartbeats together."""

    def hear(self, *nodes, leaving=()) -> None:
        self.liveness.hear(frozenset(nodes), frozenset(leaving), self.now)


def test_a_peer_that_is_heard_is_alive_without_any_lease() -> None:
    ear = Ear()
    ear.hear("peer")
    assert ear.alive == {"peer"}


def test_of_two_the_one_that_is_left_takes_the_other_for_dead_though_its_lease_is_fresh() -> None:
    ear = Ear()
    ear.renew("own", "peer")
    ear.hear("peer")
    ear.now += 0.6
    ear.hear()
    assert ear.alive == set()


def test_a_lost_peer_that_goes_on_renewing_is_alive_again_after_the_grace_time() -> None:
    """What is broken is the heartbeats; the peer comes to the same at the same time."""
    ear = Ear()
    ear.run(4, "peer", "other")
    ear.hear("peer", "other")
    ear.hear("other")
    ear.run(8, "peer", "other")
    assert ear.alive == {"other"}
    ear.run(2, "peer", "other")
    assert ear.alive == {"other", "peer"}


def test_a_dead_peer_does_not_come_back_to_life_because_an_outage_stops_the_time_of_leases() -> None:
    ear = Ear()
    ear.run(4, "peer")
    ear.hear("peer")
    ear.hear()
    ear.now += 3600
    assert ear.alive == set()


def test_whoever_loses_most_peers_at_once_believes_none_of_them_dead_for_a_while() -> None:
    ear = Ear()
    ear.run(4, "peer", "other")
    ear.hear("peer", "other")
    ear.hear()
    assert ear.liveness.is_isolated(ear.now)
    assert ear.alive == {"peer", "other"}
    ear.run(10)
    assert not ear.liveness.is_isolated(ear.now)
    assert ear.alive == set()


def test_one_loss_of_many_is_no_isolation() -> None:
    ear = Ear()
    ear.hear("peer", "other")
    ear.hear("other")
    assert not ear.liveness.is_isolated(ear.now)
    assert ear.alive == {"other"}


def test_those_who_said_that_they_leave_are_not_lost() -> None:
    ear = Ear()
    ear.hear("peer", "other")
    ear.hear(leaving=("peer", "other"))
    assert not ear.liveness.is_isolated(ear.now)
    assert ear.liveness.lost == set()


def test_a_peer_that_is_heard_again_is_alive_at_once() -> None:
    ear = Ear()
    ear.hear("peer")
    ear.hear()
    ear.hear("peer")
    assert ear.alive == {"peer"}
