"""What an IPAllocation and its Services say where kernels of nodes answer for the address."""

import json

from allocator.notices import of_conflict
from allocator.objects import StoredAllocation
from allocator.release.speakers import SpeakerState, SpeakerStatus
from allocator.status.allocation import differs_in_counts_only
from allocator.status.conflicts import of_transitions
from allocator.status.entries import Announcement, KernelEntry
from allocator.status.reports import Reports
from allocator.status.slices import decode_slice
from crds.meta import Condition
from crds.types import IPAllocationStatus
from kube.objects import Meta
from tests.allocator.build import address
from tests.allocator.status.records import after, status_of, stored

VIP = address("192.0.2.10")
NOW, LATER = "2026-03-01T00:00:00Z", "2026-03-01T00:00:09Z"
BY = {"n1": Announcement(("Layer2",), ("eth0",))}
IPVS = KernelEntry("192.0.2.10", "kube-ipvs0", "eth0")
LEFT_OVER = KernelEntry("192.0.2.10", "eth0", "eth0")


def told(record: StoredAllocation, **entries: KernelEntry) -> IPAllocationStatus:
    return status_of(record, BY, True, (), LATER, kernels=entries)


def kernel_condition(status: IPAllocationStatus) -> Condition | None:
    return next((one for one in status.conditions if one.type == "KernelAnswers"), None)


def test_the_nodes_whose_kernels_answer_are_named_with_the_setting_to_change() -> None:
    found = kernel_condition(told(stored(), n3=IPVS, n2=IPVS))
    assert found is not None
    assert (found.status, found.reason) == ("True", "HeldByNode")
    assert "n2 (has it on kube-ipvs0), n3 (has it on kube-ipvs0)" in found.message
    assert found.message.count("ipvs.strictARP") == 1


def test_each_kind_of_interface_has_its_own_advice() -> None:
    found = kernel_condition(told(stored(), n2=IPVS, n3=LEFT_OVER, n4=KernelEntry("192.0.2.10", "lo", "eth0")))
    assert found is not None
    assert "ipvs.strictARP" in found.message
    assert "take it off eth0 (ip address del)" in found.message
    assert "set net.ipv4.conf.all.arp_ignore to 1 on the node, or take it off lo" in found.message


def test_it_comes_and_goes_and_each_is_said_once() -> None:
    record = stored()
    quiet = told(record)
    assert kernel_condition(quiet) is None
    record = after(record, quiet)
    answered = told(record, n2=IPVS)
    (condition,) = of_transitions(record.conditions, answered.conditions)
    assert [(one.type, one.reason) for one in of_conflict(record, condition)] == [("Warning", "HeldByNode")]
    record = after(record, answered)
    more = told(record, n2=IPVS, n3=IPVS)
    assert of_transitions(record.conditions, more.conditions) == []
    assert differs_in_counts_only(record, more), "in a large cluster it is not written for each node that says so"
    healed = told(record)
    (condition,) = of_transitions(record.conditions, healed.conditions)
    assert [(one.type, one.reason) for one in of_conflict(record, condition)] == [("Normal", "KernelSilent")]
    assert not differs_in_counts_only(record, healed)


def test_what_the_speakers_report_is_taken_in_and_ends_with_the_report() -> None:
    reports = Reports()
    reports.speaker_seen("n2", SpeakerState(metadata=Meta(name="n2"), status=SpeakerStatus("i1")))
    entry = {"address": "192.0.2.10", "heldOn": "kube-ipvs0", "answersOn": "eth0"}
    raw = {"metadata": {"name": "n2.1"}, "spec": {"node": "n2"}}
    one = decode_slice(json.dumps(raw | {"status": {"incarnation": "i1", "kernelAnswers": [entry]}}).encode())
    reports.slice_seen("n2.1", None, one)
    assert reports.kernels.of(VIP) == {"n2": IPVS}
    assert reports.take_news().in_time == {"192.0.2.10"}
    none = decode_slice(json.dumps(raw | {"status": {"incarnation": "i1", "kernelAnswers": None}}).encode())
    reports.slice_seen("n2.1", one, none)
    assert reports.kernels.of(VIP) == {}
    assert reports.take_news().in_time == {"192.0.2.10"}
