"""One entry for an address, whoever of both protocols announces it."""

from ipaddress import ip_address

from crds.speaker import BGPPath
from crds.speakerreport import MOST_ENTRIES
from speaker.own.announcements import Announcements
from speaker.own.paths import FIELD, MOST_PATHS, PathAttributes
from speaker.own.slices import ANNOUNCEMENTS, ENCODE, ReportedMap, Slices

A = "192.0.2.1"


def of(entry):
    """What an entry says, and that it says nothing else."""
    assert entry.keys() == {"protocols", "interfaces", "peers", "peerCount", "paths", "since"}
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


OUTER = PathAttributes(("tor1", "tor2"), med=7, communities=("64512:100",))
INNER = PathAttributes(("rr",), next_hop=ip_address("fe80::1%eth0"), local_pref=250)


def test_attributes_are_told_once_for_all_addresses_that_have_them_and_go_with_the_last() -> None:
    announcements, entries = made()
    for address in (A, "192.0.2.2"):
        announcements.on_bgp(address, ("tor1", "tor2", "rr"), "t1", (OUTER, INNER))
    told = entries.slices.entries(FIELD)
    assert {one["name"] for one in told} == set(entries.get(A)["paths"]) == set(entries.get("192.0.2.2")["paths"])
    assert sorted((one["peers"], one.get("med"), one.get("localPref"), one.get("nextHop")) for one in told) == [
        (["rr"], None, 250, "fe80::1"),
        (["tor1", "tor2"], 7, None, None),
    ]
    announcements.on_bgp(A, ("tor1", "tor2"), "t2", (OUTER._replace(med=8),))
    assert len(entries.slices.entries(FIELD)) == 3
    assert entries.get(A)["since"] == "t1"
    announcements.on_bgp("192.0.2.2", (), "t3")
    (left,) = entries.slices.entries(FIELD)
    assert entries.get(A)["paths"] == [left["name"]]
    assert left["med"] == 8


def test_an_address_costs_few_bytes_more_however_long_its_attributes_are() -> None:
    announcements, entries = made()
    long = PathAttributes(tuple(f"{number:03}-{'p' * 60}" for number in range(64)), communities=("large:1:2:3",) * 64)
    announcements.on_bgp(A, long.peers, "t1", (long,))
    entry = {name: value for name, value in entries.get(A).items() if name == "paths"}
    assert len(ENCODE(entry)) < 32
    (told,) = entries.slices.entries(FIELD)
    BGPPath.model_validate(told)
    assert (len(told["peers"]), told["peerCount"], len(told["communities"])) == (16, 64, 32)
    announcements.on_bgp(A, ("rr",), "t2", [INNER._replace(med=number) for number in range(64)])
    assert len(entries.get(A)["paths"]) == 4


def test_what_is_beyond_the_most_attributes_of_a_node_is_not_told() -> None:
    announcements, entries = made()
    for number in range(MOST_PATHS + 10):
        announcements.on_bgp(f"192.0.{number >> 8}.{number & 255}", ("rr",), "t1", (INNER._replace(med=number),))
    assert len(entries.slices.entries(FIELD)) == MOST_PATHS
    assert all(len(one.entries) <= MOST_ENTRIES for one in entries.slices.all)
    assert len(entries.slices.keys(ANNOUNCEMENTS)) == MOST_PATHS + 10
    for number in range(MOST_PATHS + 10):
        announcements.on_bgp(f"192.0.{number >> 8}.{number & 255}", (), "t2")
    assert entries.slices.entries(FIELD) == []


def test_what_is_left_of_an_entry_that_was_refused_has_its_time_and_goes_on() -> None:
    announcements, entries = made()
    announcements.on_bgp(A, {"tor"}, "t1")
    announcements.on_layer2(A, ("eth0",), "t2")
    number = next(iter(entries.slices.stale))
    entries.slices.refuse(number, entries.slices.all[number].patch("i"), {})
    assert entries.get(A) is None
    announcements.off_layer2(A)
    assert of(entries.get(A)) == {"protocols": ["BGP"], "peers": ["tor"], "since": "t1"}
    announcements.on_layer2(A, ("eth1",), "t3")
    assert of(entries.get(A)) == {
        "protocols": ["BGP", "Layer2"],
        "peers": ["tor"],
        "interfaces": ["eth1"],
        "since": "t1",
    }
    announcements.on_bgp(A, (), "t4")
    announcements.off_layer2(A)
    announcements.on_layer2(A, ("eth0",), "t5")
    assert of(entries.get(A)) == {"protocols": ["Layer2"], "interfaces": ["eth0"], "since": "t5"}
