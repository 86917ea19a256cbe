"""The bytes of a BFD Control packet: as captured from routers, there and back, and junk."""

from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.bfd.packets import Discard, Packet, State, build, parse
from tests.speaker.wire.bfd.make import packet

# From BIRD 2.0.12 and FRR 8.4.4 (its session asks for echo packets each 50 ms, which is not for us).
BIRD = bytes.fromhex("20c003181d1b8bb2a86f5b10000493e0000493e000000000")
NUMBERS = st.integers(0, 2**32 - 1)
PACKETS = st.builds(
    Packet,
    st.sampled_from(State),
    st.integers(0, 31),
    st.booleans(),
    st.booleans(),
    st.just(False),
    st.integers(1, 255),
    st.integers(1, 2**32 - 1),
    NUMBERS,
    NUMBERS,
    NUMBERS,
)


def test_a_routers_packet_is_understood():
    assert parse(BIRD) == packet(State.UP, mine=0x1D1B8BB2, yours=0xA86F5B10)


def test_our_packets_bytes_are_those_of_the_diagram():
    made = build(packet(State.INIT, diagnostic=1, poll=True, multiplier=5, mine=0x01020304, yours=0x05060708))
    assert made.hex() == "21a00518" + "01020304" + "05060708" + "000493e0" + "000493e0" + "00000000"


@given(PACKETS)
def test_what_is_built_is_parsed(made):
    if made.your_discriminator == 0 and made.state in (State.INIT, State.UP):
        assert parse(build(made)) is Discard.STATE
    else:
        assert parse(build(made)) == made


@given(st.binary(max_size=64))
def test_junk_is_refused_or_a_packet(junk):
    assert isinstance(parse(junk), Packet | Discard)


@given(PACKETS, st.integers(0, 23), st.integers(0, 255))
def test_a_packet_with_a_changed_byte_never_breaks_the_parser(made, place, byte):
    changed = bytearray(build(made))
    changed[place] = byte
    assert isinstance(parse(bytes(changed)), Packet | Discard)
