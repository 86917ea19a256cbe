"""One entry for an address, whoever of both protocols announces it."""

from speaker.own.announcements import Announcements
from speaker.own.slices import ReportedMap, Slices

A = "192.0.2.1"


def of(entry):
    """What an entry says, and that it says nothing else."""
    assert entry.keys() == {"protocols", "interfaces", "peers", "peerCount", "since"}
    return {name: value for name, value in entry.items() if value is not None}


def made() -> tuple[Announcements, ReportedMap]:
    entries = ReportedMap(Slices())
    return Announcements(entries), entries


def test_layer_2_alone_has_no_peers() -> None:
    announcements, entries = made()
    announcements.on_layer2(A, ("eth0",), "t1")
    assert of(entries.get(A)) == {
        "protocols": ["Layer2"],
        "interfaces": ["eth0"],
        "since": "t1",
    }


def test_bgp_alone_has_no_interfaces() -> None:
    announcements, entries = made()
    announcements.on_bgp(A, {"tor2", "tor1"}, "t1")
    assert of(entries.get(A)) == {
        "protocols": ["BGP"],
        "peers": ["tor1", "tor2"],
        "since": "t1",
    }


def test_both_share_an_entry_and_the_time_of_the_first() -> None:
    announcements, entries = made()
    announcements.on_bgp(A, {"tor"}, "t1")
    announcements.on_layer2(A, ("eth0",), "t2")
    assert of(entries.get(A)) == {
        "protocols": ["BGP", "Layer2"],
        "peers": ["tor"],
        "interfaces": ["eth0"],
        "since": "t1",
    }


def test_one_part_ends_and_the_other_stays() -> None:
    announcements, entries = made()
    announcements.on_bgp(A, {"tor"}, "t1")
    announcements.on_layer2(A, ("eth0",), "t2")
    announcements.on_bgp(A, (), "t3")
    assert of(entries.get(A)) == {
        "protocols": ["Layer2"],
        "interfaces": ["eth0"],
        "since": "t1",
    }
    announcements.off_layer2(A)
    assert entries.get(A) is None


def test_the_entry_goes_with_its_last_part_and_comes_back_with_another_time() -> None:
    announcements, entries = made()
    announcements.on_bgp(A, {"tor"}, "t1")
    announcements.on_bgp(A, (), "t2")
    assert entries.get(A) is None
    announcements.off_layer2(A)
    announcements.on_bgp(A, {"tor"}, "t3")
    assert entries.get(A)["since"] == "t3"
