"""Which session a packet is for (RFC 5880 §6.3), and by which TTL it counts (RFC 5881 §5, RFC 5883 §5)."""

import itertools

from speaker.wire.bfd.packets import Discard, State
from speaker.wire.bfd.registry import Arrival, Path, Registry
from tests.speaker.wire.bfd.make import packet

US, ROUTER, OTHER = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]), bytes([192, 0, 2, 3])
FIRST = packet(State.DOWN, yours=0)


def path(*, peer=ROUTER, local=b"", interface="", vrf="", multihop=False, minimum_ttl=255) -> Path:
    return Path(multihop, peer, local, interface, vrf, minimum_ttl)


def arrival(*, source=ROUTER, destination=US, ifindex=2, vrf="", ttl=255, multihop=False) -> Arrival:
    return Arrival(multihop, source, destination, ifindex, vrf, ttl)


def name_of(ifindex: int) -> str:
    return f"eth{ifindex}"


LOW: list[tuple[str, int]] = []


def registry(**paths: Path) -> Registry[str]:
    LOW.clear()
    made: Registry[str] = Registry(lambda name, ttl: LOW.append((name, ttl)))
    for number, (name, each) in enumerate(paths.items(), 1):
        made.add(number, each, name)
    return made


def test_the_first_packet_belongs_to_the_session_with_its_addresses():
    made = registry(one=path(), two=path(peer=OTHER))
    assert made.find(FIRST, arrival(), name_of) == "one"
    assert made.find(FIRST, arrival(source=OTHER), name_of) == "two"
    assert made.find(FIRST, arrival(source=US), name_of) is Discard.SESSION


def test_our_discriminator_alone_decides_once_the_peer_knows_it():
    made = registry(one=path(), two=path(peer=OTHER))
    assert made.find(packet(State.UP, yours=2), arrival(), name_of) == "two"
    assert made.find(packet(State.UP, yours=3), arrival(), name_of) is Discard.SESSION


def test_interfaces_local_addresses_and_vrfs_tell_equal_peers_apart():
    made = registry(
        two=path(interface="eth2"),
        three=path(interface="eth3"),
        local=path(local=US, vrf="red"),
        other=path(vrf="blue"),
    )
    assert made.find(FIRST, arrival(ifindex=3), name_of) == "three"
    assert made.find(FIRST, arrival(ifindex=2), name_of) == "two"
    assert made.find(FIRST, arrival(ifindex=4), name_of) is Discard.SESSION
    assert made.find(FIRST, arrival(vrf="red"), name_of) == "local"
    assert made.find(FIRST, arrival(vrf="red", destination=OTHER), name_of) is Discard.SESSION
    assert made.find(FIRST, arrival(vrf="blue"), name_of) == "other"


def test_single_hop_packets_count_only_with_ttl_255():
    made = registry(one=path())
    for ttl, found in ((255, "one"), (254, Discard.TTL), (-1, Discard.TTL)):
        for each in (FIRST, packet(State.UP, yours=1)):
            assert made.find(each, arrival(ttl=ttl), name_of) == found


def test_multihop_packets_count_from_the_minimum_up():
    made = registry(far=path(multihop=True, minimum_ttl=250))
    for ttl, found in ((255, "far"), (250, "far"), (249, Discard.TTL), (-1, Discard.TTL)):
        assert made.find(FIRST, arrival(multihop=True, ttl=ttl), name_of) == found


def test_a_ttl_that_is_too_low_is_told_of_with_the_session():
    made = registry(far=path(multihop=True, minimum_ttl=250))
    made.find(FIRST, arrival(multihop=True, ttl=63), name_of)
    made.find(FIRST, arrival(multihop=True, ttl=250), name_of)
    made.find(packet(State.UP, yours=9), arrival(multihop=True, ttl=63), name_of)
    assert LOW == [("far", 63)]


def test_a_packet_of_the_other_kind_never_fits():
    made = registry(near=path(), far=path(peer=OTHER, multihop=True, minimum_ttl=1))
    assert made.find(packet(State.UP, yours=1), arrival(multihop=True), name_of) is Discard.SESSION
    assert made.find(packet(State.UP, yours=2), arrival(source=OTHER), name_of) is Discard.SESSION


def test_what_was_removed_is_found_no_more():
    made = registry(one=path())
    made.remove(1)
    assert made.find(FIRST, arrival(), name_of) is Discard.SESSION
    assert made.find(packet(State.UP, yours=1), arrival(), name_of) is Discard.SESSION


def test_paths_whose_first_packets_could_be_confused_are_rivals():
    made = registry(one=path(interface="eth2"))
    assert made.rival(path()) == "one"
    assert made.rival(path(interface="eth2", local=US)) == "one"
    assert made.rival(path(interface="eth3")) is None
    assert made.rival(path(peer=OTHER)) is None
    assert made.rival(path(multihop=True)) is None
    assert made.rival(path(vrf="red")) is None


def test_discriminators_are_unique_and_not_zero():
    made = registry(one=path())
    dice = itertools.chain([bytes(4), (1).to_bytes(4, "big"), (77).to_bytes(4, "big")])
    assert made.new_discriminator(lambda _: next(dice)) == 77
