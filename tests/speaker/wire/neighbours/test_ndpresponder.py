"""Which NDP frames are answered, which are ignored and why, and which are conflicts."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.neighbours import arp as packets
from speaker.wire.neighbours import ndp
from speaker.wire.neighbours.ndp import Advertisement, Solicitation, build, parse
from speaker.wire.neighbours.ndpresponder import NdpResponder
from speaker.wire.neighbours.table import Conflict, Ignored, InUse, Table, interface


def ip(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


ETH0 = interface("eth0", bytes.fromhex("02000000000a"))
ETH1 = interface("eth1", bytes.fromhex("02000000000b"))
CLIENT_MAC, CLIENT = bytes.fromhex("020000000002"), ip("2001:db8::2")
ROGUE_MAC = bytes.fromhex("0200000000ee")
VIP, OTHER_VIP, FOREIGN = ip("2001:db8::10"), ip("2001:db8::11"), ip("2001:db8::99")
ANSWER = Advertisement(CLIENT_MAC, ETH0.mac, VIP, CLIENT, VIP, ETH0.mac, is_solicited=True, is_override=True)


def responder(*addresses: bytes, interfaces: tuple[str, ...] = ("eth0",)) -> Table:
    table = Table()
    table.own_macs = frozenset({ETH0.mac, ETH1.mac})
    for address in addresses:
        table.hold(address, interfaces)
    return table


def answer(table: Table, frame: bytes, on=ETH0):
    """As the wire process has it: a buffer larger than the frame, with something older behind it."""
    return NdpResponder(table).answer(on, bytearray(frame) + b"\xee" * 100, len(frame))


def claim(mac: bytes = ROGUE_MAC, target: bytes = VIP, source: bytes | None = None) -> bytes:
    return build(Advertisement(ndp.ALL_NODES_MAC, source or mac, target, ndp.ALL_NODES, target, mac, is_override=True))


def test_a_solicitation_for_our_address_is_answered_to_the_asker_alone():
    assert parse(answer(responder(VIP), ndp.solicitation(CLIENT_MAC, CLIENT, VIP))) == ANSWER


def test_a_unicast_solicitation_is_answered():
    """RFC 4861 §7.3.1: a neighbour that checks whether we are still there asks the address it knows."""
    frame = build(Solicitation(ETH0.mac, CLIENT_MAC, CLIENT, VIP, VIP, CLIENT_MAC))
    assert parse(answer(responder(VIP), frame)) == ANSWER


def test_without_the_option_the_answer_goes_where_the_frame_came_from():
    """RFC 4861 §7.2.2 lets a unicast solicitation leave it out."""
    frame = build(Solicitation(ETH0.mac, CLIENT_MAC, CLIENT, VIP, VIP, None))
    assert parse(answer(responder(VIP), frame)) == ANSWER


def test_the_answer_goes_to_the_address_in_the_option_not_to_the_bridge_that_sent_the_frame():
    frame = build(Solicitation(ETH0.mac, ROGUE_MAC, CLIENT, VIP, VIP, CLIENT_MAC))
    assert parse(answer(responder(VIP), frame)) == ANSWER


def test_the_answer_carries_the_mac_of_the_interface_that_heard_the_question():
    table = responder(VIP, interfaces=("eth0", "eth1"))
    for on in (ETH0, ETH1):
        seen = parse(answer(table, ndp.solicitation(CLIENT_MAC, CLIENT, VIP), on))
        assert (seen.source, seen.target_mac) == (on.mac, on.mac)


def test_a_probe_is_answered_to_all_nodes_unsolicited_rfc_4862_section_5_4_3():
    seen = parse(answer(responder(VIP), ndp.probe(CLIENT_MAC, VIP)))
    assert seen == Advertisement(
        ndp.ALL_NODES_MAC, ETH0.mac, VIP, ndp.ALL_NODES, VIP, ETH0.mac, is_solicited=False, is_override=True
    )


def test_a_probe_for_another_address_is_not_ours():
    assert answer(responder(VIP), ndp.probe(CLIENT_MAC, FOREIGN)) is Ignored.NOT_OURS


def test_a_solicitation_for_another_address_is_not_ours():
    assert answer(responder(VIP), ndp.solicitation(CLIENT_MAC, CLIENT, FOREIGN)) is Ignored.NOT_OURS


def test_an_address_is_ours_only_on_its_interfaces():
    assert answer(responder(VIP), ndp.solicitation(CLIENT_MAC, CLIENT, VIP), ETH1) is Ignored.NOT_OURS
    assert answer(responder(VIP), ndp.probe(CLIENT_MAC, VIP), ETH1) is Ignored.NOT_OURS


def test_a_dropped_address_is_not_ours_from_the_next_frame_on():
    table = responder(VIP, OTHER_VIP)
    table.drop(VIP)
    assert answer(table, ndp.solicitation(CLIENT_MAC, CLIENT, VIP)) is Ignored.NOT_OURS
    assert isinstance(answer(table, ndp.solicitation(CLIENT_MAC, CLIENT, OTHER_VIP)), bytes)


def test_a_frame_to_another_mac_is_ignored():
    frame = build(Solicitation(ROGUE_MAC, CLIENT_MAC, CLIENT, VIP, VIP, CLIENT_MAC))
    assert answer(responder(VIP), frame) is Ignored.OTHER_HOST


def test_what_our_own_machine_asks_is_ignored():
    """Also a probe for an address that is ours already."""
    table = responder(VIP)
    assert answer(table, ndp.solicitation(ETH1.mac, CLIENT, VIP)) is Ignored.OWN
    assert answer(table, ndp.probe(ETH1.mac, VIP)) is Ignored.OWN


def test_a_frame_of_ours_is_ignored_whatever_address_it_tells():
    frame = build(Solicitation(ndp.solicited_node_mac(VIP), ETH1.mac, CLIENT, VIP, VIP, CLIENT_MAC))
    assert answer(responder(VIP), frame) is Ignored.OWN


def test_our_own_advertisements_come_back_without_harm():
    table = responder(VIP, interfaces=("eth0", "eth1"))
    assert answer(table, ndp.unsolicited(ETH1.ndp_head, VIP)) is Ignored.OWN


def test_an_asker_that_cannot_be_one_host_gets_no_answer():
    for mac in (packets.BROADCAST, packets.UNKNOWN_MAC, ndp.ALL_NODES_MAC):
        assert answer(responder(VIP), ndp.solicitation(mac, CLIENT, VIP)) is Ignored.BAD_SENDER


def test_an_advertisement_about_others_is_ignored():
    assert answer(responder(VIP), claim(target=FOREIGN)) is Ignored.PLAIN_REPLY


def test_an_invalid_message_is_malformed():
    frame = bytearray(ndp.solicitation(CLIENT_MAC, CLIENT, VIP))
    frame[56] ^= 1
    assert answer(responder(VIP), bytes(frame)) is Ignored.MALFORMED


class TestConflicts:
    def test_an_advertisement_of_our_address_by_another_rfc_4862_section_5_4_4(self):
        assert answer(responder(VIP), claim()) == Conflict(VIP, ROGUE_MAC, None)

    def test_the_mac_is_the_one_that_the_hearers_learn(self):
        frame = claim(source=bytes.fromhex("0200000000dd"))
        assert answer(responder(VIP), frame) == Conflict(VIP, ROGUE_MAC, None)

    def test_without_the_option_it_is_where_the_frame_came_from(self):
        frame = build(Advertisement(CLIENT_MAC, ROGUE_MAC, VIP, CLIENT, VIP, None, is_solicited=True))
        assert answer(responder(VIP), frame) == Conflict(VIP, ROGUE_MAC, None)

    def test_a_question_asked_from_our_address_section_7_2_3(self):
        """Its hearers enter our address with the asker's MAC."""
        frame = ndp.solicitation(ROGUE_MAC, VIP, FOREIGN)
        assert answer(responder(VIP), frame) == Conflict(VIP, ROGUE_MAC, None)

    def test_who_claims_one_address_and_asks_for_another_is_answered_too(self):
        conflict = answer(responder(VIP, OTHER_VIP), ndp.solicitation(ROGUE_MAC, VIP, OTHER_VIP))
        assert (conflict.address, conflict.mac) == (VIP, ROGUE_MAC)
        assert parse(conflict.reply).target == OTHER_VIP

    def test_it_is_one_only_on_the_interfaces_of_the_address(self):
        assert answer(responder(VIP), claim(), ETH1) is Ignored.PLAIN_REPLY

    def test_the_answer_to_our_question_is_one(self):
        """A machine that has our address, asked by us alone, says so to us alone."""
        asked = parse(ndp.question(ETH0.mac, VIP, ROGUE_MAC))
        assert (asked.destination, asked.sender_mac) == (ROGUE_MAC, ETH0.mac)
        told = build(Advertisement(ETH0.mac, ROGUE_MAC, VIP, asked.sender, VIP, ROGUE_MAC, is_solicited=True))
        assert answer(responder(VIP), told) == Conflict(VIP, ROGUE_MAC, None)


