"""What an IPAllocation and its Services say of another machine at the address."""

from allocator.notices import of_conflict
from allocator.status.conflicts import of_transitions
from allocator.status.entries import Announcement, Sighting
from crds.types import IPAllocationStatus
from tests.allocator.build import address
from tests.allocator.status.records import after, status_of, stored

VIP = address("192.0.2.10")
NOW, LATER = "2026-03-01T00:00:00Z", "2026-03-01T00:00:09Z"
ETH0 = Announcement(("Layer2",), ("eth0",))
ROGUE = Sighting("192.0.2.10", "02:00:00:00:00:66", "eth0")
PROBED = Sighting("192.0.2.10", "02:00:00:00:00:66", "eth0", announced=False)


def conditions(status: IPAllocationStatus) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in status.conditions}


def test_a_conflict_comes_and_goes_and_each_is_said_once() -> None:
    record, by = stored(), {"n1": ETH0}
    quiet = status_of(record, by, True, (), NOW)
    assert conditions(quiet) == {"Announced": ("True", "Announcing")}
    assert of_transitions((), quiet.conditions) == []

    record = after(record, quiet)
    taken = status_of(record, by, True, (), NOW, {"n1": ROGUE})
    assert conditions(taken)["Conflicted"] == ("True", "AddressConflict")
    assert conditions(taken)["Announced"] == ("True", "Announcing")
    (conflict,) = of_transitions(record.conditions, taken.conditions)
    (notice,) = of_conflict(record, conflict)
    assert (notice.type, notice.reason) == ("Warning", "AddressConflict")
    for part in ("192.0.2.10", "02:00:00:00:00:66", "eth0", "n1", "pool edge"):
        assert part in notice.message

    record = after(record, taken)
    again = status_of(record, by, True, (), LATER, {"n1": ROGUE})
    assert again == taken
    assert of_transitions(record.conditions, again.conditions) == []

    healed = status_of(record, by, True, (), LATER, {})
    assert conditions(healed)["Conflicted"] == ("False", "NoConflict")
    (conflict,) = of_transitions(record.conditions, healed.conditions)
    assert [notice.type for notice in of_conflict(record, conflict)] == ["Normal"]
    record = after(record, healed)
    assert of_transitions(record.conditions, status_of(record, by, True, (), LATER).conditions) == []


def test_an_address_found_in_use_before_its_first_announcement_says_why_nobody_announces_it() -> None:
    status = status_of(stored(), {}, True, (), NOW, {"n1": PROBED})
    assert conditions(status) == {
        "Announced": ("False", "DuplicateAddress"),
        "Conflicted": ("True", "DuplicateAddress"),
    }
    assert "02:00:00:00:00:66" in status.conditions[0].message
    assert status.first_announced is None


def test_a_node_whose_kernel_has_the_address_is_named_and_what_to_do_there() -> None:
    kernel = Sighting("192.0.2.10", "02:00:00:00:00:02", "eth0", announced=False, node="node2")
    status = status_of(stored(), {}, True, (), NOW, {"node1": kernel})
    said = conditions(status)
    assert said["Announced"] == ("False", "DuplicateAddress")
    message = next(one.message for one in status.conditions if one.type == "Conflicted")
    assert "02:00:00:00:00:02, the kernel of node2 (seen by node1 on eth0)" in message
    assert "off the interfaces of node2" in message


def test_the_first_announcement_is_remembered_for_ever() -> None:
    record = stored()
    status = status_of(record, {"n1": ETH0}, True, (), NOW)
    assert status.first_announced == NOW
    assert status_of(after(record, status), {}, True, (), LATER).first_announced == NOW


def test_a_node_that_goes_on_claiming_an_address_is_named_as_a_node() -> None:
    """It is no machine to be looked for, and its address is no mistake of the pool's."""
    seen = Sighting("192.0.2.10", "02:00:00:00:00:02", "eth0", node="n2")
    status = status_of(stored(), {"n1": ETH0}, True, (), NOW, {"n1": seen})
    (message,) = (one.message for one in status.conditions if one.type == "Conflicted")
    assert "02:00:00:00:00:02, of n2 (seen by n1 on eth0)" in message
    assert "KernelAnswers" in message
    assert "speakerreport n2.0" in message
    assert "exclude" not in message
