"""The BPF program for NDP."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.neighbours import ndp
from speaker.wire.neighbours.cover import MAX_RANGES, AddressCover
from speaker.wire.neighbours.filter import ndp_program
from speaker.wire.neighbours.ndp import Advertisement, Solicitation, build
from tests.speaker.wire.neighbours.classicbpf import TO_ALL, TO_GROUP, TO_US, passes


def ip(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


MAC, CLIENT_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("020000000002")
VIP, CLIENT, FOREIGN = ip("2001:db8::10"), ip("2001:db8::2"), ip("2001:db8::99")
SOLICITATION = ndp.solicitation(CLIENT_MAC, CLIENT, VIP)


def for_addresses(*held: bytes) -> bytes:
    return ndp_program(sorted((int.from_bytes(address[12:], "big"),) * 2 for address in held))


def at(frame: bytes, place: int, value: bytes) -> bytes:
    return frame[:place] + value + frame[place + len(value) :]


def test_solicitations_and_probes_for_our_address_pass_and_others_do_not():
    code = for_addresses(VIP)
    assert passes(code, SOLICITATION)
    assert passes(code, ndp.probe(CLIENT_MAC, VIP))
    assert not passes(code, ndp.solicitation(CLIENT_MAC, CLIENT, FOREIGN))
    assert not passes(code, ndp.probe(CLIENT_MAC, FOREIGN))


def test_whoever_claims_our_address_passes():
    code = for_addresses(VIP)
    assert passes(code, ndp.unsolicited(ndp.head(CLIENT_MAC), VIP))
    assert passes(code, ndp.solicitation(CLIENT_MAC, VIP, FOREIGN))


def test_advertisements_about_others_do_not_pass_even_from_our_address():
    frame = build(Advertisement(CLIENT_MAC, MAC, VIP, CLIENT, FOREIGN, MAC))
    assert not passes(for_addresses(VIP), frame)


def test_other_traffic_does_not_pass():
    code = for_addresses(VIP)
    for changed in (
        at(SOLICITATION, 20, b"\x06"),  # TCP
        at(SOLICITATION, 21, b"\x40"),  # 64 hops
        at(SOLICITATION, 54, b"\x80"),  # echo request
        at(SOLICITATION, 54, b"\x89"),  # redirect
        at(SOLICITATION, 55, b"\x01"),  # code 1
        at(SOLICITATION, 12, b"\x08\x00"),
        SOLICITATION[:77],
    ):
        assert not passes(code, changed)


def test_frames_to_us_to_all_and_to_groups_pass_and_those_to_other_hosts_do_not():
    """Access points and switches turn multicast into unicast or broadcast."""
    decisions = {kind: passes(for_addresses(VIP), SOLICITATION, packet_type=kind) for kind in range(6)}
    assert [kind for kind, passed in decisions.items() if passed] == [TO_US, TO_ALL, TO_GROUP]


def test_a_frame_of_a_vlan_does_not_pass_and_a_priority_tag_does():
    assert not passes(for_addresses(VIP), SOLICITATION, vlan=5)
    assert not passes(for_addresses(VIP), SOLICITATION, vlan=0xE005)
    assert passes(for_addresses(VIP), SOLICITATION, vlan=0xE000)


def test_with_no_address_nothing_passes_by_the_first_instruction():
    assert len(ndp_program([])) == 8
    assert not passes(ndp_program([]), SOLICITATION)


def test_the_longest_program_still_jumps_to_its_end():
    code = ndp_program([(16 * number, 16 * number + 3) for number in range(MAX_RANGES)])
    assert len(code) // 8 < 256
    for number in (0, 16 * MAX_RANGES - 16, 16 * MAX_RANGES - 13):
        address = VIP[:12] + number.to_bytes(4, "big")
        assert passes(code, ndp.solicitation(CLIENT_MAC, CLIENT, address))
        assert passes(code, ndp.solicitation(CLIENT_MAC, address, FOREIGN))
        assert passes(code, ndp.unsolicited(ndp.head(CLIENT_MAC), address))
    assert not passes(code, ndp.solicitation(CLIENT_MAC, ip("2001:db8::5"), ip("2001:db8::6")))


ends = st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1))
prefixes = st.sampled_from([ip("2001:db8::")[:12], ip("fd00:30::")[:12]])


@given(st.lists(st.tuples(prefixes, ends), max_size=60, unique=True), ends, ends, st.booleans())
def test_the_program_passes_just_what_is_in_the_ranges(held, sender, target, is_solicitation):
    """Addresses of two networks may end alike; when one of them goes, the other still passes."""
    cover = AddressCover()
    for _, end in held:
        cover.add(end)
    for _, end in held[1:]:
        cover.remove(end)
    sender_is_in, target_is_in = (
        any(first <= one <= last for first, last in cover.ranges()) for one in (sender, target)
    )
    source, about = (VIP[:12] + one.to_bytes(4, "big") for one in (sender, target))
    frame = (
        build(Solicitation(MAC, CLIENT_MAC, source, about, about, CLIENT_MAC))
        if is_solicitation
        else build(Advertisement(MAC, CLIENT_MAC, source, CLIENT, about, CLIENT_MAC))
    )
    assert passes(ndp_program(cover.ranges()), frame) == (target_is_in or (is_solicitation and sender_is_in))
    assert not held or any(first <= held[0][1] <= last for first, last in cover.ranges())


@given(st.binary(max_size=100))
def test_junk_does_not_pass(junk):
    assert not passes(ndp_program([(0, 2**32 - 1)]), junk)
