"""What a Service says of its address on a running cluster: who announces it, why nobody does, and where it moved."""

import pytest

from crds.names import LABEL_EXCLUDE_NODE
from lab.client import LabClient

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

ADDRESS = "172.30.0.200"


def exclude(lab: LabClient, value: str | None, *nodes: str) -> None:
    for node in nodes or [one.name for one in lab.cluster.topology.nodes]:
        lab.patch("node", node, {"metadata": {"labels": {LABEL_EXCLUDE_NODE: value}}})


def test_the_service_says_why_nobody_announces_its_address_and_then_who_does(lab: LabClient) -> None:
    lab.pool("edge", ADDRESS, publish="WhenAnnounced")
    lab.service("told")
    assert "publish: WhenAnnounced" in lab.condition("service", "told", "berth.dev/Allocated", "Allocated")["message"]
    lab.condition("service", "told", "berth.dev/Announced", "NoAdvertisement")
    assert not lab.get("service", "told")["status"]["loadBalancer"].get("ingress"), "nobody answers there"
    lab.event("service", "told", "NotAnnounced")
    lab.advertise_all()
    assert lab.addresses("told") == [ADDRESS]
    lab.event("service", "told", " Announced ")
    owner = lab.until("somebody announces it", lambda: lab.announcer(ADDRESS))
    told = lab.condition("service", "told", "berth.dev/Announced", "Announcing")
    assert told["message"] == f"{ADDRESS}: announced, Layer2 on {owner}"
    try:
        exclude(lab, "", owner)
        lab.event("service", "told", f"moved from {owner} to ")
        log = lab.until("the heir says so", lambda: taken_over(lab, owner))
        assert f"before={owner}" in log
        assert "is excluded by the label" in log
        exclude(lab, "")
        told = lab.condition("service", "told", "berth.dev/Announced", "NoEligibleNode")
        assert f"{owner} is excluded by the label {LABEL_EXCLUDE_NODE}" in told["message"]
        assert lab.addresses("told") == [ADDRESS], "once published it stays"
    finally:
        exclude(lab, None)


def taken_over(lab: LabClient, before: str) -> str | None:
    """The line of the log of the node that took the address over from that one."""
    for node in lab.cluster.topology.nodes:
        log = lab.cluster.speaker(node.name).log_path.read_text()
        found = [line for line in log.splitlines() if "address taken over" in line and f"before={before}" in line]
        if found:
            return found[-1]
    return None
