"""Which frames are answered, which are ignored and why, and which are conflicts."""

from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.neighbours import arp as packets
from speaker.wire.neighbours.arp import Arp, parse
from speaker.wire.neighbours.arpresponder import ArpResponder
from speaker.wire.neighbours.table import Conflict, Ignored, InUse, Table, interface, is_announceable

ETH0 = interface("eth0", bytes.fromhex("02000000000a"))
ETH1 = interface("eth1", bytes.fromhex("02000000000b"))
CLIENT_MAC, CLIENT = bytes.fromhex("020000000002"), bytes([192, 0, 2, 2])
ROGUE_MAC = bytes.fromhex("0200000000ee")
VIP, OTHER_VIP, FOREIGN = bytes([192, 0, 2, 10]), bytes([192, 0, 2, 11]), bytes([192, 0, 2, 99])


def responder(*addresses: bytes, interfaces: tuple[str, ...] = ("eth0",)) -> Table:
    table = Table()
    table.own_macs = frozenset({ETH0.mac, ETH1.mac})
    for address in addresses:
        table.hold(address, interfaces)
    return table


def answer(table: Table, frame: bytes, on=ETH0):
    """As the wire process has it: a buffer larger than the frame, with something older behind it."""
    return ArpResponder(table).answer(on, bytearray(frame) + b"\xee" * 100, len(frame))


def test_a_request_for_our_address_is_answered_to_the_asker_alone():
    reply = answer(responder(VIP), packets.request(CLIENT_MAC, CLIENT, VIP))
    assert parse(reply) == Arp(CLIENT_MAC, ETH0.mac, False, ETH0.mac, VIP, CLIENT_MAC, CLIENT)


def test_a_unicast_request_to_our_mac_is_answered():
    """Linux asks so before it lets a neighbour entry go (RFC 1122 §2.3.2.1, unicast poll)."""
    reply = answer(responder(VIP), packets.request(CLIENT_MAC, CLIENT, VIP, to=ETH0.mac))
    assert isinstance(reply, bytes)


def test_the_reply_carries_the_mac_of_the_interface_that_heard_the_request():
    table = responder(VIP, interfaces=("eth0", "eth1"))
    for on in (ETH0, ETH1):
        reply = parse(answer(table, packets.request(CLIENT_MAC, CLIENT, VIP), on))
        assert (reply.source, reply.sender_mac) == (on.mac, on.mac)


def test_a_changed_mac_is_in_the_very_next_reply():
    table = responder(VIP)
    changed = interface("eth0", bytes.fromhex("0200000000cc"))
    assert parse(answer(table, packets.request(CLIENT_MAC, CLIENT, VIP), changed)).sender_mac == changed.mac


def test_a_request_for_another_address_is_not_ours():
    assert answer(responder(VIP), packets.request(CLIENT_MAC, CLIENT, FOREIGN)) is Ignored.NOT_OURS


def test_an_address_is_ours_only_on_its_interfaces():
    assert answer(responder(VIP), packets.request(CLIENT_MAC, CLIENT, VIP), ETH1) is Ignored.NOT_OURS


def test_a_dropped_address_is_not_ours_from_the_next_frame_on():
    table = responder(VIP, OTHER_VIP)
    assert table.drop(VIP) == ("eth0",)
    assert answer(table, packets.request(CLIENT_MAC, CLIENT, VIP)) is Ignored.NOT_OURS
    assert isinstance(answer(table, packets.request(CLIENT_MAC, CLIENT, OTHER_VIP)), bytes)
    assert table.drop(VIP) == ()


def test_a_unicast_request_for_another_mac_is_ignored():
    frame = packets.request(CLIENT_MAC, CLIENT, VIP, to=ROGUE_MAC)
    assert answer(responder(VIP), frame) is Ignored.OTHER_HOST


def test_a_multicast_request_is_ignored():
    frame = packets.request(CLIENT_MAC, CLIENT, VIP, to=bytes.fromhex("01005e000001"))
    assert answer(responder(VIP), frame) is Ignored.OTHER_HOST


def test_a_request_of_our_own_machine_is_ignored():
    """Two interfaces on one segment hear each other."""
    assert answer(responder(VIP), packets.request(ETH1.mac, CLIENT, VIP)) is Ignored.OWN