def test_replies_are_counted_per_address():
    table = responder(VIP, OTHER_VIP)
    for _ in range(3):
        answer(table, ndp.solicitation(CLIENT_MAC, CLIENT, VIP))
    answer(table, ndp.probe(CLIENT_MAC, VIP))
    assert [(entry.address, entry.replies) for entry in table.active] == [(VIP, 4)]


@given(
    st.binary(max_size=1),
    st.integers(0, 85),
    st.sampled_from([ETH0.mac, ROGUE_MAC, ndp.solicited_node_mac(VIP)]),
    st.sampled_from([CLIENT_MAC, ETH1.mac, packets.BROADCAST, packets.UNKNOWN_MAC]),
    st.sampled_from([CLIENT, OTHER_VIP]),
    st.sampled_from([VIP, FOREIGN]),
)
def test_the_quick_way_decides_as_the_long_way_does(noise, at, destination, sender_mac, sender, target):
    """Whatever the bytes; a flow label, which concerns nobody, keeps a frame off the quick way."""
    frame = build(Solicitation(destination, CLIENT_MAC, sender, ndp.solicited_node(target), target, sender_mac))
    frame = frame[:at] + noise + frame[at + len(noise) :]
    long_way = frame[:17] + bytes([frame[17] ^ 1]) + frame[18:]
    assert answer(responder(VIP, OTHER_VIP), frame) == answer(responder(VIP, OTHER_VIP), long_way)


