"""What operators do by command while Services are served: move one, and drain a node."""

import time

import pytest

from cli.__main__ import main
from lab.client import LabClient
from lab.net.claims import ownership_spans

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def web(lab: LabClient) -> LabClient:
    """Service `web`, announced."""
    if "sniffer" not in lab.cluster.processes:
        lab.cluster.record_segment()
    lab.all_serve()
    lab.pool("edge", "172.30.0.200-172.30.0.204")
    lab.pool("inner", "172.30.0.205-172.30.0.209", autoAssign=False)
    lab.advertise_all()
    lab.service("web")
    lab.until("it is announced", lambda: lab.announcer(lab.addresses("web")[0]))
    return lab


def berth(lab: LabClient, *arguments: str) -> int:
    return main([*arguments, "--kubeconfig", str(lab.cluster.kubeconfig)])


def test_a_service_moves_to_a_pool_and_to_a_node(web: LabClient) -> None:
    before = web.addresses("web")
    assert berth(web, "move", "svc/web", "--to", "inner", "--wait", "--timeout", "30s") == 0
    (address,) = web.addresses("web")
    assert address.startswith("172.30.0.20")
    assert address not in before
    assert not web.exists("ipallocation", "v4-" + before[0].replace(".", "-"))
    other = next(node.name for node in web.cluster.topology.nodes if node.name != web.announcer(address))
    assert berth(web, "move", "svc/web", "--to", other, "--wait", "--timeout", "30s") == 0
    assert web.found_at(address) == other


def test_a_node_is_drained_when_others_answer_for_all_that_it_had(web: LabClient) -> None:
    (address,) = web.addresses("web")
    node = web.announcer(address)
    assert node is not None
    since = time.monotonic()
    try:
        assert berth(web, "drain", node, "--wait", "--timeout", "30s") == 0
        assert web.announcer(address) not in (None, node)
        owners = [one.node for one in ownership_spans(web.cluster.claims(address, since=since), web.cluster.macs())]
        assert owners[-1] != node
    finally:
        assert berth(web, "undrain", node) == 0
    web.until("it is back", lambda: web.found_at(address) == node)


def test_a_node_that_alone_has_the_pods_of_a_local_service_is_drained_by_force_only(
    web: LabClient, capsys: pytest.CaptureFixture[str]
) -> None:
    (address,) = web.addresses("web")
    node, *others = [node.name for node in web.cluster.topology.nodes]
    web.patch("service", "web", {"spec": {"externalTrafficPolicy": "Local"}})
    try:
        for one in others:
            web.cluster.kubelet.set_pod_ready(one, False)
        web.until("the node with the endpoint has it", lambda: web.found_at(address) == node)
        assert berth(web, "drain", node) == 2
        said = capsys.readouterr()
        assert f"{address} of svc/default/web can't: its only ready endpoints are on {node}" in said.out
        assert "nobody would announce 1 of the addresses" in said.err
        assert web.found_at(address) == node
    finally:
        for one in others:
            web.cluster.kubelet.set_pod_ready(one, True)
        web.patch("service", "web", {"spec": {"externalTrafficPolicy": None}})