def test_our_own_gratuitous_frames_come_back_without_harm():
    table = responder(VIP, interfaces=("eth0", "eth1"))
    assert answer(table, packets.gratuitous_request(ETH1.mac, VIP)) is Ignored.OWN
    assert answer(table, packets.gratuitous_reply(ETH1.mac, VIP)) is Ignored.PLAIN_REPLY


def test_a_sender_that_cannot_be_one_host_gets_no_reply():
    """A reply to a group address would be a broadcast that teaches everybody, asked for by a single forged frame."""
    for mac in (packets.BROADCAST, packets.UNKNOWN_MAC, bytes.fromhex("01005e000001")):
        assert answer(responder(VIP), packets.request(mac, CLIENT, VIP)) is Ignored.BAD_SENDER
        assert answer(responder(VIP), packets.gratuitous_request(mac, VIP)) is Ignored.BAD_SENDER


def test_a_reply_to_us_or_about_others_is_ignored():
    frame = packets.reply(packets.reply_head(ROGUE_MAC), FOREIGN, ETH0.mac, CLIENT)
    assert answer(responder(VIP), frame) is Ignored.PLAIN_REPLY


def test_a_gratuitous_request_about_another_address_is_not_ours():
    assert answer(responder(VIP), packets.gratuitous_request(CLIENT_MAC, CLIENT)) is Ignored.NOT_OURS


class TestRfc5227:
    """One test per rule of RFC 5227 that falls to a host which defends an address."""

    def test_a_probe_for_our_address_is_answered_section_2_1_1(self):
        reply = answer(responder(VIP), packets.request(CLIENT_MAC, packets.UNSPECIFIED, VIP))
        assert parse(reply) == Arp(CLIENT_MAC, ETH0.mac, False, ETH0.mac, VIP, CLIENT_MAC, packets.UNSPECIFIED)

    def test_an_announcement_of_our_address_by_another_is_a_conflict_section_2_4(self):
        frame = packets.gratuitous_request(ROGUE_MAC, VIP)
        assert answer(responder(VIP), frame) == Conflict(VIP, ROGUE_MAC, None)

    def test_any_request_with_our_address_as_sender_is_a_conflict_section_2_4(self):
        frame = packets.request(ROGUE_MAC, VIP, FOREIGN)
        assert answer(responder(VIP), frame) == Conflict(VIP, ROGUE_MAC, None)

    def test_any_reply_with_our_address_as_sender_is_a_conflict_section_2_4(self):
        frame = packets.reply(packets.reply_head(ROGUE_MAC), VIP, CLIENT_MAC, CLIENT)
        assert answer(responder(VIP), frame) == Conflict(VIP, ROGUE_MAC, None)

    def test_a_conflict_is_one_only_on_the_interfaces_of_the_address(self):
        assert answer(responder(VIP), packets.gratuitous_request(ROGUE_MAC, VIP), ETH1) is Ignored.NOT_OURS

    def test_who_claims_one_address_and_asks_for_another_is_both(self):
        """A node with the address on a local device (IPVS) asks like this; traffic must flow while we complain."""
        conflict = answer(responder(VIP, OTHER_VIP), packets.request(ROGUE_MAC, VIP, OTHER_VIP))
        assert (conflict.address, conflict.mac) == (VIP, ROGUE_MAC)
        assert parse(conflict.reply) == Arp(ROGUE_MAC, ETH0.mac, False, ETH0.mac, OTHER_VIP, ROGUE_MAC, VIP)


