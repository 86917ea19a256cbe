"""An endpoint moves, policy Local, and the proxy of the node that it comes to is slow: no request is lost.

But for one that is under way in the moment when the address moves: the new node does not know its connection.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.client import LabClient
from tests.e2e.bgp import TableSampler, bird
from tests.e2e.test_bgp import LEAVING, READY, endpoint
from tests.e2e.test_layer2 import web

__all__ = ["web"]

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

FROZEN_SECONDS = 5.0
AS_IT_MOVES: tuple[list[str], ...] = ([], ["[Errno 104] Connection reset by peer"])
"""What may become of requests one after the other while the address moves."""


@contextmanager
def frozen_proxies(lab: LabClient) -> Iterator[None]:
    proxies = lab.cluster.processes["workload"]
    proxies.freeze()
    try:
        yield
    finally:
        proxies.resume()


def local_service(lab: LabClient) -> str:
    """Its one endpoint is on node1."""
    lab.service("moved", selector=None, externalTrafficPolicy="Local")
    lab.endpoint_slice("moved", endpoint("node1", **READY))
    (address,) = lab.addresses("moved")
    lab.until("it is served", lambda: lab.cluster.fetch(f"http://{address}/").get("body"))
    return address


def failures(lab: LabClient, address: str, seconds: float) -> list[str]:
    """Of requests one after the other."""
    until, failed = time.monotonic() + seconds, []
    while time.monotonic() < until:
        fetched = lab.cluster.fetch(f"http://{address}/", timeout_seconds=0.9)
        if "body" not in fetched:
            failed.append(fetched["error"])
    return failed


def test_an_address_moves_with_its_endpoint_when_the_nodes_proxy_is_ready_and_no_request_is_lost(
    web: LabClient,
) -> None:
    address = local_service(web)
    with frozen_proxies(web):
        web.endpoint_slice("moved", endpoint("node1", **LEAVING), endpoint("node3", **READY))
        assert failures(web, address, FROZEN_SECONDS) == []
        assert web.found_at(address) == "node1"
    assert failures(web, address, 2.0) in AS_IT_MOVES
    web.until("the new node has it", lambda: web.found_at(address) == "node3")


def test_a_router_has_a_route_to_a_node_that_serves_at_each_moment(routed: LabClient) -> None:
    address = local_service(routed)
    with TableSampler(bird(routed), f"{address}/32") as sampler:
        with frozen_proxies(routed):
            routed.endpoint_slice("moved", endpoint("node1", **LEAVING), endpoint("node3", **READY))
            assert failures(routed, address, 2.0) == []
            assert bird(routed).nodes_with(address) == {"node1"}
        assert failures(routed, address, 1.0) in AS_IT_MOVES
        routed.learned(address, "node3")
    assert all(sample.routes for sample in sampler.samples)
