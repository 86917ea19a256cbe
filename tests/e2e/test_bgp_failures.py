"""What routers have while speakers stop, die and freeze, and sessions break: nothing that nobody stands for.

And no address gets a second owner while a router may still have the first one's route.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.client import LabClient
from lab.waiting import wait_for
from tests.e2e.bgp import (
    GRACEFUL_SHUTDOWN,
    NODES,
    PERMIT_SECONDS,
    AddressWatch,
    TableSampler,
    bfd_settled,
    bird,
    peering,
    repeating,
    service,
    settled,
)

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

ONE_ADDRESS = "192.0.2.77"
PREFIX = f"{ONE_ADDRESS}/32"
OLD, NEW = (64512, 1), (64512, 2)
FREEZE_SECONDS = 40.0
FLOWS = 12


@contextmanager
def frozen_engines(lab: LabClient, node: str) -> Iterator[None]:
    """The ExaBGP processes of the node's speaker stand still; those that are started anew do not."""
    pids = lab.cluster.engines(node)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in set(pids) & set(lab.cluster.engines(node)):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def trouble(lab: LabClient, kind: str) -> Iterator[None]:
    """What goes on while an address passes from one Service to the next."""
    router = bird(lab)
    if kind == "nothing":
        yield
    elif kind == "a session is shut down":
        router.shut("node1")
        try:
            yield
        finally:
            router.unshut("node1")
    elif kind == "a router flaps":
        with repeating(lambda: [router.restart_session(node) for node in NODES], every_seconds=1.0):
            yield
    elif kind == "an ExaBGP stands still":
        with frozen_engines(lab, "node1"):
            yield


@pytest.mark.parametrize("kind", ["nothing", "a session is shut down", "a router flaps", "an ExaBGP stands still"])
def test_the_next_service_gets_the_address_when_no_router_has_the_old_route(routed: LabClient, kind: str) -> None:
    two_owners(routed)
    with TableSampler(bird(routed), PREFIX) as sampler:
        watch = AddressWatch(routed, "new")
        try:
            with trouble(routed, kind):
                assert watch.at is None
                routed.delete("service", "old", wait=False)
                given = watch.wait(60)
                time.sleep(0.3)  # the trouble lasts until after that
        finally:
            watch.close()
        assert watch.address == ONE_ADDRESS
        routed.until("all have the new route", lambda: holding(routed, NEW) == set(NODES), timeout_seconds=40)
    assert any(sample.nodes(OLD) for sample in sampler.samples), "the old route was seen while it was there"
    late = [sample for sample in sampler.samples if sample.at > given and sample.nodes(OLD)]
    assert late == [], f"the address was given at {given}"
    assert all(not (sample.nodes(OLD) and sample.nodes(NEW)) for sample in sampler.samples)


def test_a_route_that_a_router_keeps_through_a_restart_holds_the_address_back(routed: LabClient) -> None:
    """The speaker that comes back knows nothing of it: its predecessor was killed, under graceful restart."""
    peering(routed, gracefulRestart={"restartTimeSeconds": 60})
    two_owners(routed)
    speaker = routed.cluster.speaker("node2")
    speaker.kill()
    routed.until("its session has ended", lambda: "node2" not in bird(routed).established())
    with TableSampler(bird(routed), PREFIX) as sampler:
        watch = AddressWatch(routed, "new")
        try:
            routed.delete("service", "old", wait=False)
            routed.until("only the kept route is left", lambda: holding(routed, OLD) == {"node2"})
            speaker.start()
            given = watch.wait(60)
        finally:
            watch.close()
        routed.until("all have the new route", lambda: holding(routed, NEW) == set(NODES), timeout_seconds=40)
    assert [sample for sample in sampler.samples if sample.at > given and sample.nodes(OLD)] == []
    assert all(not (sample.nodes(OLD) and sample.nodes(NEW)) for sample in sampler.samples)
    peering(routed)


def two_owners(lab: LabClient) -> None:
    """A pool of one address: `old` has it, `new` waits for it, and their routes can be told apart."""
    lab.delete("bgpadvertisement", "all")
    for name, community in (("old", OLD), ("new", NEW)):
        selector = {"matchLabels": {"owner": name}}
        lab.bgp_advertisement(name, serviceSelector=selector, communities=[":".join(map(str, community))])
    lab.pool("pool", ONE_ADDRESS)
    lab.service("old", labels={"owner": "old"})
    assert lab.addresses("old") == [ONE_ADDRESS]
    lab.service("new", labels={"owner": "new"})
    lab.condition("service", "new", "berth.dev/Allocated", "PoolExhausted")
    lab.until("all have the old route", lambda: holding(lab, OLD) == set(NODES))


def holding(lab: LabClient, community: tuple[int, int]) -> set[str]:
    """The nodes that the router has the address from, with that community."""
    routes = bird(lab).routes(PREFIX)
    return {node for node, route in routes.items() if community in route.communities}


def test_a_clean_stop_moves_traffic_away_and_then_withdraws(routed: LabClient) -> None:
    address = service(routed)
    # Without a route that it knows to be sent it does not drain: it hears of that later than the router has the route.
    routed.until("it counts its route", lambda: routed.bgp_sessions()["node2"]["routesSent"] == 1)
    speaker = routed.cluster.speaker("node2")
    with TableSampler(bird(routed), f"{address}/32") as sampler:
        assert speaker.stop(timeout_seconds=30) == 0
        assert bird(routed).nodes_with(address) == {"node1", "node3"}
    assert any(sample.nodes(GRACEFUL_SHUTDOWN) == {"node2"} for sample in sampler.samples)
    assert routed.get("speaker", "node2")["status"]["goodbye"] is True
    speaker.start()
    routed.learned(address, *NODES, timeout_seconds=40)


