"""Kinds of sessions, each with a router of its own beside the one that all tests of BGP have."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.client import LabClient
from lab.routers.base import NODE_ASN, ROUTER_ASN, Bfd, Router, RouterSettings, loopback_of
from lab.routers.frr import FrrDaemons
from lab.waiting import wait_for
from tests.e2e.bgp import BOTH, NODES, AddressWatch, bfd_settled, service

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

HOST, PEER = "router2", "second"
KINDS = ["bird", "frr"]
LONGEST_SECONDS = 40.0


def peering(lab: LabClient, **spec: object) -> None:
    """With the second router, over IPv4 unless `spec` has its other address."""
    lab.bgp_peer(PEER, host=HOST, **{"families": BOTH, **spec})


@contextmanager
def second(
    lab: LabClient, kind: str, settings: RouterSettings, *, over: str = "ipv4", **spec: object
) -> Iterator[Router]:
    """A router on `router2`, once every node has a session with it."""
    router = lab.cluster.start_router(kind, host=HOST, settings=settings)
    try:
        peering(lab, peerAddress=str(getattr(router.place.host, over)), **spec)
        lab.established(PEER, timeout_seconds=LONGEST_SECONDS)
        yield router
        lab.delete("bgppeer", PEER)
        lab.until("the second router has no route left", lambda: not router.prefixes())
    finally:
        lab.cluster.end_router(HOST)


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_over_ipv6_carries_both_families(routed: LabClient, kind: str) -> None:
    with second(routed, kind, RouterSettings(), over="ipv6") as router:
        routed.service("web", ipFamilyPolicy="RequireDualStack")
        for given in routed.addresses("web", count=2):
            routed.learned(given, *NODES, host=HOST)
            prefix = f"{given}/128" if ":" in given else f"{given}/32"
            hops = {node: route.next_hop for node, route in router.routes(prefix).items()}
            own = "ipv6" if ":" in given else "ipv4"
            assert hops == {node.name: str(getattr(node, own)) for node in routed.cluster.topology.nodes}
        routed.delete("service", "web")
        assert router.prefixes() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_an_internal_peer_gets_the_local_preference_and_no_as_path(routed: LabClient, kind: str) -> None:
    routed.bgp_advertisement("all", localPref=250, med=7)
    with second(routed, kind, RouterSettings(asn=NODE_ASN)) as router:
        given = service(routed)
        routed.learned(given, *NODES, host=HOST)
        told = {(one.local_pref, one.med, one.as_path) for one in router.routes(f"{given}/32").values()}
        assert told == {(250, 7, ())}
        routed.delete("service", "web")
        assert router.prefixes() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_of_our_confederation_gets_the_local_preference_and_a_path_of_its_own(
    routed: LabClient, kind: str
) -> None:
    routed.bgp_advertisement("all", localPref=250, med=7)
    with second(routed, kind, RouterSettings(confederation=65000), confederationMember=True) as router:
        given = service(routed)
        routed.learned(given, *NODES, host=HOST)
        told = {
            (one.local_pref, one.med, one.as_path, one.confed_sequence) for one in router.routes(f"{given}/32").values()
        }
        assert told == {(250, 7, (), (NODE_ASN,))}
        routed.delete("service", "web")
        assert router.prefixes() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_router_that_checks_the_ttl_has_a_session_with_a_peer_that_does_too_and_no_other(
    routed: LabClient, kind: str
) -> None:
    with second(routed, kind, RouterSettings(ttl_security=True), ttlSecurity=1) as router:
        given = service(routed)
        routed.learned(given, *NODES, host=HOST)
        peering(routed)
        routed.until("no session is left", lambda: not router.established(), timeout_seconds=LONGEST_SECONDS)
        time.sleep(3)
        assert router.established() == set()
        peering(routed, ttlSecurity=1)
        for node in NODES:  # BIRD waits for minutes for the OPEN of a connection whose packets it does not take
            router.shut(node)
            router.unshut(node)
        routed.established(PEER, timeout_seconds=LONGEST_SECONDS)
        routed.learned(given, *NODES, host=HOST)
        routed.delete("service", "web")
        assert router.prefixes() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_bfd_takes_the_routes_of_a_node_that_is_cut_off_long_before_the_hold_time(routed: LabClient, kind: str) -> None:
    routed.bfd_profile("fast", receiveIntervalMilliseconds=300, transmitIntervalMilliseconds=300, detectMultiplier=3)
    with second(routed, kind, RouterSettings(bfd=Bfd()), bfdProfile="fast", holdTimeSeconds=90) as router:
        bfd_settled(routed, PEER)
        given = service(routed)
        routed.learned(given, *NODES, host=HOST)
        began = time.monotonic()
        routed.cluster.faults.set_link("node1", "down")
        wait_for("its routes go", lambda: router.nodes_with(given) == {"node2", "node3"}, timeout_seconds=20)
        assert time.monotonic() - began < 5, "900 ms, and what a busy machine adds"
        routed.cluster.faults.set_link("node1", "up")
        routed.learned(given, *NODES, host=HOST, timeout_seconds=LONGEST_SECONDS)
        routed.delete("service", "web")
        assert router.prefixes() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_is_held_back_while_a_routers_bgp_process_hangs(routed: LabClient, kind: str) -> None:
    """Its TCP goes on, and so does its kernel, by the route that is withdrawn. The next owner has no route there."""
    routed.delete("bgpadvertisement", "all")
    routed.bgp_advertisement("old", serviceSelector={"matchLabels": {"owner": "old"}})
    routed.pool("pool", "192.0.2.77")
    with second(routed, kind, RouterSettings(installs=True)) as router:
        routed.service("old", labels={"owner": "old"})
        (given,) = routed.addresses("old")
        routed.service("new", labels={"owner": "new"})
        wait_for("the kernel has all ways", lambda: len(router.kernel_hops(given)) == 3, timeout_seconds=20)
        (process,) = [one for one in router.processes if kind == "bird" or one.name.endswith("bgpd")]
        watch = AddressWatch(routed, "new")
        try:
            process.freeze()
            routed.delete("service", "old", wait=False)
            until = time.monotonic() + 5.0
            while time.monotonic() < until:
                assert watch.at is None, "the address was given while the router forwards by the old route"
                assert len(router.kernel_hops(given)) == 3
            process.resume()
            went = wait_for("no route", lambda: not router.kernel_hops(given) and time.time(), timeout_seconds=20)
            assert watch.wait(30) > went - 0.1, "when that was seen is later than when it was so"
        finally:
            process.resume()
            watch.close()
        assert router.kernel_hops(given) == []
        routed.delete("service", "new")


RACKS = ("rack1", "rack2")


@contextmanager
def links(lab: LabClient) -> Iterator[None]:
    """Between node1 and the second router: two, without IPv4. The router has one and the same address on both."""
    for rack in RACKS:
        ends = f"ip link add {rack}-n type veth peer name {rack}-r"
        moved = f"ip link set {rack}-n netns node1 name {rack}; ip link set {rack}-r netns {HOST} name {rack}"
        lab.cluster.run(None, "sh", "-c", f"{ends}; {moved}")
        address = (
            f"ip link set {rack} addrgenmode none; ip link set {rack} up; ip address add fe80::1/64 dev {rack} nodad"
        )
        lab.cluster.run(HOST, "sh", "-c", address)
        lab.cluster.run(
            "node1", "sh", "-c", f"echo 0 >/proc/sys/net/ipv6/conf/{rack}/accept_dad; ip link set {rack} up"
        )
    try:
        yield
    finally:
        for rack in RACKS:
            lab.cluster.run("node1", "ip", "link", "del", rack)


def be_unnumbered(router: Router) -> None:
    """FRR is to have sessions with whom it finds on the links."""
    assert isinstance(router.daemons, FrrDaemons)
    families = [
        line
        for family in ("ipv4", "ipv6")
        for line in (f"address-family {family} unicast", *(f"neighbor {rack} activate" for rack in RACKS), "exit")
    ]
    sessions = [f"neighbor {rack} interface remote-as external" for rack in RACKS]
    router.daemons.tell("bgpd", "configure terminal", f"router bgp {ROUTER_ASN}", *sessions, *families)


def test_routers_that_are_found_on_links_get_routes_by_ipv6_next_hops_and_traffic_comes_by_them(
    routed: LabClient,
) -> None:
    """Two racks with the same addresses are two routers, in the node's memory too."""
    router = routed.cluster.start_router("frr", host=HOST, settings=RouterSettings(installs=True))
    only_node1 = {"nodeSelector": {"matchLabels": {"kubernetes.io/hostname": "node1"}}}
    try:
        with links(routed):
            be_unnumbered(router)
            for rack in RACKS:
                routed.bgp_peer(rack, host=HOST, interface=rack, **only_node1)
                routed.established(rack, {"node1"}, timeout_seconds=LONGEST_SECONDS)
            given = service(routed)

            def ways() -> set[str]:
                printed = routed.cluster.run(HOST, "ip", "route", "show", given)
                return {rack for rack in RACKS if "via inet6 fe80::" in printed and f"dev {rack}" in printed}

            wait_for("the router has both ways", lambda: ways() == set(RACKS), timeout_seconds=20)
            assert routed.cluster.fetch(f"http://{given}/", host=HOST)["body"].startswith("pod ")
            named = {one["address"] for one in routed.get("speakers", "node1")["status"]["routers"]}
            assert {f"fe80::1%{rack}" for rack in RACKS} <= named
            routed.delete("bgppeer", "rack2")
            wait_for("one way is left", lambda: ways() == {"rack1"}, timeout_seconds=20)
            assert routed.cluster.fetch(f"http://{given}/", host=HOST)["body"].startswith("pod ")
            routed.delete("service", "web")
            assert not ways()
            routed.delete("bgppeer", "rack1")
    finally:
        routed.cluster.end_router(HOST)


