"""The ranges that cover the addresses in force, and the BPF program for ARP."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.neighbours import arp as packets
from speaker.wire.neighbours.arp import Arp
from speaker.wire.neighbours.cover import MAX_RANGES, AddressCover
from speaker.wire.neighbours.filter import arp_program
from tests.speaker.wire.neighbours.classicbpf import TO_ALL, TO_US, passes

MAC, CLIENT_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("020000000002")
VIP, CLIENT, FOREIGN = bytes([192, 0, 2, 10]), bytes([192, 0, 2, 2]), bytes([192, 0, 2, 99])

addresses = st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1))


def covers(cover: AddressCover, address: int) -> bool:
    return any(first <= address <= last for first, last in cover.ranges())


def for_addresses(*held: bytes) -> bytes:
    return arp_program([(int.from_bytes(address, "big"),) * 2 for address in sorted(held)])


def test_requests_for_our_address_pass_and_others_do_not():
    code = for_addresses(VIP)
    assert passes(code, packets.request(CLIENT_MAC, CLIENT, VIP))
    assert passes(code, packets.request(CLIENT_MAC, packets.UNSPECIFIED, VIP))
    assert not passes(code, packets.request(CLIENT_MAC, CLIENT, FOREIGN))


def test_whoever_claims_our_address_passes():
    code = for_addresses(VIP)
    assert passes(code, packets.gratuitous_request(CLIENT_MAC, VIP))
    assert passes(code, packets.gratuitous_reply(CLIENT_MAC, VIP))
    assert passes(code, packets.request(CLIENT_MAC, VIP, FOREIGN))


def test_replies_to_our_address_do_not_pass():
    assert not passes(for_addresses(VIP), packets.reply(packets.reply_head(CLIENT_MAC), CLIENT, MAC, VIP))


def test_frames_to_other_hosts_and_groups_do_not_pass():
    frame = packets.request(CLIENT_MAC, CLIENT, VIP)
    decisions = {kind: passes(for_addresses(VIP), frame, packet_type=kind) for kind in range(6)}
    assert [kind for kind, passed in decisions.items() if passed] == [TO_US, TO_ALL]


def test_a_frame_of_a_vlan_does_not_pass_and_a_priority_tag_does():
    """The kernel gives a frame whose VLAN has no interface to the parent's socket, with the tag taken off."""
    frame = packets.request(CLIENT_MAC, CLIENT, VIP)
    assert not passes(for_addresses(VIP), frame, vlan=5)
    assert not passes(for_addresses(VIP), frame, vlan=0xE005)
    assert passes(for_addresses(VIP), frame, vlan=0xE000)


def test_with_no_address_nothing_passes():
    assert not passes(arp_program([]), packets.request(CLIENT_MAC, CLIENT, VIP))
    assert not passes(arp_program([]), packets.request(CLIENT_MAC, packets.UNSPECIFIED, packets.UNSPECIFIED))


def test_the_longest_program_still_jumps_to_its_end():
    ranges = [(16 * number, 16 * number + 3) for number in range(MAX_RANGES)]
    code = arp_program(ranges)
    assert len(code) // 8 < 256
    for address in (0, 16 * MAX_RANGES - 16, 16 * MAX_RANGES - 13):
        assert passes(code, packets.request(CLIENT_MAC, CLIENT, address.to_bytes(4, "big")))
        assert passes(code, packets.gratuitous_reply(CLIENT_MAC, address.to_bytes(4, "big")))
    assert not passes(code, packets.request(CLIENT_MAC, CLIENT, (5).to_bytes(4, "big")))


@given(st.sets(addresses, max_size=100), addresses, addresses, st.booleans())
def test_the_program_passes_just_what_is_in_the_ranges(held, sender, target, is_request):
    cover = AddressCover()
    for address in held:
        cover.add(address)
    arp = Arp(
        packets.BROADCAST,
        MAC,
        is_request,
        MAC,
        sender.to_bytes(4, "big"),
        packets.UNKNOWN_MAC,
        target.to_bytes(4, "big"),
    )
    expected = covers(cover, sender) or (is_request and covers(cover, target))
    assert passes(arp_program(cover.ranges()), packets.build(arp)) == expected


@given(st.binary(max_size=100))
def test_junk_does_not_pass(junk):
    assert not passes(arp_program([(0, 2**32 - 1)]), junk)


@given(st.lists(st.tuples(st.booleans(), addresses), max_size=200), st.integers(1, 6))
def test_the_ranges_cover_all_that_is_held_in_sorted_disjoint_order(steps, max_ranges):
    """Against a plain set. Removing everything leaves nothing."""
    cover, held = AddressCover(max_ranges), set()
    for is_added, address in steps:
        before = cover.ranges()
        if is_added and address not in held:
            held.add(address)
            assert cover.add(address) == (cover.ranges() != before)
        elif not is_added and address in held:
            held.discard(address)
            assert cover.remove(address) == (cover.ranges() != before)
        ranges = cover.ranges()
        assert len(ranges) <= max_ranges
        assert all(first <= last for first, last in ranges)
        assert all(left[1] < right[0] for left, right in pairwise(ranges))
        assert all(covers(cover, one) for one in held)
    for address in held:
        cover.remove(address)
    assert cover.ranges() == []


def test_a_pool_in_order_is_one_range():
    cover = AddressCover()
    for address in range(1000, 2000):
        cover.add(address)
    assert cover.ranges() == [(1000, 1999)]
