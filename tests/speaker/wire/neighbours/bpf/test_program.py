"""The program in the kernel against the responders of the wire process: the same answer to any frame, or none by both.

The frames go through BPF_PROG_TEST_RUN, which has them come in by the loopback device.
"""

import ipaddress
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speaker.wire.neighbours import arp, ndp
from speaker.wire.neighbours.arp import Arp
from speaker.wire.neighbours.arpresponder import ArpResponder
from speaker.wire.neighbours.bpf import maps as layouts
from speaker.wire.neighbours.bpf.assembler import NEXT_PROGRAM
from speaker.wire.neighbours.bpf.io import calls
from speaker.wire.neighbours.bpf.io.responder import Responder
from speaker.wire.neighbours.ndp import Advertisement, Solicitation
from speaker.wire.neighbours.ndpresponder import NdpResponder
from speaker.wire.neighbours.table import Table, interface

pytestmark = pytest.mark.root

LOOPBACK = 1
TABLE, OTHER_TABLE = 1, 2
REDIRECT = 7  # TC_ACT_REDIRECT
ETH0 = interface("eth0", bytes.fromhex("02000000000a"))
ETH1 = interface("eth1", bytes.fromhex("02000000000b"))
CLIENT_MAC, ROGUE_MAC = bytes.fromhex("020000000002"), bytes.fromhex("0200000000ee")