def test_each_node_opens_its_session_from_its_loopback_address_and_follows_it(routed: LabClient) -> None:
    """`sourceAddressFrom`: one BGPPeer for all. The routes name that address, wherever the router finds it."""
    cluster, nodes = routed.cluster, routed.cluster.topology.nodes
    router = cluster.start_router("bird", host=HOST, settings=RouterSettings(loopbacks=True))
    try:
        for node in nodes:
            cluster.run(HOST, "ip", "route", "add", str(loopback_of(node)), "via", str(node.ipv4))
            cluster.run(node.name, "ip", "address", "add", f"{loopback_of(node)}/32", "dev", "lo")
        peering(routed, families=["IPv4"], sourceAddressFrom={"interface": "lo"}, ebgpMultiHop=2)
        routed.established(PEER, timeout_seconds=LONGEST_SECONDS)
        given = service(routed)
        routed.learned(given, *NODES, host=HOST)
        hops = {node: route.next_hop for node, route in router.routes(f"{given}/32").items()}
        assert hops == {node.name: str(loopback_of(node)) for node in nodes}
        cluster.run("node1", "ip", "address", "del", f"{loopback_of(nodes[0])}/32", "dev", "lo")
        routed.condition("bgppeer", PEER, "Degraded", "NoNodeValue")
        routed.until("its session is gone", lambda: router.nodes_with(given) == {"node2", "node3"})
        cluster.run("node1", "ip", "address", "add", f"{loopback_of(nodes[0])}/32", "dev", "lo")
        routed.learned(given, *NODES, host=HOST, timeout_seconds=LONGEST_SECONDS)
        routed.delete("service", "web")
        assert router.prefixes() == {}
        routed.delete("bgppeer", PEER)
    finally:
        for node in nodes:
            cluster.run(node.name, "ip", "address", "flush", "dev", "lo", "to", f"{loopback_of(node)}/32", check=False)
        cluster.end_router(HOST)


