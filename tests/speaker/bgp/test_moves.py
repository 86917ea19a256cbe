"""Routes of an address with the policy Local while its endpoint moves: there always is one to a node that serves."""

from speaker.bgp.decisions import Decisions
from speaker.bgp.prefixes import prefix_of
from speaker.cluster.state import ClusterState
from speaker.proxies.questions import Answer, ProxyAnswered, Question
from speaker.proxies.readiness import LONGEST_WAIT_SECONDS, REFUSED_WAIT_SECONDS, SETTLED_SECONDS, Readiness
from tests.speaker.bgp.test_decisions import ad, peer
from tests.speaker.make import allocation, node, slice_of, speaker

ADDRESS = "192.0.2.10"
OWN, OTHER, THIRD = "node-a", "node-b", "node-c"
HOSTS = {OWN: "172.30.0.1", OTHER: "172.30.0.2", THIRD: "172.30.0.3"}
PORT = 30123


class Router:
    """What a router is to have from this node. Nobody had an endpoint when the address was first seen."""

    def __init__(self, *ready: str, is_local: bool = True) -> None:
        self.now = 100.0
        self.cluster = ClusterState()
        self.proxies = Readiness(OWN)
        self.proxies.begin(self.cluster)
        self.bgp = Decisions(OWN, self.cluster, drain_seconds=5.0, proxies=self.proxies)
        for name, host in HOSTS.items():
            self.cluster.set_node(name, node(addresses=(host,)))
            self.cluster.set_speaker(name, speaker())
        self.cluster.set_bgp_peer("tor", peer())
        self.cluster.set_bgp_advertisement("all", ad())
        self.slice = None
        self.endpoints(*ready)
        self.is_local = is_local
        self.allocate()

    def allocate(self, **fields: bool) -> None:
        made = allocation(ADDRESS, is_local=self.is_local, health_port=PORT, **fields)
        self.cluster.set_allocation(made.name, made)

    def endpoints(self, *ready: str, draining: tuple[str, ...] = ()) -> None:
        made = slice_of(ready=ready, draining=draining)
        self.cluster.set_slice("default/web-1", self.slice, made)
        self.slice = made

    def has_route(self, *, after: float = 0.0) -> bool:
        self.now += after
        self.proxies.update(self.now)
        for name in self.proxies.take_settled():
            self.bgp.look_again(name)
        self.bgp.update(self.now, 1000)
        return prefix_of(ADDRESS) in self.bgp.routes("tor")

    def proxy_says(self, name: str, answer: Answer) -> None:
        question = Question(HOSTS[name], PORT)
        assert question in self.proxies.questions()
        self.proxies.answered(ProxyAnswered(question, answer), self.now)


def test_a_new_endpoint_is_advertised_when_the_nodes_proxy_is_ready() -> None:
    router = Router(OTHER)
    assert not router.has_route()
    router.endpoints(OWN, OTHER)
    assert not router.has_route()
    router.proxy_says(OWN, Answer.NOT_READY)
    assert not router.has_route(after=1.0)
    router.proxy_says(OWN, Answer.READY)
    assert router.has_route()


def test_or_when_it_took_too_long() -> None:
    router = Router(OTHER)
    router.has_route()
    router.endpoints(OWN, OTHER)
    assert not router.has_route()
    assert not router.has_route(after=LONGEST_WAIT_SECONDS - 0.01)
    assert router.has_route(after=0.02)


def test_while_nobody_else_serves_it_is_advertised_at_once() -> None:
    router = Router(OTHER)
    router.has_route()
    router.endpoints(OWN)
    assert router.has_route()
    router = Router(OTHER)
    router.has_route()
    router.cluster.set_speaker(OTHER, None)
    router.endpoints(OWN, OTHER)
    assert router.has_route()


def test_of_nodes_that_are_all_new_none_waits_for_the_others() -> None:
    router = Router()
    assert not router.has_route()
    router.endpoints(OWN, OTHER, THIRD)
    assert router.has_route()


def test_what_was_there_at_first_is_advertised_at_once_so_that_a_restart_takes_no_route_away() -> None:
    assert Router(OWN, OTHER).has_route()


def test_a_route_stays_until_a_moment_after_a_new_nodes_proxy_was_ready() -> None:
    router = Router(OWN)
    assert router.has_route()
    router.endpoints(OTHER, THIRD, draining=(OWN,))
    assert router.has_route()
    router.proxy_says(THIRD, Answer.NOT_READY)
    router.proxy_says(OTHER, Answer.READY)
    assert router.has_route()
    assert not router.has_route(after=SETTLED_SECONDS)


def test_where_nothing_listens_it_stays_for_that_time() -> None:
    router = Router(OWN)
    router.has_route()
    router.endpoints(OTHER, draining=(OWN,))
    assert router.has_route()
    router.proxy_says(OTHER, Answer.REFUSED)
    assert router.has_route(after=REFUSED_WAIT_SECONDS)
    assert router.has_route(after=SETTLED_SECONDS - 0.01)
    assert not router.has_route(after=0.02)


def test_it_stays_no_longer_than_the_longest_wait_and_a_moment() -> None:
    router = Router(OWN)
    router.has_route()
    router.endpoints(OTHER, draining=(OWN,))
    assert router.has_route()
    assert router.has_route(after=LONGEST_WAIT_SECONDS)
    assert not router.has_route(after=SETTLED_SECONDS)


def test_it_goes_at_once_when_the_endpoint_serves_no_longer() -> None:
    router = Router(OWN)
    router.has_route()
    router.endpoints(OTHER, draining=(OWN,))
    assert router.has_route()
    router.endpoints(OTHER)
    assert not router.has_route()


def test_it_goes_at_once_when_another_node_has_had_an_endpoint_for_long() -> None:
    router = Router(OWN, OTHER)
    router.has_route()
    router.endpoints(OTHER, draining=(OWN,))
    assert not router.has_route()


def test_a_node_that_had_no_route_gets_none_for_an_endpoint_that_ends() -> None:
    router = Router(THIRD)
    router.has_route()
    router.endpoints(OTHER, draining=(OWN,))
    assert not router.has_route()


def test_a_node_that_has_a_route_keeps_it_when_its_next_endpoint_is_new() -> None:
    router = Router(OWN, THIRD)
    router.has_route()
    router.endpoints(OTHER, draining=(OWN, THIRD))
    assert router.has_route()
    router.endpoints(OWN, OTHER, draining=(THIRD,))
    assert router.has_route()


def test_a_release_waits_for_nothing() -> None:
    router = Router(OWN)
    router.has_route()
    router.endpoints(OTHER, draining=(OWN,))
    assert router.has_route()
    router.allocate(is_releasing=True)
    assert not router.has_route()


def test_with_the_policy_cluster_nothing_is_asked() -> None:
    router = Router(OTHER, is_local=False)
    assert router.has_route()
    router.endpoints(OWN, OTHER)
    assert router.has_route()
    assert router.proxies.questions() == frozenset()
