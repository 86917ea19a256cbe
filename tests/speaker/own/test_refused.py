"""What an API server names when it refuses a write, and what is left out because of it."""

from speaker.own.refused import MOST_TOLD, Part, Refusals, largest_field, named_parts

STATUS = {
    "interfaces": [{"name": "eth0"}, {"name": "ib0", "mac": "x" * 59}],
    "announcements": {"192.0.2.1": {}, "192.0.2.10": {}, "2001:db8::1": {}},
    "standing": "Dancing",
}


def test_an_entry_of_a_list_is_named_by_its_number() -> None:
    assert named_parts(["status.interfaces[1].mac"], STATUS) == {Part("interfaces", number=1)}


def test_an_entry_of_a_map_is_named_by_its_key_in_both_spellings() -> None:
    for field in ("status.announcements.192.0.2.10.since", "status.announcements[192.0.2.10]"):
        assert named_parts([field], STATUS) == {Part("announcements", key="192.0.2.10")}
    assert named_parts(["status.announcements.192.0.2.1.peers[0]"], STATUS) == {Part("announcements", key="192.0.2.1")}


def test_a_field_is_named_as_a_whole() -> None:
    assert named_parts(["status.standing", "status.announcements"], STATUS) == {Part("standing"), Part("announcements")}


def test_what_is_not_in_the_write_names_nothing() -> None:
    fields = ["<nil>", "status", "spec.node", "status.other", "metadata.uid", "status.interfaces[9]"]
    assert named_parts(fields, STATUS) == {Part("interfaces")}


def test_the_largest_field_is_found_among_those_that_may_go() -> None:
    assert largest_field(STATUS, frozenset()) == "interfaces"
    assert largest_field(STATUS, frozenset({"interfaces"})) == "announcements"
    assert largest_field({"a": None, "b": []}, frozenset()) is None


def test_people_are_told_what_and_why_and_not_more_than_they_can_read() -> None:
    refusals = Refusals()
    refusals.note("Speaker", {"status.standing": "Unsupported value"}, "422", 0.0)
    refusals.note("SpeakerReport", {}, "413 too large", 0.0)
    assert refusals.told() == ["Speaker status.standing: Unsupported value", "SpeakerReport: 413 too large"]
    for number in range(10):
        refusals.note("Speaker", {f"status.x{number}": "no"}, "", 0.0)
    assert len(refusals.told()) == MOST_TOLD + 1
