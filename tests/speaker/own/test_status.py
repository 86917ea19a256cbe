"""What belongs to which object: the Speaker is small whatever the cluster does, and the report has the rest."""

import msgspec

from speaker.own.entries import bgp_session, interface
from speaker.own.status import StatusDraft


def condition(kind: str) -> dict:
    return {"type": kind, "status": "True", "reason": "Valid", "message": ""}


def test_others_learn_who_this_is_from_the_speaker_and_people_read_the_rest_in_the_report() -> None:
    draft = StatusDraft()
    draft.set("standing", "Member")
    draft.set("fencing", {"promised": False})
    draft.set("routers", [{"address": "192.0.2.1", "outlivesSeconds": 90}])
    draft.set("conditions", [condition(kind) for kind in ("Ready", "PromisesFencing", "PeersHeard", "Announceable")])
    draft.set("heard", [{"node": "node-b"}])
    draft.set("bgpSessions", [{"peer": "tor", "state": "Idle"}])
    draft.announcements.put("192.0.2.1", {"protocols": ["Layer2"]})
    said = draft.speaker.all()
    assert said.keys() == {"standing", "fencing", "routers", "conditions"}
    assert [one["type"] for one in said["conditions"]] == ["Ready", "PromisesFencing"]
    first = draft.report.all[0].fields
    assert [one["type"] for one in first.get("conditions")] == ["PeersHeard", "Announceable"]
    assert first.get("heard") == [{"node": "node-b"}]
    assert draft.wanted("bgpSessions") == [{"peer": "tor", "state": "Idle"}]
    assert draft.announcements.keys() == {"192.0.2.1"}


def test_the_speaker_names_interfaces_without_reasons_and_the_report_with_them() -> None:
    draft = StatusDraft()
    draft.set("interfaces", [interface("eth0", "02:00:00:00:00:01", up=False, usable=False, reason="Down")])
    (brief,) = draft.speaker.get("interfaces")
    assert brief == {"name": "eth0", "mac": "02:00:00:00:00:01", "up": False, "usable": False}
    (told,) = draft.report.all[0].fields.get("interfaces")
    assert told["reason"] == "Down"


def test_networks_and_gateways_are_the_speakers_to_tell() -> None:
    """Owners are chosen by them, and each change of them is one write, not two."""
    draft = StatusDraft()
    its = {"networks": ["192.0.2.11/24"], "gateways": ["192.0.2.1"], "ipv6": True}
    draft.set("interfaces", [interface("eth0", "02:00:00:00:00:01", up=True, usable=True, reason="", **its)])
    (brief,) = draft.speaker.get("interfaces")
    assert {name: brief[name] for name in its} == its
    (told,) = draft.report.all[0].fields.get("interfaces")
    assert not told.keys() & its.keys()


def test_a_hardware_address_that_is_none_of_ethernets_is_left_out() -> None:
    """IPoIB's has 20 bytes, a tunnel's 4 or 16: one in a status would have the whole write refused."""
    for mac in (":".join(["00"] * 20), ":".join(["00"] * 16), "00:00:00:00"):
        assert interface("ib0", mac, up=True, usable=False, reason="NotEthernet")["mac"] == ""


def test_a_speaker_is_a_few_kilobytes_whatever_it_announces() -> None:
    draft = StatusDraft()
    draft.set(
        "interfaces", [interface(f"eth{n}", "02:00:00:00:00:01", up=True, usable=True, reason="") for n in range(64)]
    )
    for number in range(5000):
        draft.announcements.put(f"10.0.{number >> 8}.{number & 255}", {"protocols": ["BGP"], "peers": ["tor"]})
    draft.set("bgpSessions", [bgp_session(f"tor{n}", None, "Idle", last_error="x" * 500) for n in range(200)])
    assert len(msgspec.json.encode(draft.speaker.all())) < 6000


def test_what_was_refused_is_tried_again_after_a_while() -> None:
    draft = StatusDraft()
    draft.set("standing", "Dancing")
    draft.refusals.note("Speaker", {"status.standing": "Unsupported value"}, "422", 100.0)
    draft.speaker.refuse("standing", "Dancing")
    assert draft.speaker.all() == {"standing": None}
    draft.forgive(699.0)
    assert draft.speaker.all() == {"standing": None}
    draft.forgive(700.0)
    assert draft.speaker.all() == {"standing": "Dancing"}
    assert draft.refusals.told() == []
