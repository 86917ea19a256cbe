"""What is told of interfaces that change."""

from speaker.layer2.interfaces import Change, Kind, answerers, changes, refusals, states, to_show
from speaker.wire.messages import Interface

ETH0 = Interface("eth0", 2, "02:00:00:00:00:01", True, True, "")
ETH1 = Interface("eth1", 3, "02:00:00:00:00:02", False, False, "NoCarrier")
VETH = Interface("veth1", 9, "02:00:00:00:00:09", True, False, "Excluded")


def test_nothing_is_told_of_interfaces_that_stay_as_they_are() -> None:
    assert changes((ETH0, ETH1), (ETH1, ETH0)) == []


def test_interfaces_that_come_and_go() -> None:
    assert changes((ETH0,), (ETH0, ETH1)) == [Change(Kind.APPEARED, "eth1", ETH1.mac)]
    assert changes((ETH0, ETH1), (ETH0,)) == [Change(Kind.VANISHED, "eth1", ETH1.mac)]


def test_another_interface_of_the_same_name_is_another() -> None:
    kinds = [one.kind for one in changes((ETH0,), (ETH0._replace(ifindex=7),))]
    assert kinds == [Kind.APPEARED, Kind.VANISHED]


def test_a_rename_a_new_mac_and_a_lost_link_are_told_apart() -> None:
    renamed = ETH0._replace(name="lan0")
    assert changes((ETH0,), (renamed,)) == [Change(Kind.RENAMED, "lan0", "eth0")]
    moved = ETH0._replace(mac="02:00:00:00:00:cc")
    assert changes((ETH0,), (moved,)) == [Change(Kind.MAC_CHANGED, "eth0", moved.mac)]
    down = ETH0._replace(up=False, usable=False, reason="Down")
    assert changes((ETH0,), (down,)) == [Change(Kind.BECAME_UNUSABLE, "eth0", "Down")]
    assert changes((down,), (ETH0,)) == [Change(Kind.BECAME_USABLE, "eth0", "")]


def test_pods_veths_make_no_noise() -> None:
    assert changes((), (VETH,)) == []
    assert changes((VETH,), ()) == []
    assert changes((VETH,), (VETH._replace(mac="02:00:00:00:00:aa"),)) == []


def test_an_interface_renamed_into_use_is_told() -> None:
    lan = VETH._replace(name="lan0", usable=True, reason="")
    assert [one.kind for one in changes((VETH,), (lan,))] == [Kind.RENAMED, Kind.BECAME_USABLE]


def test_states_are_counted_by_reason_without_its_detail() -> None:
    closed = ETH1._replace(reason="CannotOpen: Operation not permitted")
    assert states((ETH0, ETH1, VETH, closed)) == {"Usable": 1, "NoCarrier": 1, "Excluded": 1, "CannotOpen": 1}


def test_what_answers_is_told_of_interfaces_in_use_and_counted_by_why() -> None:
    kernel = ETH0._replace(kernel_answers=True)
    refused = ETH0._replace(name="eth2", why_not="Refused: the kernel is too old")
    off = ETH0._replace(name="eth3", why_not="Off")
    entries = to_show((kernel, refused, off, ETH0._replace(name="eth4")), ("eth0",))
    assert [(one.get("answers"), one.get("answersReason")) for one in entries] == [
        ("Kernel", ""),
        ("UserSpace", "Refused: the kernel is too old"),
        ("UserSpace", "Off"),
        (None, ""),
    ]
    assert answerers((kernel, refused, off, ETH1)) == {"Kernel": 1, "Refused": 1, "Off": 1}
    assert refusals((kernel, refused, refused._replace(name="eth5"), off)) == {refused.why_not: ("eth2", "eth5")}


def test_the_speaker_tells_networks_of_usable_interfaces_alone_and_where_ipv6_is_switched_off() -> None:
    on = ETH0._replace(networks=(("192.0.2.11/24", 100),), gateways=("192.0.2.1",))
    (entry,) = to_show((on,), ("eth0",))
    assert (entry["networks"], entry["gateways"], entry["ipv6"]) == (["192.0.2.11/24"], ["192.0.2.1"], True)
    assert entry["reason"] == ""
    off, down = to_show((on._replace(ipv6=False), ETH1), ("eth0",))
    assert (off["usable"], off["ipv6"], off["reason"]) == (True, False, "IPv6Off")
    assert not down.keys() & {"networks", "gateways", "ipv6"}
