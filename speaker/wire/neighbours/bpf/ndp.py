"""The part of the program that answers Neighbor Solicitations, as ndpresponder.py does. Offsets: neighbours/ndp.py.

It knows solicitations without an option, as hosts send them that look for duplicates, and with one of 8 octets: the
link-layer address of the sender, or a nonce (RFC 7527). Others, such as those of SEND (RFC 3971), go on to the wire
process, as does everything that it does not answer. Numbers of §: RFC 4861.
"""

from __future__ import annotations

from speaker.wire.neighbours import ndp
from speaker.wire.neighbours.bpf.assembler import (
    BYTE,
    DOUBLE,
    HALF,
    R0,
    R2,
    R3,
    R10,
    WORD,
    Step,
    compute,
    compute_with,
    jump,
    jump_if,
    labelled,
    load,
    set_value,
    store,
    store_value,
)
from speaker.wire.neighbours.bpf.maps import IPV6, Maps
from speaker.wire.neighbours.bpf.steps import (
    ANSWER,
    DATA,
    INTERFACE,
    KEY_ADDRESS,
    MAC_KEY,
    answered,
    bound,
    expect_half,
    expect_word,
    find_interface,
    fold,
    in_frame_order,
    is_host,
    load_frame,
    mac_key,
    move,
    nobodys,
    not_own,
    reach,
    send,
    to_this_mac,
    word,
    words,
)

COUNT = 1

_HEADERS_BYTES, _PLAIN_BYTES, _OPTION_BYTES = 54, 78, 86
_ICMPV6, _SOLICITATION, _ADVERTISEMENT = 58, 135, 136
_SOLICITED, _OVERRIDE = 0x40, 0x20
_SOURCE, _DESTINATION, _TARGET = 22, 38, 62


def steps(maps: Maps) -> list[Step]:
    """Begins at the label "ndp", with the context in r6. All IPv6 that the machine receives comes here."""
    return [
        labelled("ndp", set_value(R2, 0)),
        *load_frame(),
        *bound(_HEADERS_BYTES + 2, "next"),
        *expect_half(20, _ICMPV6 << 8 | 255),
        *expect_half(_HEADERS_BYTES, _SOLICITATION << 8),
        *expect_half(12, 0x86DD),
        load(BYTE, R2, DATA, 14),
        compute(R2, ">>", 4),
        jump_if(R2, "!=", 6, "next"),
        # as long as we know: without an option, or with one of 8 octets
        load(HALF, R2, DATA, 18),
        jump_if(R2, "==", in_frame_order(24), "ndp plain"),
        jump_if(R2, "!=", in_frame_order(32), "next"),
        *reach(_OPTION_BYTES, "ndp option"),
        jump("ndp frame"),
        labelled("ndp plain", set_value(R2, 0)),
        *reach(_PLAIN_BYTES, "ndp frame"),
        *find_interface(maps, IPV6),
        # to a group, or to us
        load(BYTE, R2, DATA, 0),
        jump_if(R2, "&", 1, "ndp to us"),
        *to_this_mac("ndp to us"),
        *mac_key(6),
        *not_own(maps),
        *move(KEY_ADDRESS, DATA, _SOURCE, 16),
        *nobodys(maps),
        *move(KEY_ADDRESS, DATA, _TARGET, 16),
        *answered(maps),
        *_option(maps),
        *is_host(),
        *_checksum_of_frame(),
        *_answer(),
        *_checksum_of_answer(),
        *send(maps, _OPTION_BYTES, COUNT),
    ]


def _option(maps: Maps) -> list[Step]:
    """The asker's MAC becomes the key: of the source link-layer address option, else of the frame.

    §7.1.1: a host that has no address yet, whose source is ::, gives none.
    """
    return [
        load(HALF, R2, DATA, 18),
        jump_if(R2, "==", in_frame_order(24), "ndp asker"),
        *bound(_OPTION_BYTES, "next"),
        load(BYTE, R2, DATA, 79),
        jump_if(R2, "!=", 1, "next"),
        load(BYTE, R2, DATA, 78),
        jump_if(R2, "!=", 1, "ndp asker"),
        *_source_or("ndp told"),
        jump("next"),
        labelled("ndp told", set_value(R2, 0)),
        *mac_key(80),
        *not_own(maps),
        labelled("ndp asker", set_value(R2, 0)),
    ]


