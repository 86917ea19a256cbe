"""The heartbeat packet: its bytes, and that nothing but what a key signed gets through."""

import hmac
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.heartbeat.packets import (
    BEHIND,
    GOODBYE,
    MAX_INCARNATION_BYTES,
    MAX_INTERFACE_BYTES,
    MAX_INTERFACES,
    MAX_NODE_BYTES,
    MAX_PACKET_BYTES,
    MEMBER,
    SERVING,
    Dropped,
    Packet,
    decode,
    echoed,
    echoes_of,
    encode,
    room_for_echoes,
    tag_of,
)

KEY, OTHER = b"k" * 32, b"o" * 32
PLAIN = Packet("node1", "abc", 7, 200, 1500, SERVING | MEMBER, ("eth0", "bond0"), b"")

names = st.text(string.ascii_lowercase + "0123456789-.", min_size=1)
tags = st.binary(min_size=8, max_size=8)
heartbeats = st.builds(
    Packet,
    node=names.filter(lambda name: len(name) <= MAX_NODE_BYTES),
    incarnation=st.text(min_size=1, max_size=16),
    sequence=st.integers(0, 2**64 - 1),
    interval_milliseconds=st.integers(0, 0xFFFF),
    contact_age_milliseconds=st.none() | st.integers(0, 2**32 - 2),
    flags=st.integers(0, 31),
    interfaces=st.lists(names.filter(lambda name: len(name) <= MAX_INTERFACE_BYTES), max_size=MAX_INTERFACES).map(
        tuple
    ),
    echoes=st.lists(st.tuples(tags, st.integers(0, 2**32 - 1)), max_size=20).map(echoes_of),
)


def signed(body: bytes, key: bytes = KEY) -> bytes:
    return body + hmac.digest(key, body, "sha256")


def test_the_bytes_of_a_packet() -> None:
    echoes = echoes_of([(b"tagtagta", 0x1_0000_0002)])
    packet = encode(PLAIN._replace(echoes=echoes), KEY)
    assert packet[:-32] == bytes.fromhex(
        "42525448 01 03 00c8 0000000000000007 000005dc 05 03 0b 01"
        "6e6f646531 616263 04 65746830 05 626f6e6430"
        "7461677461677461 00000002"
    )
    assert packet[-32:] == hmac.digest(KEY, packet[:-32], "sha256")


@given(heartbeats, st.binary(min_size=16, max_size=150))
def test_what_was_encoded_is_decoded(beat: Packet, key: bytes) -> None:
    packet = encode(beat, key)
    assert len(packet) <= MAX_PACKET_BYTES
    assert packet[-32:] == hmac.digest(key, packet[:-32], "sha256")
    assert decode(packet, [OTHER, key]) == beat


@given(st.binary(max_size=MAX_PACKET_BYTES + 50))
def test_junk_is_dropped(junk: bytes) -> None:
    assert decode(junk, [KEY]) in (Dropped.MALFORMED, Dropped.UNSIGNED)
    assert decode(b"BRTH" + junk, [KEY]) in (Dropped.MALFORMED, Dropped.UNSIGNED)


@given(st.binary(max_size=200))
def test_junk_that_is_signed_is_dropped_or_read(junk: bytes) -> None:
    """A speaker of another version, or a broken one: never an exception."""
    assert isinstance(decode(signed(b"BRTH\x01" + junk), [KEY]), Dropped | Packet)