@pytest.mark.alone
def test_with_graceful_restart_no_packet_is_lost_while_a_speaker_restarts(routed: LabClient) -> None:
    peering(routed, gracefulRestart={"restartTimeSeconds": 60})
    cluster = routed.cluster
    for node in cluster.topology.nodes:
        cluster.start_script(f"flow-{node.pod}", node.pod, "flow.py", "serve", node.name)
    ports = [{"name": "flow", "port": 9999, "targetPort": 9999}]
    address = service(routed, externalTrafficPolicy="Local", ports=ports)
    wait_for("the kernel has all ways", lambda: len(bird(routed).kernel_hops(address)) == 3, timeout_seconds=20)
    flows = cluster.start_script("flows", "client", "flow.py", "keep", address, f"--connections={FLOWS}")
    log = cluster.processes[flows].log_path
    wait_for("flows are open", lambda: "open" in log.read_text(), timeout_seconds=20)
    speaker = cluster.speaker("node2")
    assert speaker.stop(timeout_seconds=30) == 0
    wait_for("its session has ended", lambda: "node2" not in bird(routed).established(), timeout_seconds=20)
    assert bird(routed).nodes_with(address) == set(NODES)
    speaker.start()
    settled(routed)
    time.sleep(1.0)
    assert bird(routed).nodes_with(address) == set(NODES)
    told = [json.loads(line) for line in cluster.end_script(flows) if line.startswith('{"server"')]
    for node in cluster.topology.nodes:
        cluster.end_script(f"flow-{node.pod}")
    assert len(told) == FLOWS
    assert {flow["server"] for flow in told} >= {"node2"}
    lost = [flow for flow in told if flow["sent_again"] or flow["error"] or flow["lines"] != flow["answered"]]
    assert lost == []
    peering(routed)


def test_the_routes_of_a_killed_speaker_go_and_come_back_with_it(routed: LabClient) -> None:
    address = service(routed)
    speaker = routed.cluster.speaker("node3")
    began = time.time()
    speaker.kill()
    routed.learned(address, "node1", "node2")
    (gone,) = [event for event in bird(routed).route_events(since=began) if event.node == "node3" and event.removed]
    assert gone.at - began < 3
    speaker.start()
    routed.learned(address, *NODES, timeout_seconds=40)


def test_a_frozen_speakers_routes_go_and_what_it_had_is_given_to_nobody_until_it_is_back(routed: LabClient) -> None:
    two_owners(routed)
    speaker = routed.cluster.speaker("node1")
    speaker.freeze()
    frozen = time.monotonic()
    routed.until("its routes go", lambda: holding(routed, OLD) == {"node2", "node3"}, timeout_seconds=PERMIT_SECONDS)
    routed.delete("service", "old", wait=False)
    routed.until("nobody's route is left", lambda: not bird(routed).routes(PREFIX))
    watch = AddressWatch(routed, "new")
    try:
        while time.monotonic() < frozen + FREEZE_SECONDS:
            assert watch.at is None, "the address was given while its old speaker may still have it"
            assert bird(routed).routes(PREFIX) == {}
            time.sleep(0.2)
        speaker.resume()
        watch.wait(30)
    finally:
        watch.close()
    routed.until("all have the new route", lambda: holding(routed, NEW) == set(NODES), timeout_seconds=40)


@pytest.mark.alone
def test_with_bfd_a_node_that_is_cut_off_loses_its_routes_within_a_second_or_so(routed: LabClient) -> None:
    routed.bfd_profile("fast", receiveIntervalMilliseconds=300, transmitIntervalMilliseconds=300, detectMultiplier=3)
    peering(routed, bfdProfile="fast")
    bfd_settled(routed)
    address = service(routed)
    began = time.time()
    routed.cluster.faults.set_link("node1", "down")
    routed.learned(address, "node2", "node3")
    gone = max(event.at for event in bird(routed).route_events(since=began) if event.node == "node1" and event.removed)
    assert gone - began < 2.5, "900 ms, and what a busy machine adds"
    routed.cluster.faults.set_link("node1", "up")
    routed.learned(address, *NODES, timeout_seconds=40)
    peering(routed)


def test_with_an_api_server_that_is_away_routes_stay_and_nothing_is_withdrawn(routed: LabClient) -> None:
    address = service(routed)
    began = time.time()
    server = routed.cluster.processes["apiserver"]
    server.freeze()
    try:
        time.sleep(12)
        assert bird(routed).nodes_with(address) == set(NODES)
    finally:
        server.resume()
    assert [event for event in bird(routed).route_events(since=began) if event.removed] == []


def test_a_router_that_dies_gets_all_routes_again_when_it_is_back(routed: LabClient) -> None:
    address = service(routed)
    router = bird(routed)
    router.kill()
    router.start()
    settled(routed)
    routed.learned(address, *NODES, timeout_seconds=40)
    client_url = f"http://{address}/"
    routed.until("the client reaches it", lambda: routed.cluster.fetch(client_url).get("body"))