def ip(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


CLIENT, VIP, OTHER_VIP = ip("192.0.2.2"), ip("192.0.2.10"), ip("192.0.2.11")
ELSEWHERE, PROBED, FOREIGN = ip("192.0.2.12"), ip("192.0.2.13"), ip("192.0.2.99")
CLIENT6, VIP6, OTHER_VIP6 = ip("2001:db8::2"), ip("2001:db8::10"), ip("2001:db8::11")
ELSEWHERE6, PROBED6, FOREIGN6 = ip("2001:db8::12"), ip("2001:db8::13"), ip("2001:db8::99")
MAPPED = ip("::ffff:192.0.2.10")  # an IPv6 address that is written as an IPv4 address is

HELD = (VIP, OTHER_VIP, VIP6, OTHER_VIP6)


@dataclass
class Twins:
    """The wire process's responders, and the program, with the same addresses in force."""

    table: Table
    kernel: Responder

    def answer_of_process(self, frame: bytes) -> bytes | None:
        """What the process answers, where it has nothing else to do with the frame."""
        responder = NdpResponder(self.table) if frame[12:14] == b"\x86\xdd" else ArpResponder(self.table)
        decision = responder.answer(ETH0, bytearray(frame) + b"\xee" * 100, len(frame))
        return decision if isinstance(decision, bytes) else None

    def answer_of_kernel(self, frame: bytes) -> bytes | None:
        """What the program answers. A frame that it does not answer goes on as it is."""
        result, left = calls.run(self.kernel.program, frame)
        if result == REDIRECT:
            return left
        assert (result, left) == (NEXT_PROGRAM, frame)
        return None

    def agree(self, frame: bytes) -> bool:
        """Returns whether there is an answer."""
        expected = self.answer_of_process(frame)
        given = self.answer_of_kernel(frame)
        assert given == expected or (given is None and is_left_to_process(frame))
        return given is not None


def is_left_to_process(frame: bytes) -> bool:
    """A solicitation with more than one option of 8 octets."""
    return frame[12:14] == b"\x86\xdd" and int.from_bytes(frame[18:20], "big") not in (24, 32)


@pytest.fixture(scope="module")
def twins() -> Iterator[Twins]:
    table, kernel = Table(), Responder()
    table.own_macs = frozenset({ETH0.mac, ETH1.mac})
    kernel.set_own(table.own_macs)
    for address in HELD:
        table.hold(address, ["eth0", "eth1"])
        assert kernel.put(TABLE, address, is_answered=True)
        kernel.put(OTHER_TABLE, address, is_answered=True)
    for address in (ELSEWHERE, ELSEWHERE6):
        table.hold(address, ["eth1"])
        kernel.put(OTHER_TABLE, address, is_answered=True)
    for address in (PROBED, PROBED6):
        table.probed[address] = ("eth0",)
        kernel.put(TABLE, address, is_answered=False)
    assert kernel.use(LOOPBACK, ETH0.mac, TABLE)
    kernel.set_deadline(boottime() + 3600)
    yield Twins(table, kernel)
    kernel.close()


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


macs = st.sampled_from(
    [CLIENT_MAC, ROGUE_MAC, ETH0.mac, ETH1.mac, bytes(6), b"\xff" * 6, ndp.solicited_node_mac(VIP6), b"\1" + bytes(5)]
) | st.binary(min_size=6, max_size=6)
addresses4 = st.sampled_from(
    [CLIENT, VIP, VIP, OTHER_VIP, ELSEWHERE, PROBED, FOREIGN, bytes(4), b"\xff" * 4]
) | st.binary(min_size=4, max_size=4)
addresses6 = st.sampled_from(
    [CLIENT6, VIP6, VIP6, OTHER_VIP6, ELSEWHERE6, PROBED6, FOREIGN6, bytes(16), ndp.ALL_NODES, MAPPED]
) | st.binary(min_size=16, max_size=16)
groups = st.sampled_from([ndp.solicited_node(one) for one in (VIP6, OTHER_VIP6, PROBED6)])

arps = st.builds(Arp, macs, macs, st.booleans(), macs, addresses4, macs, addresses4).map(arp.build)
to_us = st.sampled_from([arp.BROADCAST, arp.BROADCAST, ETH0.mac, ETH0.mac, ROGUE_MAC])
hosts = st.sampled_from([CLIENT_MAC, CLIENT_MAC, ROGUE_MAC, ROGUE_MAC, ETH1.mac])
senders4, senders6 = st.sampled_from([CLIENT, bytes(4), FOREIGN]), st.sampled_from([CLIENT6, FOREIGN6, MAPPED])
targets4, targets6 = st.sampled_from([VIP, OTHER_VIP, ELSEWHERE]), st.sampled_from([VIP6, OTHER_VIP6, ELSEWHERE6])
ordinary_arps = st.builds(arp.request, hosts, senders4, targets4, to=to_us)
solicitations = st.builds(Solicitation, macs, macs, addresses6, addresses6 | groups, addresses6, st.none() | macs).map(
    ndp.build
)
ordinary_solicitations = (
    st.builds(ndp.solicitation, hosts, senders6, targets6)
    | st.builds(ndp.probe, hosts, targets6)
    | st.builds(Solicitation, to_us, hosts, senders6, targets6, targets6, st.none() | hosts).map(ndp.build)
)
advertisements = st.builds(
    Advertisement, macs, macs, addresses6, addresses6, addresses6, st.none() | macs, st.booleans(), st.booleans()
).map(ndp.build)


def with_options(frame: bytes, options: bytes) -> bytes:
    """A solicitation with other options, summed up anew."""
    payload = frame[54:78] + options
    head = frame[:18] + len(payload).to_bytes(2, "big") + frame[20:54]
    return summed(head + payload)


def summed(frame: bytes) -> bytes:
    """With the checksum that it should have."""
    text = frame[22:56] + b"\0\0" + frame[58:]
    text += b"\0" * (len(text) % 2)
    total = int.from_bytes(text, "big") + len(frame) - 54 + 58
    return frame[:56] + (-total % 0xFFFF).to_bytes(2, "big") + frame[58:]


options = st.lists(
    st.tuples(st.sampled_from([1, 2, 14]) | st.integers(0, 255), st.integers(0, 3), st.binary(min_size=6, max_size=6)),
    max_size=3,
).map(lambda many: b"".join(bytes([kind, length]) + rest for kind, length, rest in many))
strange_options = st.builds(with_options, ordinary_solicitations, options | st.binary(max_size=40))

ordinary = ordinary_arps | ordinary_solicitations
messages = ordinary | arps | solicitations | advertisements | strange_options


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A frame with a few bytes changed, summed up or not, cut off or followed by something."""
    frame = bytearray(draw(draw(st.sampled_from([ordinary, messages]))))
    for _ in range(draw(st.integers(0, 2))):
        frame[draw(st.integers(12, len(frame) - 1))] = draw(st.integers(0, 255))
    made = bytes(frame)
    if len(made) >= 78 and draw(st.booleans()):
        made = summed(made)
    if draw(st.booleans()):
        return made + draw(st.binary(max_size=40))
    return made[: draw(st.integers(14, len(made)))] if draw(st.booleans()) else made


# An alternative of alternatives would be one among them all.
frames = st.sampled_from([ordinary, bent(), messages, st.binary(min_size=14, max_size=200)]).flatmap(lambda one: one)
many = settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@given(frame=frames)
@many
def test_the_program_and_the_process_give_the_same_answer_to_any_frame(twins: Twins, frame: bytes) -> None:
    try:
        twins.agree(frame)
    except calls.BpfError:  # TEST_RUN takes no IPv6 frame that has less than an IPv6 header
        assert len(frame) < 54


@given(frame=ordinary | arps | solicitations, padding=st.binary(max_size=18))
@many
def test_with_nothing_probed_too(twins: Twins, frame: bytes, padding: bytes) -> None:
    """The process looks at frames in another order then."""
    probed, twins.table.probed = twins.table.probed, {}
    for address in probed:
        twins.kernel.remove(TABLE, address)
    try:
        twins.agree(frame + padding)
    finally:
        twins.table.probed = probed
        for address in probed:
            twins.kernel.put(TABLE, address, is_answered=False)


QUESTIONS = (
    arp.request(CLIENT_MAC, CLIENT, VIP),
    arp.request(CLIENT_MAC, CLIENT, VIP, to=ETH0.mac),
    arp.request(CLIENT_MAC, arp.UNSPECIFIED, VIP),
    arp.request(CLIENT_MAC, CLIENT, VIP) + b"\xab" * 18,
    ndp.solicitation(CLIENT_MAC, CLIENT6, VIP6),
    ndp.probe(CLIENT_MAC, VIP6),
    with_options(ndp.probe(CLIENT_MAC, VIP6), b"\x0e\x01nonce!"),
    ndp.build(Solicitation(ETH0.mac, CLIENT_MAC, CLIENT6, VIP6, VIP6, None)),
    ndp.build(Solicitation(ETH0.mac, ROGUE_MAC, CLIENT6, VIP6, VIP6, CLIENT_MAC)) + b"trailer",
)


@pytest.mark.parametrize("frame", QUESTIONS)
def test_the_questions_that_hosts_ask_are_answered(twins: Twins, frame: bytes) -> None:
    assert twins.agree(frame)


LEFT = (
    arp.gratuitous_request(ROGUE_MAC, VIP),
    arp.gratuitous_reply(ROGUE_MAC, VIP),
    arp.request(ROGUE_MAC, VIP, OTHER_VIP),
    arp.request(ROGUE_MAC, PROBED, VIP),
    arp.request(ROGUE_MAC, arp.UNSPECIFIED, PROBED),
    ndp.build(Solicitation(ETH0.mac, ROGUE_MAC, VIP6, OTHER_VIP6, OTHER_VIP6, ROGUE_MAC)),
    ndp.build(Solicitation(ETH0.mac, ROGUE_MAC, PROBED6, VIP6, VIP6, ROGUE_MAC)),
    ndp.probe(ROGUE_MAC, PROBED6),
    ndp.build(Advertisement(ndp.ALL_NODES_MAC, ROGUE_MAC, VIP6, ndp.ALL_NODES, VIP6, ROGUE_MAC, is_override=True)),
)


@pytest.mark.parametrize("frame", LEFT)
def test_what_tells_of_another_machine_goes_on_to_the_process(twins: Twins, frame: bytes) -> None:
    assert twins.answer_of_kernel(frame) is None


def changed(frame: bytes, at: int, *values: int, is_summed: bool = True) -> bytes:
    """With other bytes from there on."""
    made = frame[:at] + bytes(values) + frame[at + len(values) :]
    return summed(made) if is_summed and made[12:14] == b"\x86\xdd" else made


ASK, ASK6, PROBE6 = QUESTIONS[0], QUESTIONS[4], QUESTIONS[5]
PLAIN6 = QUESTIONS[7]

# What one of the checks alone keeps from an answer.
UNANSWERED = {
    "one byte short": ASK[:-1],
    "another hardware": changed(ASK, 14, 0, 6),
    "another protocol": changed(ASK, 16, 0x86, 0xDD),
    "longer hardware addresses": changed(ASK, 18, 8),
    "longer protocol addresses": changed(ASK, 19, 16),
    "a reply": changed(ASK, 20, 0, 2),
    "another operation": changed(ASK, 20, 0, 3),
    "to another MAC": changed(ASK, 0, *ROGUE_MAC),
    "to a MAC that begins as ours": changed(ASK, 0, *ETH0.mac[:4], 0, 0xBB),
    "to a MAC that ends as ours": changed(ASK, 0, 6, *ETH0.mac[1:]),
    "to a MAC that ends as that of all": changed(ASK, 0, 2, 0, 0, 0, 0xFF, 0xFF),
    "to a group": changed(ASK, 0, 1, 0, 0x5E, 0, 0, 1),
    "nearly to all": changed(ASK, 0, *b"\xff\xff\xff\xff\xff\xfe"),
    "from a group": changed(ASK, 22, 3),
    "from nobody": changed(ASK, 22, *bytes(6)),
    "from this machine": changed(ASK, 22, *ETH1.mac),
    "for another address": changed(ASK, 38, *FOREIGN),
    "for an address elsewhere": changed(ASK, 38, *ELSEWHERE),
    "for a probed one": changed(ASK, 38, *PROBED),
    "IPv6, one byte short": ASK6[:-1],
    "another version": changed(ASK6, 14, 0x40),
    "not all hops": changed(ASK6, 21, 254),
    "another code": changed(ASK6, 55, 1),
    "another message": changed(ASK6, 54, 133),
    "a wrong sum": changed(ASK6, 57, ASK6[57] ^ 1, is_summed=False),
    "IPv6 to another MAC": changed(PLAIN6, 0, *ROGUE_MAC),
    "IPv6 to a MAC that begins as ours": changed(PLAIN6, 0, *ETH0.mac[:4], 0, 0xBB),
    "IPv6 to a MAC that ends as ours": changed(PLAIN6, 0, 6, *ETH0.mac[1:]),
    "IPv6 from this machine": changed(ASK6, 6, *ETH1.mac),
    "told to be at this machine": changed(ASK6, 80, *ETH1.mac),
    "told to be a group": changed(ASK6, 80, 3),
    "told to be nobody": changed(ASK6, 80, *bytes(6)),
    "from a group, without an option": changed(PLAIN6, 6, 3),
    "IPv6 from nobody, without an option": changed(PLAIN6, 6, *bytes(6)),
    "an option of no length": changed(ASK6, 79, 0),
    "an option of no length behind another": with_options(PROBE6, b"\x0e\x01nonce!" + bytes(8)),
    "an option that is cut off": changed(ASK6, 79, 2),
    "IPv6 for another address": changed(ASK6, 62, *FOREIGN6),
    "IPv6 for an address elsewhere": changed(ASK6, 62, *ELSEWHERE6),
    "IPv6 for a probed one": changed(ASK6, 62, *PROBED6),
    "no address yet, and a link-layer address": changed(ASK6, 22, *bytes(16)),
    "no address yet, to one": changed(PROBE6, 38, *VIP6),
    **{f"no address yet, to no group of an address: byte {at}": changed(PROBE6, 38 + at, 0x7F) for at in range(13)},
}


@pytest.mark.parametrize("what", UNANSWERED)
def test_each_check_alone_keeps_from_an_answer(twins: Twins, what: str) -> None:
    frame = UNANSWERED[what]
    assert twins.answer_of_process(frame) is None
    assert twins.answer_of_kernel(frame) is None


@pytest.mark.parametrize("frame", QUESTIONS)
def test_after_the_deadline_nothing_is_answered(twins: Twins, frame: bytes) -> None:
    assert_silent_after_deadline(twins, frame)


def assert_silent_after_deadline(twins: Twins, frame: bytes) -> None:
    try:
        for past in (0, boottime() - 0.001):
            twins.kernel.set_deadline(past)
            assert twins.answer_of_kernel(frame) is None
        twins.kernel.set_deadline(boottime() + 0.05)
        assert twins.answer_of_kernel(frame) is not None
        time.sleep(0.051)
        assert twins.answer_of_kernel(frame) is None
    finally:
        twins.kernel.set_deadline(boottime() + 3600)


@pytest.mark.parametrize("wrong", ["<", "<=", None])
def test_a_wrong_comparison_of_the_deadline_is_found(monkeypatch: pytest.MonkeyPatch, wrong: str | None) -> None:
    from speaker.wire.neighbours.bpf import steps

    right = steps.jump_if_than

    def planted(register: int, condition: str, other: int, goes_to: str) -> steps.Step:
        if condition != ">=":
            return right(register, condition, other, goes_to)
        return right(register, wrong, other, goes_to) if wrong else steps.set_value(steps.R0, 0)

    monkeypatch.setattr(steps, "jump_if_than", planted)
    kernel = Responder()
    kernel.put(TABLE, VIP, is_answered=True)
    kernel.use(LOOPBACK, ETH0.mac, TABLE)
    with pytest.raises(AssertionError):
        assert_silent_after_deadline(Twins(Table(), kernel), QUESTIONS[0])
    kernel.close()


def test_without_a_permit_an_interface_or_the_address_nothing_is_answered() -> None:
    kernel = Responder()
    twins = Twins(Table(), kernel)
    steps = [
        lambda: kernel.set_deadline(boottime() + 3600),
        lambda: kernel.use(LOOPBACK, ETH0.mac, TABLE),
        lambda: kernel.put(TABLE, VIP, is_answered=True),
    ]
    for step in steps:
        assert twins.answer_of_kernel(QUESTIONS[0]) is None
        step()
    assert twins.answer_of_kernel(QUESTIONS[0]) is not None
    kernel.put(TABLE, VIP, is_answered=False)
    assert twins.answer_of_kernel(QUESTIONS[0]) is None
    kernel.put(TABLE, VIP, is_answered=True)
    kernel.leave(LOOPBACK)
    assert twins.answer_of_kernel(QUESTIONS[0]) is None
    kernel.use(LOOPBACK, ETH0.mac, TABLE)
    kernel.remove(TABLE, VIP)
    assert twins.answer_of_kernel(QUESTIONS[0]) is None
    kernel.close()


def test_a_changed_mac_is_in_the_very_next_answer(twins: Twins) -> None:
    changed = interface("eth0", bytes.fromhex("0200000000cc"))
    twins.kernel.use(LOOPBACK, changed.mac, TABLE)
    given = twins.answer_of_kernel(arp.request(CLIENT_MAC, CLIENT, VIP))
    twins.kernel.use(LOOPBACK, ETH0.mac, TABLE)
    assert given == arp.reply(changed.head, VIP, CLIENT_MAC, CLIENT)


def test_replies_are_counted_by_interface_and_protocol() -> None:
    kernel = Responder()
    for address in HELD:
        kernel.put(TABLE, address, is_answered=True)
    kernel.use(LOOPBACK + 1, ETH1.mac, OTHER_TABLE)
    kernel.use(LOOPBACK, ETH0.mac, TABLE)
    kernel.set_deadline(boottime() + 3600)
    twins = Twins(Table(), kernel)
    for frame in (*QUESTIONS, arp.gratuitous_request(ROGUE_MAC, VIP)):
        twins.answer_of_kernel(frame)
    assert kernel.replies(LOOPBACK) == (4, 5)
    assert kernel.replies(LOOPBACK + 1) == (0, 0)
    kernel.leave(LOOPBACK)
    kernel.use(LOOPBACK, ETH0.mac, TABLE)
    assert kernel.replies(LOOPBACK) == (0, 0)
    kernel.close()


def test_what_was_put_in_for_an_earlier_use_of_an_interface_counts_no_more() -> None:
    kernel = Responder()
    kernel.set_deadline(boottime() + 3600)
    for is_first in (True, False):
        table = kernel.new_table()
        if is_first:
            kernel.put(table, VIP, is_answered=True)
        kernel.use(LOOPBACK, ETH0.mac, table)
        assert (Twins(Table(), kernel).answer_of_kernel(QUESTIONS[0]) is not None) is is_first
        kernel.leave(LOOPBACK)
    kernel.close()


def test_a_full_map_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "ADDRESSES", 1)
    kernel = Responder()
    assert kernel.put(TABLE, VIP, is_answered=True)
    assert not kernel.put(TABLE, OTHER_VIP, is_answered=True)
    kernel.close()