class TestTable:
    def test_holding_again_changes_nothing(self):
        table = Table()
        assert table.hold(VIP, ("eth0", "eth1")) == (("eth0", "eth1"), ())
        assert table.hold(VIP, ("eth1", "eth0")) == ((), ())

    def test_holding_on_other_interfaces_tells_the_difference(self):
        table = responder(VIP, interfaces=("eth0", "eth1"))
        assert table.hold(VIP, ("eth1", "eth2")) == (("eth2",), ("eth0",))

    def test_replies_are_counted_per_address(self):
        table = responder(VIP, OTHER_VIP)
        for _ in range(3):
            answer(table, packets.request(CLIENT_MAC, CLIENT, VIP))
        assert [(entry.address, entry.replies) for entry in table.active] == [(VIP, 3)]

    def test_not_every_address_can_be_held(self):
        assert is_announceable(VIP)
        assert is_announceable(bytes.fromhex("20010db8000000000000000000000001"))
        for address in (
            bytes(4),
            bytes([224, 0, 0, 1]),
            b"\xff" * 4,
            bytes(16),
            bytes(15) + b"\x01",
            b"\xff" + bytes(15),
            bytes(5),
        ):
            assert not is_announceable(address)


@given(st.binary(max_size=100), st.integers(0, 100))
def test_junk_is_never_answered(junk, length):
    table = responder(VIP, OTHER_VIP)
    frame = bytearray(junk.ljust(100, b"\0"))
    decision = ArpResponder(table).answer(ETH0, frame, min(length, len(junk)))
    assert isinstance(decision, Ignored)


@given(
    st.sampled_from([packets.BROADCAST, ETH0.mac, ROGUE_MAC]),
    st.booleans(),
    st.sampled_from([CLIENT_MAC, ROGUE_MAC, ETH0.mac, packets.BROADCAST, packets.UNKNOWN_MAC]),
    st.sampled_from([CLIENT, VIP, OTHER_VIP, packets.UNSPECIFIED]),
    st.sampled_from([CLIENT, VIP, OTHER_VIP, FOREIGN]),
)
def test_every_reply_is_unicast_to_the_asker_and_about_an_address_of_ours(
    destination, is_request, sender_mac, sender, target
):
    frame = packets.build(Arp(destination, sender_mac, is_request, sender_mac, sender, packets.UNKNOWN_MAC, target))
    decision = answer(responder(VIP, OTHER_VIP), frame)
    reply = decision.reply if isinstance(decision, Conflict) else decision
    if isinstance(reply, bytes):
        assert is_request
        assert parse(reply) == Arp(sender_mac, ETH0.mac, False, ETH0.mac, target, sender_mac, sender)
        assert target in (VIP, OTHER_VIP)
        assert sender_mac in (CLIENT_MAC, ROGUE_MAC)


def probing(*names: str) -> Table:
    table = responder(OTHER_VIP)
    table.probed[VIP] = names or ("eth0",)
    return table


def test_an_address_that_is_only_probed_for_is_not_answered_for():
    assert answer(probing(), packets.request(CLIENT_MAC, CLIENT, VIP)) is Ignored.NOT_OURS


def test_rfc5227_2_1_1_any_frame_of_its_sender_shows_that_a_probed_address_is_in_use():
    for frame in (
        packets.reply(packets.reply_head(ROGUE_MAC), VIP, ETH0.mac, packets.UNSPECIFIED),
        packets.gratuitous_request(ROGUE_MAC, VIP),
        packets.gratuitous_reply(ROGUE_MAC, VIP),
        packets.request(ROGUE_MAC, VIP, FOREIGN),
    ):
        assert answer(probing(), frame) == InUse(VIP, ROGUE_MAC, False, None)


def test_rfc5227_2_1_1_another_hosts_probe_for_it_counts_too():
    frame = packets.request(ROGUE_MAC, packets.UNSPECIFIED, VIP)
    assert answer(probing(), frame) == InUse(VIP, ROGUE_MAC, True, None)


def test_our_own_frames_and_those_of_another_interface_show_nothing():
    assert answer(probing(), packets.gratuitous_request(ETH1.mac, VIP)) is Ignored.NOT_OURS
    assert answer(probing(), packets.request(ETH1.mac, packets.UNSPECIFIED, VIP)) is Ignored.NOT_OURS
    assert answer(probing("eth1"), packets.gratuitous_request(ROGUE_MAC, VIP)) is Ignored.NOT_OURS


def test_the_user_of_a_probed_address_gets_its_answer_about_another_one():
    found = answer(probing(), packets.request(ROGUE_MAC, VIP, OTHER_VIP))
    assert (found.address, found.is_probe) == (VIP, False)
    assert parse(found.reply).sender == OTHER_VIP
