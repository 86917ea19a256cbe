"""A pool that is the nodes' whole network, as many people write it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.client import LabClient

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

LATE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "late"}}


@pytest.fixture
def whole(lab: LabClient) -> Iterator[LabClient]:
    lab.all_serve()
    lab.advertise_all()
    lab.pool("whole", "172.30.0.0/24", "fd00:30::/64")
    yield lab
    lab.kubectl.run("delete", "node", "late", "--ignore-not-found")


def kept_out(lab: LabClient) -> dict[str, Any]:
    return {one["reason"]: one["addresses"] for one in lab.get("ippool", "whole")["status"].get("keptOut", [])}


def test_no_service_gets_what_is_the_networks_a_nodes_a_routers_or_the_api_servers(whole: LabClient) -> None:
    nodes = [f"172.30.0.{11 + number}" for number in range(len(whole.cluster.topology.nodes))]
    names = [f"web-{number}" for number in range(10)]
    for name in names:
        whole.service(name, ipFamilyPolicy="RequireDualStack")
    given = {one for name in names for one in whole.addresses(name, count=2)}
    reserved = {"172.30.0.0", "172.30.0.1", *nodes, "172.30.0.254", "172.30.0.255", "fd00:30::"}
    assert not given & reserved
    assert "172.30.0.14" in given
    found = whole.until("the pool says what it keeps out", lambda: kept_out(whole) or None)
    assert set(found["NodeAddress"]) >= {f"{one} (node{number})" for number, one in enumerate(nodes, 1)}
    assert found["APIServer"] == ["172.30.0.1 (Service default/kubernetes)"]
    assert "172.30.0.254 (172.30.0.0/24)" in found["Gateway"]
    assert set(found["NetworkEnd"]) == {
        "172.30.0.0 (172.30.0.0/24)",
        "172.30.0.255 (172.30.0.0/24)",
        "fd00:30:: (fd00:30::/64)",
    }

    held = whole.addresses("web-0", count=2)
    whole.kubectl.apply(LATE)
    listed = {"status": {"addresses": [{"type": "InternalIP", "address": held[0]}]}}
    whole.kubectl("patch", "node", "late", "--subresource=status", "--type=merge", f"--patch={json.dumps(listed)}")
    whole.event("service", "web-0", "AddressTaken")
    assert held[0] in whole.condition("ippool", "whole", "Conflicted", "AddressTaken")["message"]
    assert whole.addresses("web-0", count=2) == held