def test_one_peer_is_another_router_for_each_node_by_rule(routed: LabClient) -> None:
    """node1 is in the rack of the first router, the others in that of the second one; then node1 moves."""
    asn = "example.com/asn"
    first, second_router = routed.cluster.routers["router"], routed.cluster.start_router("bird", host=HOST)
    places = {router: str(router.place.host.ipv4) for router in (first, second_router)}

    def place(node: str, router: Router) -> None:
        said = {"example.com/tor": places[router], asn: str(NODE_ASN)}
        routed.patch("node", node, {"metadata": {"annotations": said}})

    def racks(**where: object) -> None:
        routed.bgp_peer("racks", peerAddressFrom=where, myASN=None, myASNFrom={"nodeAnnotation": asn})

    def share(address: str, **nodes: set[str]) -> None:
        wanted = [nodes["first"], nodes["second"]]
        routed.until(
            "each node's router has its route",
            lambda: [router.nodes_with(address) for router in (first, second_router)] == wanted,
            timeout_seconds=LONGEST_SECONDS,
        )

    try:
        routed.delete("bgppeer", "tor")
        for node, router in zip(NODES, (first, second_router, second_router), strict=True):
            place(node, router)
        racks(nodeAnnotation="example.com/tor")
        routed.service("web")
        (given,) = routed.addresses("web")
        share(given, first={"node1"}, second={"node2", "node3"})
        place("node1", second_router)
        share(given, first=set(), second={*NODES})
        racks(defaultGateway={"interface": "eth0"})
        share(given, first={*NODES}, second=set())
        racks(nodeLabel="example.com/tor")
        routed.condition("bgppeer", "racks", "Ready", "NoNodeValue")
        share(given, first=set(), second=set())
        routed.delete("service", "web")
    finally:
        routed.delete("bgppeer", "racks")
        routed.cluster.end_router(HOST)