@given(heartbeats, st.data())
def test_no_bit_can_be_changed(beat: Packet, data: st.DataObject) -> None:
    packet = bytearray(encode(beat, KEY))
    bit = data.draw(st.integers(0, 8 * len(packet) - 1))
    packet[bit // 8] ^= 1 << bit % 8
    assert decode(bytes(packet), [KEY]) in (Dropped.MALFORMED, Dropped.UNSIGNED)


@given(heartbeats, st.data())
def test_no_packet_can_be_cut_or_grown(beat: Packet, data: st.DataObject) -> None:
    packet = encode(beat, KEY)
    shorter = packet[: data.draw(st.integers(0, len(packet) - 1))]
    assert isinstance(decode(shorter, [KEY]), Dropped)
    assert isinstance(decode(packet + b"\0", [KEY]), Dropped)


def test_a_packet_of_another_key_is_unsigned_and_without_keys_all_are() -> None:
    assert decode(encode(PLAIN, OTHER), [KEY]) is Dropped.UNSIGNED
    assert decode(encode(PLAIN, KEY), []) is Dropped.UNSIGNED


def test_another_version_is_told_from_a_forgery() -> None:
    body = bytearray(encode(PLAIN, KEY)[:-32])
    body[4] = 2
    assert decode(signed(bytes(body)), [KEY]) is Dropped.OTHER_VERSION
    assert decode(signed(bytes(body), OTHER), [KEY]) is Dropped.UNSIGNED


def test_a_later_version_may_add_something_at_the_end() -> None:
    assert decode(signed(encode(PLAIN, KEY)[:-32] + b"more"), [KEY]) == PLAIN


def test_signed_lengths_that_do_not_add_up_are_malformed() -> None:
    body = encode(PLAIN, KEY)[:-32]
    for at in range(20, 24):  # the four lengths
        broken = bytearray(body)
        broken[at] = 255
        assert decode(signed(bytes(broken)), [KEY]) is Dropped.MALFORMED
    one_more = bytearray(body)
    one_more[22] += 1  # the names end within an interface's
    assert decode(signed(bytes(one_more) + b"\5"), [KEY]) is Dropped.MALFORMED
    for at in (20, 21):
        empty = bytearray(body)
        empty[at] = 0
        assert decode(signed(bytes(empty[:24])), [KEY]) is Dropped.MALFORMED


def test_what_does_not_fit_is_cut_or_refused() -> None:
    many = tuple(f"interface{number:06}" for number in range(30))
    beat = PLAIN._replace(interfaces=many, interval_milliseconds=10**6, contact_age_milliseconds=10**12)
    seen = decode(encode(beat, KEY), [KEY])
    assert isinstance(seen, Packet)
    assert seen.interfaces == many[:MAX_INTERFACES]
    assert (seen.interval_milliseconds, seen.contact_age_milliseconds) == (0xFFFF, 2**32 - 2)
    for field, longest in (("node", MAX_NODE_BYTES), ("incarnation", MAX_INCARNATION_BYTES)):
        encode(PLAIN._replace(**{field: "x" * longest}), KEY)
        with pytest.raises(ValueError, match="too long"):
            encode(PLAIN._replace(**{field: "x" * (longest + 1)}), KEY)


def test_the_longest_packet_has_room_for_echoes_and_no_more_than_it_may_have() -> None:
    longest = PLAIN._replace(
        node="n" * MAX_NODE_BYTES,
        incarnation="i" * MAX_INCARNATION_BYTES,
        interfaces=("i" * MAX_INTERFACE_BYTES,) * MAX_INTERFACES,
    )
    room = room_for_echoes(longest.node, longest.incarnation, longest.interfaces)
    assert room > 40
    assert len(encode(longest._replace(echoes=bytes(12 * room)), KEY)) <= MAX_PACKET_BYTES
    with pytest.raises(ValueError, match="more than 1200 bytes"):
        encode(longest._replace(echoes=bytes(12 * (room + 1))), KEY)
    assert room_for_echoes("node1", "a" * 36, ("eth0",)) > 85


@given(st.lists(st.tuples(tags, st.integers(0, 2**40)), max_size=30, unique_by=lambda each: each[0]), tags)
def test_each_echo_is_found_and_no_other(heard: list[tuple[bytes, int]], other: bytes) -> None:
    echoes = echoes_of(heard)
    for tag, sequence in heard:
        assert echoed(echoes, tag) == sequence & 0xFFFFFFFF
    if other not in dict(heard):
        assert echoed(echoes, other) is None


def test_a_tag_that_stands_across_two_echoes_is_no_echo() -> None:
    echoes = echoes_of([(b"aaaaaaaa", 0x62626262), (b"cccccccc", 1)])
    assert echoed(echoes, b"aabbbbcc") is None
    assert echoed(echoes + echoes_of([(b"aabbbbcc", 9)]), b"aabbbbcc") == 9


def test_tags_tell_nodes_and_incarnations_apart() -> None:
    made = {tag_of(node, incarnation) for node in ("a", "b") for incarnation in ("1", "2")}
    assert len(made) == 4
    assert all(len(tag) == 8 for tag in made)


def test_flags_do_not_overlap() -> None:
    assert SERVING | MEMBER | BEHIND | GOODBYE == SERVING + MEMBER + BEHIND + GOODBYE
