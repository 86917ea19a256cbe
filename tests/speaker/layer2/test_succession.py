"""An address with the policy Local goes from the node where its endpoint ends to the node that has the next one, and is
served at each moment: the successor waits for its proxy, and the old owner goes on meanwhile."""

import pytest

from speaker.layer2.succession import HANDOVER_SECONDS
from speaker.proxies.questions import Answer
from speaker.proxies.readiness import LONGEST_WAIT_SECONDS, REFUSED_WAIT_SECONDS
from speaker.wire.messages import Announce, Conflict, HandOver, Withdraw
from tests.speaker.layer2.courses import Node, mac
from tests.speaker.make import at
from tests.speaker.make import node as facts

ADDRESS = "192.0.2.10"
ANNOUNCED = [Announce(((ADDRESS, ("eth0",)),))]
OWN, OTHER, THIRD = "node-a", "node-b", "node-c"
LOCAL = {"is_local": True, "health_port": 30123}


def settled(own: str, *others: str) -> Node:
    node = Node(own, others)
    node.run()
    return node


def successor(**fields) -> Node:
    """Another node owns the address; its endpoint ends, and serves still, and this node has the next one."""
    node = settled(OWN, OTHER, THIRD)
    node.allocate(ADDRESS, **{**LOCAL, **fields})
    node.endpoints(OTHER)
    assert node.run() == []
    node.endpoints(OWN, draining=(OTHER,))
    return node


def test_a_successor_announces_when_its_proxy_says_200() -> None:
    node = successor()
    assert node.run() == []
    node.proxies_say(Answer.NOT_READY)
    assert node.run() == []
    assert node.course.states() == {"ProxyNotReady": 1}
    assert not node.course.may_be_heard(ADDRESS, at(node.now))
    node.proxies_say(Answer.READY)
    assert node.run() == ANNOUNCED
    assert node.course.states() == {"Announced": 1}


@pytest.mark.parametrize(
    ("answer", "seconds"), [(Answer.REFUSED, REFUSED_WAIT_SECONDS), (Answer.NOT_READY, LONGEST_WAIT_SECONDS)]
)
def test_it_does_so_anyway_after_some_time(answer, seconds) -> None:
    node = successor()
    node.run()
    node.proxies_say(answer)
    node.now += seconds - 0.01
    assert node.run() == []
    node.now += 0.02
    assert node.run() == ANNOUNCED


def _the_endpoint_serves_no_longer(node: Node) -> None:
    node.endpoints(OWN)


def _the_speaker_dies(node: Node) -> None:
    node.course.decisions.set_alive(frozenset({OWN, THIRD}))


def _the_node_is_shut_down(node: Node) -> None:
    node.cluster.set_node(OTHER, facts(is_out_of_service=True))


@pytest.mark.parametrize("happens", [_the_endpoint_serves_no_longer, _the_speaker_dies, _the_node_is_shut_down])
def test_it_begins_at_once_when_nobody_serves_in_its_place(happens) -> None:
    node = successor()
    assert node.run() == []
    happens(node)
    assert node.run() == ANNOUNCED


def test_an_old_owner_that_does_not_serve_is_not_waited_for() -> None:
    node = settled(OWN, OTHER)
    node.allocate(ADDRESS, **LOCAL)
    node.endpoints(OTHER)
    node.run()
    node.endpoints(OWN)
    assert node.run() == ANNOUNCED


def test_what_was_there_at_first_is_announced_at_once() -> None:
    node = settled(OWN, OTHER)
    node.endpoints(OWN, draining=(OTHER,))
    node.allocate(ADDRESS, **LOCAL)
    assert node.run() == ANNOUNCED


def test_a_node_whose_endpoint_is_old_takes_over_at_once() -> None:
    """Its proxy had the time: the failover of a node that dies costs nothing more."""
    node = settled(THIRD, OTHER, OWN)
    node.allocate(ADDRESS, **LOCAL)
    node.endpoints(OTHER)
    node.run()
    node.endpoints(THIRD, OTHER)
    node.decide()
    node.now += LONGEST_WAIT_SECONDS + 0.1
    node.run()
    node.endpoints(THIRD, draining=(OTHER,))
    node.run()
    assert node.announced() == {ADDRESS}
    assert node.proxies.questions() == frozenset()


def test_who_announces_goes_on_when_its_endpoint_is_another_one() -> None:
    node = settled(OWN, OTHER)
    node.allocate(ADDRESS, **LOCAL)
    node.endpoints(OWN)
    node.run()
    node.endpoints(draining=(OWN,))
    assert node.run() == []
    node.endpoints(OWN, draining=(OTHER,))
    assert node.run() == []
    assert node.announced() == {ADDRESS}


def test_a_release_is_confirmed_while_the_address_waits() -> None:
    node = successor(uid="u1")
    node.run()
    node.release(ADDRESS, uid="u1", **LOCAL)
    assert node.run() == []
    assert node.released() == {"u1": 2}
    node.proxies_say(Answer.READY)
    assert node.run() == []


def test_the_policy_cluster_waits_for_nobody() -> None:
    node = settled(OWN, OTHER, THIRD)
    node.allocate(ADDRESS, health_port=30123)
    node.endpoints(OTHER)
    node.run()
    node.endpoints(OWN, draining=(OTHER,))
    node.course.decisions.set_alive(frozenset({OWN}))
    node.run()
    assert node.announced() == {ADDRESS}
    assert node.proxies.questions() == frozenset()


# ---- the old owner ----


def old_owner() -> Node:
    node = settled(OWN, OTHER)
    node.allocate(ADDRESS, **LOCAL)
    node.endpoints(OWN)
    assert node.run() == ANNOUNCED
    node.endpoints(OTHER, draining=(OWN,))
    assert node.run() == [HandOver((ADDRESS,))]
    return node


def test_the_old_owner_goes_on_for_the_successors_longest_wait() -> None:
    node = old_owner()
    node.now += LONGEST_WAIT_SECONDS + HANDOVER_SECONDS - 0.01
    assert node.run() == []
    node.now += 0.02
    assert node.run() == [Withdraw((ADDRESS,))]


def test_it_is_silent_when_it_sees_the_successors_frame() -> None:
    node = old_owner()
    node.now += 3.0
    assert node.run() == []
    node.course.conflict(Conflict(ADDRESS, "eth0", mac(2)), at(node.now))
    assert node.run() == [Withdraw((ADDRESS,))]


def test_it_goes_on_no_longer_than_any_other_when_its_endpoint_serves_no_more() -> None:
    node = old_owner()
    node.now += 1.0
    node.endpoints(OTHER)
    assert node.run() == []
    node.now += HANDOVER_SECONDS
    assert node.run() == [Withdraw((ADDRESS,))]


def test_one_that_is_the_owner_again_before_it_was_silent_goes_on_without_a_question() -> None:
    node = old_owner()
    node.endpoints(draining=(OTHER,))
    node.run()
    node.endpoints(OWN, draining=(OTHER,))
    assert node.run() == ANNOUNCED
    assert node.proxies.questions() == frozenset()
    node.now += 60.0
    assert node.run() == []


def test_a_release_does_not_wait_for_the_successor() -> None:
    node = old_owner()
    node.release(ADDRESS, **LOCAL)
    assert node.run() == [Withdraw((ADDRESS,))]
