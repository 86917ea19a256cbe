"""Which speakers are alive, by the Leases that the watch shows."""

from hypothesis import given
from hypothesis import strategies as st

from speaker.members.liveness import LeaseNeed, Liveness

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


def test_what_the_lease_of_a_peer_says_counts_only_from_when_it_is_not_heard() -> None:
    ear = Ear()
    ear.hear("peer")
    ear.run(8, "peer")
    ear.hear(leaving=("peer",))
    assert ear.alive == set()
    ear.run(4, "peer")
    assert ear.alive == {"peer"}


def test_one_that_left_and_could_not_give_back_its_lease_is_not_taken_for_alive() -> None:
    """It stopped while the API server was down; now that is back, and its Lease is seen as it was left."""
    ear = Ear()
    ear.hear("peer")
    ear.run(4, "peer")
    ear.hear(leaving=("peer",))
    ear.liveness.observe("peer", "peer-1", "long ago", ear.now)
    assert ear.alive == set()
    ear.run(4)
    ear.liveness.observe("peer", "peer-1", "long ago", ear.now)
    assert ear.alive == set()
    ear.hear("peer")
    assert ear.alive == {"peer"}


# ---- whether Leases are watched at all


class World:
    """Members that are heard or not, and renew their Leases or not; one node that watches as it needs to, and
    one that always does."""

    PEERS = ("a", "b", "c")

    def __init__(self) -> None:
        self.now = 1000.0
        self.thrifty, self.watchful = (
            Liveness("own", duration_seconds=DURATION, renew_seconds=INTERVAL) for _ in range(2)
        )
        self.need = LeaseNeed(self.thrifty)
        self.is_watching, self.has_read = True, False
        self.leases = {peer: "0" for peer in (*self.PEERS, "own")}
        self.heard, self.renewing, self.is_up = set(self.PEERS), set(self.PEERS), True
        self.watched_steps = 0

    def run(self, seconds: float) -> None:
        for step in range(int(seconds)):
            self.now += 1.0
            self._hear()
            if self.is_up and step % int(INTERVAL) == 0:
                for node in (*sorted(self.renewing), "own"):
                    self.leases[node] = str(self.now)
                    self._show(node, [self.watchful] + [self.thrifty] * self.has_read)
            self._decide()

    def _hear(self) -> None:
        for liveness in (self.thrifty, self.watchful):
            liveness.hear(frozenset(self.heard), frozenset(), self.now)

    def _show(self, node: str, to: list[Liveness]) -> None:
        for liveness in to:
            liveness.observe(node, f"{node}-1", self.leases[node], self.now)

    def _decide(self) -> None:
        """As speaker.members.io.leasewatch does: asks only while it rests, or when its first list is in."""
        unheard = frozenset(self.PEERS) - self.heard
        if self.has_read or not self.is_watching:
            self.is_watching = self.need.is_there(unheard, self.now)
        self.has_read &= self.is_watching
        is_glancing = not self.is_watching and unheard and self.now % 10 == 0
        if self.is_up and (is_glancing or self.is_watching > self.has_read):
            self.has_read = self.is_watching
            for node in self.leases:
                self._show(node, [self.thrifty])
        self.watched_steps += self.is_watching


def test_nobody_watches_leases_while_all_peers_are_heard() -> None:
    world = World()
    world.run(60)
    assert not world.is_watching
    before = world.watched_steps
    world.run(600)
    assert world.watched_steps == before


def test_they_are_watched_again_for_one_that_was_never_heard_of() -> None:
    world = World()
    world.run(60)
    assert not world.need.is_there(frozenset(), world.now)
    assert world.need.is_there(frozenset({"new"}), world.now)


def test_they_are_watched_again_when_one_is_missing_until_it_has_been_dead_for_long() -> None:
    world = World()
    world.run(60)
    world.heard.discard("a")
    world.run(2)
    assert world.is_watching
    world.run(20)
    assert world.is_watching  # its Lease is renewed
    assert "a" in world.thrifty.alive(world.now)
    world.renewing.discard("a")
    world.run(30)
    assert not world.is_watching
    assert "a" not in world.thrifty.alive(world.now)


def test_one_that_was_dead_for_long_and_renews_unheard_is_found() -> None:
    world = World()
    world.heard.discard("a")
    world.renewing.discard("a")
    world.run(120)
    assert not world.is_watching
    world.renewing.add("a")
    world.run(30)
    assert world.is_watching
    assert "a" in world.thrifty.alive(world.now)


def test_an_outage_of_the_api_server_passes_for_no_sign_of_death() -> None:
    """Nobody renews, and nothing is seen: when it is over, the one that is not heard must be seen to live."""
    world = World()
    world.run(60)
    world.is_up = False
    world.heard.discard("a")
    world.run(300)
    assert world.is_watching
    world.is_up = True
    world.run(30)
    assert "a" in world.thrifty.alive(world.now)


MOVES = st.sampled_from([(kind, peer) for kind in ("heard", "renewing") for peer in World.PEERS] + [("is_up", "")])


@given(st.lists(st.tuples(MOVES, st.integers(1, 40)), max_size=25))
def test_watching_as_needed_comes_to_the_same_as_watching_always(moves) -> None:
    world = World()
    for (kind, peer), seconds in moves:
        if kind == "is_up":
            world.is_up = not world.is_up
        else:
            getattr(world, kind).symmetric_difference_update({peer})
        world.run(seconds)
    world.is_up = True
    world.run(90)
    assert world.thrifty.alive(world.now) == world.watchful.alive(world.now)
    assert world.thrifty.alive(world.now) == {"own"} | world.heard | world.renewing
    assert world.is_watching == bool(world.renewing - world.heard)
