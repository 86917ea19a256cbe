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