@given(st.binary(max_size=100), st.integers(0, 100))
def test_junk_is_never_answered(junk, length):
    frame = bytearray(junk.ljust(100, b"\0"))
    decision = NdpResponder(responder(VIP, OTHER_VIP)).answer(ETH0, frame, min(length, len(junk)))
    assert decision is Ignored.MALFORMED


@given(
    st.sampled_from([ETH0.mac, ROGUE_MAC, ndp.solicited_node_mac(VIP), packets.BROADCAST]),
    st.sampled_from([CLIENT_MAC, ROGUE_MAC, ETH0.mac, packets.UNKNOWN_MAC]),
    st.sampled_from([CLIENT, VIP, OTHER_VIP, ndp.UNSPECIFIED]),
    st.sampled_from([VIP, OTHER_VIP, FOREIGN]),
    st.sampled_from([None, CLIENT_MAC, ROGUE_MAC, ETH1.mac, packets.BROADCAST]),
)
def test_every_answer_is_valid_and_about_an_address_of_ours(destination, source, sender, target, sender_mac):
    frame = build(Solicitation(destination, source, sender, ndp.solicited_node(target), target, sender_mac))
    decision = answer(responder(VIP, OTHER_VIP), frame)
    told = decision.reply if isinstance(decision, Conflict) else decision
    if isinstance(told, bytes):
        seen = parse(told)
        assert (seen.target, seen.sender, seen.target_mac) == (target, target, ETH0.mac)
        assert target in (VIP, OTHER_VIP)
        assert seen.is_solicited == (sender != ndp.UNSPECIFIED)
        assert seen.destination in (CLIENT_MAC, ROGUE_MAC, ndp.ALL_NODES_MAC)


def test_rfc4862_5_4_3_and_4_what_shows_that_a_probed_address_is_in_use():
    table = responder()
    table.probed[VIP] = ("eth0",)
    assert answer(table, ndp.solicitation(CLIENT_MAC, CLIENT, VIP)) is Ignored.NOT_OURS
    assert answer(table, claim()) == InUse(VIP, ROGUE_MAC, False, None)
    assert answer(table, ndp.solicitation(ROGUE_MAC, VIP, FOREIGN)) == InUse(VIP, ROGUE_MAC, False, None)
    assert answer(table, ndp.probe(ROGUE_MAC, VIP)) == InUse(VIP, ROGUE_MAC, True, None)


def test_who_has_a_probed_address_and_asks_for_another_is_answered_too():
    table = responder(OTHER_VIP)
    table.probed[VIP] = ("eth0",)
    seen = answer(table, ndp.solicitation(ROGUE_MAC, VIP, OTHER_VIP))
    assert (seen.address, seen.mac, seen.is_probe) == (VIP, ROGUE_MAC, False)
    assert parse(seen.reply).target == OTHER_VIP


def test_our_own_probe_that_comes_back_shows_nothing():
    table = responder()
    table.probed[VIP] = ("eth0",)
    assert not isinstance(answer(table, ndp.probe(ETH1.mac, VIP)), InUse)
    assert not isinstance(answer(table, claim(ETH1.mac)), InUse)
    assert not isinstance(answer(table, claim(), ETH1), InUse)
