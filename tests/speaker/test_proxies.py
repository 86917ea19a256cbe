"""A whole node that takes an address over while its proxy is slower than its speaker."""

import pytest

from speaker.cluster.state import Kind
from speaker.inputs import Observed
from speaker.phases import Phase
from speaker.proxies.questions import Answer
from speaker.proxies.readiness import LONGEST_WAIT_SECONDS
from tests.speaker.bgp.test_decisions import ad, peer
from tests.speaker.cores import OWN, World
from tests.speaker.make import node, slice_of

A = "192.0.2.1"
OTHER = "node-b"
ASKED = "ask 172.30.0.11:30123"


def endpoints(world: World, **where: tuple[str, ...]) -> None:
    assert world.reading is not None
    world.tell(Observed(world.reading, Kind.SLICE, "default/web-1", None, slice_of(**where)))


@pytest.fixture
def world() -> World:
    """The address moves from another node, which serves still, to this one."""
    made = World(OTHER)
    made.allocate(A, is_local=True, health_port=30123)
    made.run(10.0)
    assert made.core.phase is Phase.SERVING
    made.observe(Kind.NODE, OWN, node(uid=made.node_uid, addresses=("172.30.0.11",)))
    endpoints(made, ready=(OTHER,))
    made.run(1.0)
    endpoints(made, ready=(OWN,), draining=(OTHER,))
    return made


def test_it_asks_its_proxy_and_announces_when_that_is_ready(world: World) -> None:
    world.run(5.0)
    assert world.journal.count(ASKED) == 1
    assert world.answers == set()
    world.proxies = Answer.READY
    world.run(0.5)
    assert world.answers == {A}
    assert world.batch.questions == frozenset()


def test_the_longest_wait_ends_though_nothing_happens(world: World) -> None:
    world.run(LONGEST_WAIT_SECONDS - 0.5)
    assert world.answers == set()
    world.run(1.0)
    assert world.answers == {A}


def test_it_comes_back_by_itself_when_the_wait_is_over(world: World) -> None:
    world.run(0.5)
    due = world.core.proxies.deadline()
    assert due is not None
    world.run(due - world.now - 0.001)
    assert world.core.deadline() <= due


def test_by_bgp_too_it_waits_for_its_proxy(world: World) -> None:
    world.observe(Kind.BGP_PEER, "tor", peer())
    world.observe(Kind.BGP_ADVERTISEMENT, "all", ad())
    world.observe(Kind.NODE, OTHER, node())
    world.run(1.0)
    assert world.core.bgp.decisions.peers
    assert not world.core.bgp.decisions.routes("tor")
    world.proxies = Answer.READY
    world.run(0.5)
    assert world.core.bgp.decisions.routes("tor")


def test_a_release_is_confirmed_without_the_proxy(world: World) -> None:
    world.run(1.0)
    world.release(A, uid=f"uid-{A}")
    world.run(1.0)
    assert world.released == {f"uid-{A}": 2}


def test_a_node_that_leaves_asks_on_and_announces_nothing_new_once_it_has_stopped(world: World) -> None:
    world.run(1.0)
    world.stop()
    world.run(30.0)
    assert world.is_over
    assert f"announce {A}" not in world.journal
