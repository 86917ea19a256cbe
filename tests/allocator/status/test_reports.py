"""Which reports count, and how a slice is read."""

import json
import operator
from typing import Any

import pytest

from allocator.release.speakers import SpeakerState, SpeakerStatus
from allocator.status.announcers import Said
from allocator.status.entries import Announcement, Fault, Session, Sighting
from allocator.status.reports import Reports
from allocator.status.slices import Slice, decode_slice
from kube.objects import Meta
from tests.allocator.build import address

VIP = address("192.0.2.10")
ETH0 = Announcement(("Layer2",), ("eth0",))
ON_ETH0 = Said(("192.0.2.10",), (ETH0,))


def speaker(incarnation: str = "i1", **status: Any) -> SpeakerState:
    return SpeakerState(metadata=Meta(name="n1"), status=SpeakerStatus(incarnation, **status))


SLICE = Slice("n1", "i1", ON_ETH0, sessions=(Session("tor1", "Established"),))


def counting(*, first: SpeakerState | None, then: SpeakerState | None) -> list[str]:
    """The addresses of SLICE that count, when this is said before and after it is seen."""
    reports = Reports()
    if first is not None:
        reports.speaker_seen("n1", first)
    reports.slice_seen("n1.0", None, SLICE)
    reports.take_news()
    reports.speaker_seen("n1", then)
    assert bool(reports.announcers.of(VIP)) == bool(reports.bgp.sessions("tor1"))
    return sorted(reports.announcers.of(VIP))


def test_a_slice_counts_while_the_speaker_names_the_process_that_wrote_it() -> None:
    assert counting(first=speaker(), then=speaker()) == ["n1"]
    assert counting(first=None, then=speaker()) == ["n1"]
    assert counting(first=speaker("i0"), then=speaker()) == ["n1"]
    assert counting(first=speaker(), then=speaker("i2")) == []
    assert counting(first=None, then=None) == []


def test_no_slice_counts_after_a_goodbye_or_when_the_speaker_is_gone() -> None:
    assert counting(first=speaker(), then=speaker(goodbye=True)) == []
    assert counting(first=speaker(), then=None) == []


def test_processes_that_do_not_say_which_they_are_report_nothing() -> None:
    reports = Reports()
    reports.slice_seen("n1.0", None, Slice("n1", "", ON_ETH0))
    reports.speaker_seen("n1", speaker(""))
    assert not reports.announcers.of(VIP)


def test_a_slice_that_is_deleted_or_says_less_is_news() -> None:
    reports = Reports()
    reports.speaker_seen("n1", speaker())
    reports.slice_seen("n1.0", None, SLICE)
    news = reports.take_news()
    assert (news.at_once, news.is_about_peers) == ({"192.0.2.10"}, True)
    less = Slice("n1", "i1", Said(), sessions=SLICE.sessions)
    reports.slice_seen("n1.0", SLICE, less)
    news = reports.take_news()
    assert (news.at_once, news.is_about_peers) == ({"192.0.2.10"}, False)
    reports.slice_seen("n1.0", less, None)
    news = reports.take_news()
    assert (news.at_once, news.is_about_peers) == (set(), True)
    reports.speaker_seen("n1", speaker("i2"))
    reports.speaker_seen("n1", speaker())
    assert not reports.bgp.sessions("tor1"), "a deleted slice does not come back"


def body(**status: Any) -> bytes:
    return json.dumps({"metadata": {"name": "n1.0"}, "spec": {"node": "n1"}, "status": status}).encode()


def test_a_slice_is_read_from_the_wire() -> None:
    read = decode_slice(
        body(
            incarnation="i1",
            announcements={"192.0.2.10": {"protocols": ["Layer2"], "interfaces": ["eth0"], "since": "x"}},
            conflicts=[{"address": "192.0.2.10", "mac": "02:00:00:00:00:66", "interface": "eth0", "count": 3}],
            bgpSessions=[{"peer": "tor1", "state": "Active", "lastError": "no route"}],
            faults=[{"object": "BGPPeer/tor1", "reason": "InvalidSpec", "message": "odd"}],
            heard=[{"node": "n2"}],
        )
    )
    assert read == Slice(
        "n1",
        "i1",
        ON_ETH0,
        (Sighting("192.0.2.10", "02:00:00:00:00:66", "eth0"),),
        (Session("tor1", "Active", "no route"),),
        (Fault("BGPPeer/tor1", "InvalidSpec", "odd"),),
    )
    assert decode_slice(body(announcements=None, conflicts=None, bgpSessions=None, faults=None)) == Slice(
        "n1", "", Said()
    )
    assert decode_slice(b'{"metadata":{"name":"n1.0"},"spec":{"node":"n1"},"status":null}') == Slice("n1", "", Said())


def test_what_many_nodes_say_alike_is_kept_once() -> None:
    said = {f"192.0.2.{number}": {"protocols": ["BGP"], "peers": ["tor1"]} for number in range(100)}
    one, other = (decode_slice(body(incarnation=name, announcements=said)) for name in ("i1", "i2"))
    assert one.announced == other.announced
    assert one.announced.how is other.announced.how
    assert all(map(operator.is_, one.announced.addresses, other.announced.addresses))


@pytest.mark.parametrize("status", [{"announcements": {"192.0.2.10": 7}}, {"incarnation": []}, {"faults": [None]}])
def test_a_slice_that_makes_no_sense_is_refused_for_the_informer_to_skip(status: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        decode_slice(body(**status))
