"""ARP and NDP frames on the bridge: recorded from real packets, and read as claims."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.net import hosts
from lab.net.claims import Claim, OwnershipSpan, claims_of, ownership_spans
from lab.net.netns import HUB, Sandbox
from lab.process import Process
from lab.scripts import script
from lab.waiting import wait_for


def line(at: float, mac: str, ip: str = "172.30.0.200", op: int = 2) -> str:
    return json.dumps({"at": at, "op": op, "sender_mac": mac, "sender_ip": ip, "target_ip": "172.30.0.100"})


def test_only_frames_that_claim_the_address_count() -> None:
    lines = ['{"listening": "br0"}', line(1, "aa"), line(2, "bb", ip="172.30.0.100", op=1), line(3, "cc")]
    assert claims_of(lines, "172.30.0.200") == [Claim(1, "aa"), Claim(3, "cc")]
    assert claims_of(lines, "172.30.0.200", since=2) == [Claim(3, "cc")]


def test_a_line_that_is_still_being_written_is_left_for_later() -> None:
    assert claims_of([line(1, "aa")[:-5]], "172.30.0.200") == []


def test_claims_of_one_node_in_a_row_are_one_reign() -> None:
    claims = [Claim(1, "aa"), Claim(2, "aa"), Claim(3, "bb"), Claim(4, "aa"), Claim(5, "zz")]
    assert ownership_spans(claims, {"aa": "node1", "bb": "node2"}) == [
        OwnershipSpan("node1", 1, 2, 2),
        OwnershipSpan("node2", 3, 3, 1),
        OwnershipSpan("node1", 4, 4, 1),
        OwnershipSpan("zz", 5, 5, 1),
    ]


def test_who_hands_over_may_claim_it_until_it_has_seen_the_successor() -> None:
    claims = [Claim(1, "aa"), Claim(2, "bb"), Claim(2.004, "aa"), Claim(2.1, "bb"), Claim(2.2, "aa")]
    assert ownership_spans(claims, {"aa": "node1", "bb": "node2"}, hand_over_seconds=0.1) == [
        OwnershipSpan("node1", 1, 2.004, 2),
        OwnershipSpan("node2", 2, 2.1, 2),
        OwnershipSpan("node1", 2.2, 2.2, 1),
    ]


@pytest.mark.root
@pytest.mark.lab
class TestRealFrames:
    @pytest.fixture
    def recorder(self, sandbox: Sandbox, tmp_path: Path) -> Iterator[Process]:
        hosts.build(sandbox, hosts.plan_topology(2))
        command = [*script("sniff.py"), "br0"]
        process = Process("sniffer", command, log_path=tmp_path / "log", enter=sandbox.namespaces.enter(HUB))
        process.start()
        wait_for("it listens", lambda: "listening" in process.log_path.read_text(), timeout_seconds=10)
        yield process
        process.kill()

    @pytest.mark.parametrize("address", ["172.30.0.11", "fd00:30::11"])
    def test_a_reply_between_two_other_hosts_is_heard(self, sandbox: Sandbox, recorder: Process, address: str) -> None:
        sandbox.namespaces.run("client", ["ping", "-c1", "-W2", address])
        mac = hosts.interface_mac(sandbox.namespaces, "node1")
        heard = wait_for(
            "the reply is recorded",
            lambda: claims_of(recorder.log_path.read_text().splitlines(), address) or None,
            timeout_seconds=5,
        )
        assert {claim.mac for claim in heard} == {mac}
