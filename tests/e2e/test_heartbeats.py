"""Heartbeats in a whole cluster: with the chart's key and rights, and through the replacement of that key."""

import json
import time

import pytest

from lab.client import LabClient

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

SECRET = ("secret", "berth-heartbeat", "--namespace=berth-system")
RECEIVED = "berth_heartbeats_received_total"
LOST = "a peer is not heard any more"


def heard(lab: LabClient, node: str) -> int:
    return int(lab.metric(node, 'berth_members{state="heard"}') or 0)


def all_hear_all(lab: LabClient) -> bool:
    nodes = [node.name for node in lab.cluster.topology.nodes]
    return all(heard(lab, node) == len(nodes) - 1 for node in nodes)


@pytest.fixture
def talking(lab: LabClient) -> LabClient:
    lab.until("all speakers hear each other", lambda: all_hear_all(lab))
    return lab


def losses(lab: LabClient) -> int:
    return sum(lab.cluster.speaker(node.name).log_path.read_text().count(LOST) for node in lab.cluster.topology.nodes)


def test_all_speakers_hear_each_other_and_say_so(talking: LabClient) -> None:
    for node in talking.cluster.topology.nodes:
        talking.reported(node.name, "PeersHeard", "HearingPeers")
        talking.until("they are counted", lambda name=node.name: (talking.metric(name, RECEIVED) or 0) > 0)
        assert not talking.metric(node.name, 'berth_heartbeats_dropped_total{reason="unsigned"}')


def test_a_speaker_that_is_killed_is_lost_and_heard_again_when_it_is_back(talking: LabClient) -> None:
    victim = talking.cluster.speaker("node3")
    victim.kill()
    began = time.monotonic()
    talking.until("node3 is lost", lambda: heard(talking, "node1") == 1 and heard(talking, "node2") == 1)
    assert time.monotonic() - began < 4  # far below what a Lease takes
    victim.start()
    talking.until("node3 is heard again", lambda: all_hear_all(talking))


def test_the_key_is_replaced_without_losing_anybody(talking: LabClient) -> None:
    """The steps of docs/layer2.md, with the kubelets' part played by the lab."""
    before = losses(talking)
    old = json.loads(talking.kubectl("get", *SECRET, "--output=json"))["data"]["key"]
    new = "bmV3ZXIgdGhhbiB0aGUgb25lIGJlZm9yZQ=="
    for data in ({"next": new}, {"key": new, "next": None, "previous": old}, {"previous": None}):
        talking.kubectl("patch", *SECRET, "--type=merge", f"--patch={json.dumps({'data': data})}")
        talking.cluster.kubelet.sync_secrets()
        time.sleep(4)  # speakers read their keys every three seconds
    assert all_hear_all(talking)
    assert losses(talking) == before
    assert json.loads(talking.kubectl("get", *SECRET, "--output=json"))["data"] == {"key": new}


def test_a_broken_secret_changes_nothing_but_is_complained_about(talking: LabClient) -> None:
    before = losses(talking)
    present = json.loads(talking.kubectl("get", *SECRET, "--output=json"))["data"]["key"]
    try:
        talking.kubectl("patch", *SECRET, "--type=merge", '--patch={"data": {"key": "c2hvcnQ="}}')
        talking.cluster.kubelet.sync_secrets()
        told = talking.reported("node1", "PeersHeard", "KeysUnusable")
        assert "16 to 128 bytes, this one 5" in told["message"]
    finally:
        talking.kubectl("patch", *SECRET, "--type=merge", f'--patch={{"data": {{"key": "{present}"}}}}')
        talking.cluster.kubelet.sync_secrets()
    talking.reported("node1", "PeersHeard", "HearingPeers")
    assert losses(talking) == before