def _source_or(label: str) -> list[Step]:
    """Go there when the source address is not ::."""
    return [
        load(DOUBLE, R2, DATA, _SOURCE),
        load(DOUBLE, R3, DATA, _SOURCE + 8),
        compute_with(R2, "|", R3),
        jump_if(R2, "!=", 0, label),
    ]


def _checksum_of_frame() -> list[Step]:
    """RFC 4443 §2.3, with the pseudo-header of RFC 8200 §8.1: the length, which stands in the frame, and 58."""
    return [
        load(HALF, R3, DATA, 18),
        compute(R3, "+", in_frame_order(_ICMPV6)),
        *words(DATA, _SOURCE, _PLAIN_BYTES - _SOURCE),
        load(HALF, R2, DATA, 18),
        jump_if(R2, "==", in_frame_order(24), "ndp summed"),
        *bound(_OPTION_BYTES, "next"),
        *words(DATA, _PLAIN_BYTES, _OPTION_BYTES - _PLAIN_BYTES),
        labelled("ndp summed", set_value(R0, 0)),
        *fold(),
        jump_if(R3, "!=", 0xFFFF, "next"),
    ]


def _answer() -> list[Step]:
    """§7.2.4: to the asker, solicited; to one that has no address yet, to all nodes and unsolicited."""
    all_nodes, all_nodes_mac = ndp.ALL_NODES, ndp.ALL_NODES_MAC
    return [
        *_source_or("ndp to asker"),
        # RFC 4862 §5.4.3: such a question goes to the group of the address (§7.1.1)
        *expect_word(_DESTINATION, b"\xff\x02\0\0"),
        *expect_word(_DESTINATION + 4, bytes(4)),
        *expect_word(_DESTINATION + 8, b"\0\0\0\1"),
        load(BYTE, R2, DATA, _DESTINATION + 12),
        jump_if(R2, "!=", 0xFF, "next"),
        store_value(HALF, R10, ANSWER, int.from_bytes(all_nodes_mac[:2], "little")),
        store_value(HALF, R10, ANSWER + 2, int.from_bytes(all_nodes_mac[2:4], "little")),
        store_value(HALF, R10, ANSWER + 4, int.from_bytes(all_nodes_mac[4:], "little")),
        *(store_value(WORD, R10, ANSWER + 38 + at, word(all_nodes[at : at + 4])) for at in range(0, 16, 4)),
        store_value(WORD, R10, ANSWER + 58, _OVERRIDE),
        jump("ndp rest"),
        labelled("ndp to asker", set_value(R2, 0)),
        *move(ANSWER, R10, MAC_KEY, 6),
        *move(ANSWER + 38, DATA, _SOURCE, 16),
        store_value(WORD, R10, ANSWER + 58, _SOLICITED | _OVERRIDE),
        labelled("ndp rest", set_value(R2, 0)),
        *move(ANSWER + 6, INTERFACE, 0, 6),
        store_value(HALF, R10, ANSWER + 12, in_frame_order(0x86DD)),
        store_value(WORD, R10, ANSWER + 14, word(ndp.USUAL_HEADER[2:6])),
        store_value(WORD, R10, ANSWER + 18, word(ndp.USUAL_HEADER[6:10])),
        *move(ANSWER + 22, DATA, _TARGET, 16),
        store_value(WORD, R10, ANSWER + 54, _ADVERTISEMENT),  # code and checksum 0
        *move(ANSWER + 62, DATA, _TARGET, 16),
        store_value(HALF, R10, ANSWER + 78, int.from_bytes(b"\x02\x01", "little")),
        *move(ANSWER + 80, INTERFACE, 0, 6),
    ]


def _checksum_of_answer() -> list[Step]:
    return [
        set_value(R3, in_frame_order(32) + in_frame_order(_ICMPV6)),
        *words(R10, ANSWER + _SOURCE, _OPTION_BYTES - _SOURCE),
        *fold(),
        compute(R3, "^", 0xFFFF),
        store(HALF, R10, ANSWER + 56, R3),
    ]
