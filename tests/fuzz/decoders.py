"""Every decoder of what others send or write, in one table: how it is called, and which errors it may raise.

tests/fuzz/test_decoders.py gives each of them strange input, a nightly run (python -m tests.fuzz) gives them more, and
tests/fuzz/test_complete.py finds a decoder of the code that is missing here.
"""

import hmac
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

import cli.details
import cli.owners
import cli.workloads
from allocator import heartbeatkey, objects
from allocator.annotations import not_understood
from allocator.release import confirmations, departures, speakers
from allocator.request import holder_of, our_condition, request_for_external_ips, request_of
from allocator.space import ranges
from allocator.status import slices
from cli import frames
from cli.asread import documents
from cli.check.files import read_files
from cli.failure import Failed
from cli.migrate import takeover
from cli.migrate.convert import convert
from cli.migrate.documents import written
from cli.migrate.read import decoded_services
from crds import addresses
from crds.types import KINDS
from kube import decoding, framing, managedfields
from kube import errors as kube_errors
from kube import objects as kube_objects
from kube.errors import ApiError
from kube.process import scrapers
from speaker.bgp import ownaddresses
from speaker.bgp.exabgp import events, notifications
from speaker.bgp.exabgp.answers import Answers
from speaker.bgp.exabgp.session import RouterSession
from speaker.bgp.io import blackhole, secretwatch
from speaker.bgp.model import PeerConfig
from speaker.cluster import networks as cluster_networks
from speaker.cluster import objects as seen
from speaker.layer2 import glob, held
from speaker.members.io import keys
from speaker.own.io import ownobjects
from speaker.wire import codec, messages, netlink
from speaker.wire.bfd import packets as bfd
from speaker.wire.discovery import packets as discovery
from speaker.wire.heartbeat import packets as heartbeat
from speaker.wire.heartbeat.sender import Sender, Settings
from speaker.wire.neighbours import arp, discards, ndp, networks
from speaker.wire.neighbours.arpresponder import ArpResponder
from speaker.wire.neighbours.bpf import filters, queues
from speaker.wire.neighbours.echo import EchoResponder
from speaker.wire.neighbours.ndpresponder import NdpResponder
from speaker.wire.neighbours.table import Table, interface

KEY = b"0123456789abcdef"
ETH0 = interface("eth0", bytes.fromhex("020000000001"))
VIP, VIP6 = bytes([192, 0, 2, 10]), bytes.fromhex("20010db8000000000000000000000010")
VALUE = (ValueError,)
TOR = PeerConfig("tor", 64512, 64513, IPv4Address("192.0.2.254"), IPv4Address("192.0.2.1"), frozenset(addresses.Family))


@dataclass(frozen=True)
class Decoder:
    """`function`: "package.module:name" of what decodes. `call` gives it the bytes, and uses what comes out. `raises`:
    what its contract says that it raises. `corpus`: the file in corpora/ with input that it understands."""

    function: str
    call: Callable[[bytes], object]
    corpus: str
    raises: tuple[type[Exception], ...] = ()

    @property
    def name(self) -> str:
        """For a command and a test."""
        return self.function.replace(":", ".")


def _texts(call: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda raw: call(raw.decode(errors="surrogateescape"))


def _all(call: Callable[[bytes], Iterable[object]]) -> Callable[[bytes], object]:
    return lambda raw: list(call(raw))


# ---- the segment


def _table() -> Table:
    table = Table()
    for address in (VIP, VIP6):
        table.hold(address, ("eth0",))
        table.held[address].answers_ping = True
    table.probed[bytes([192, 0, 2, 11])] = ("eth0",)
    return table


def _answered(make: Callable[[Table], Any], method: str) -> Callable[[bytes], object]:
    return lambda raw: getattr(make(_table()), method)(ETH0, bytearray(raw.ljust(2048, b"\0")), len(raw))


def _asked(raw: bytes) -> object:
    found = []
    for address in ("192.0.2.10", "2001:db8::10"):
        question = frames.Question(addresses.ip_address(address), "eth0", ETH0.mac, addresses.ip_address(address))
        found.append(frames.answerer(raw, question))
    return found


def _heard(raw: bytes) -> object:
    """Signed with the right key: as by a member that was taken over."""
    sender = Sender()
    sender.configure(Settings("node1", "one", (KEY,), 0.1), {"node2": ("10.0.0.2",)}, 0.0)
    return [sender.receive(raw, "10.0.0.2", 1.0), sender.receive(raw + hmac.digest(KEY, raw, "sha256"), "eth0", 1.1)]


def _discovered(raw: bytes) -> object:
    source = bytes.fromhex("fe800000000000000000000000000001")
    return discovery.kind_of(raw, source, discovery.HOP_LIMIT) or None


def _own_addresses(raw: bytes) -> object:
    reading = ownaddresses.Reading({1: "lo", 2: "eth0"})
    return reading.take(raw), reading.addresses()


def _netlink_bodies(raw: bytes) -> object:
    reading = networks.Reading(range(1 << 16))
    networks.may_matter(raw, frozenset({1, 2}))
    found: list[object] = []
    for kind, _, _, body in netlink.messages(raw):
        reading.take(kind, body)
        found += [discards.own_rule(kind, body), discards.own_route(kind, body)]
        found += [queues.queue_of(kind, body), filters.filter_of(kind, body), netlink.error_of(kind, body)]
        found.append(blackhole._own_rule(body))
    return [*found, *(reading.reach(ifindex) for ifindex in range(4))]


# ---- routers


def _session(raw: bytes) -> object:
    """Lines of ExaBGP, one after the other, with a session behind them."""
    session = RouterSession(TOR, 0.0)
    session.exabgp_started(0.0)
    for number, line in enumerate(raw.split(b"\n")):
        if (event := events.parse(line)) is not None:
            session.handle(event, float(number))
            session.next_lines(float(number))
    return session.view()


def _read(raw: bytes) -> object:
    """A router's message without its header, as an UPDATE and as a ROUTE-REFRESH, while an answer is waited for."""
    told: list[str] = []
    answers = Answers(told.append)
    answers.begin("ipv4", 0.0)
    return [answers.take(kind, raw, 1.0) for kind in (2, 5)], told


# ---- the API


def _service(raw: bytes) -> object:
    service = kube_objects.decode_service(raw)
    return [
        request_of(service),
        request_for_external_ips(service),
        holder_of(service),
        our_condition(service),
        not_understood(service.metadata.annotations),
    ]


def _speaker_state(raw: bytes) -> object:
    one = speakers.listed_speaker(raw)
    return [one.routers(), one.interfaces(), one.witnesses, one.dropped_routers, one.was_elsewhere, one.has_registered]


def _departure(raw: bytes) -> object:
    return departures.decode_departure(raw).departed(0.0).remaining(1.0)


def _confirmation(raw: bytes) -> object:
    return confirmations.decode_confirmation(raw).confirmed_by("one")


def _secret(raw: bytes) -> object:
    return secretwatch._values(kube_objects.decode_secret(raw))


def _error(raw: bytes) -> object:
    error = kube_errors.error_from_response(409, raw, None, "/apis/berth.dev/v1beta1/speakers/node1")
    return [str(error), error.causes, kube_errors.is_precondition_failure(error), kube_errors.is_refused_content(error)]


def _writer(raw: bytes) -> object:
    return managedfields.writer_of(raw, "status", "loadBalancer", subresource="status", besides="berth-allocator")


def _lines(raw: bytes) -> object:
    buffer = framing.LineBuffer()
    return [buffer.feed(raw[:7]), buffer.feed(raw[7:])]


def _kinds(raw: bytes) -> object:
    """As each kind: what is one object's may be in another's place."""
    found = []
    for kind in KINDS:
        try:
            found.append(kind.decode(raw).to_wire())
        except ValueError:
            continue
    return found


# ---- files


def _file(read: Callable[[Path], object], name: str) -> Callable[[bytes], object]:
    def call(raw: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).write_bytes(raw)
            return read(Path(folder))

    return call


def _converted(raw: bytes) -> object:
    try:
        bodies = [one for one in documents(raw.decode()) if isinstance(one, dict)]
    except (yaml.YAMLError, ValueError):
        return None
    list(decoded_services(bodies))
    return written(convert(bodies), is_paused=True)


DECODERS = (
    # the segment
    Decoder("speaker.wire.neighbours.arp:parse", arp.parse, "arp"),
    Decoder("speaker.wire.neighbours.arpresponder:ArpResponder.answer", _answered(ArpResponder, "answer"), "arp"),
    Decoder("speaker.wire.neighbours.ndp:parse", ndp.parse, "ndp"),
    Decoder("speaker.wire.neighbours.ndpresponder:NdpResponder.answer", _answered(NdpResponder, "answer"), "ndp"),
    Decoder("speaker.wire.neighbours.echo:EchoResponder.answer_ipv4", _answered(EchoResponder, "answer_ipv4"), "echo"),
    Decoder("speaker.wire.neighbours.echo:EchoResponder.answer_ipv6", _answered(EchoResponder, "answer_ipv6"), "echo"),
    Decoder("cli.frames:answerer", _asked, "ndp"),
    Decoder("speaker.wire.heartbeat.packets:decode", lambda raw: heartbeat.decode(raw, [KEY]), "heartbeat"),
    Decoder("speaker.wire.heartbeat.sender:Sender.receive", _heard, "heartbeat"),
    Decoder("speaker.wire.bfd.packets:parse", bfd.parse, "bfd"),
    Decoder("speaker.wire.discovery.packets:kind_of", _discovered, "discovery"),
    # this machine
    Decoder("speaker.wire.codec:decode", codec.decode, "wire", (codec.MessageError,)),
    Decoder("speaker.wire.messages:decode_order", messages.decode_order, "wire", (codec.MessageError,)),
    Decoder("speaker.wire.messages:decode_report", messages.decode_report, "wire", (codec.MessageError,)),
    Decoder("speaker.wire.netlink:parse", _all(netlink.parse), "netlink"),
    Decoder("speaker.wire.neighbours.networks:Reading.take", _netlink_bodies, "netlink"),
    Decoder("speaker.bgp.ownaddresses:Reading.take", _own_addresses, "netlink"),
    Decoder("speaker.layer2.held:addresses_in", lambda raw: held.addresses_in(raw, {VIP, VIP6}), "netlink"),
    # routers
    Decoder("speaker.bgp.exabgp.answers:Answers.take", _read, "bgp"),
    Decoder("speaker.bgp.exabgp.events:parse", events.parse, "exabgp"),
    Decoder("speaker.bgp.exabgp.session:RouterSession.handle", _session, "exabgp"),
    Decoder("speaker.bgp.exabgp.notifications:shutdown_words", notifications.shutdown_words, "exabgp"),
    # the API
    Decoder("kube.decoding:without_depths", decoding.without_depths, "objects"),
    Decoder("kube.framing:decode_page", framing.decode_page, "answers", (ApiError,)),
    Decoder("kube.framing:decode_event", framing.decode_event, "answers", (ApiError,)),
    Decoder("kube.framing:decode_identity", framing.decode_identity, "objects", VALUE),
    Decoder("kube.framing:LineBuffer.feed", _lines, "answers", (ApiError,)),
    Decoder("kube.errors:error_from_response", _error, "answers"),
    Decoder("kube.errors:resource_of", _texts(kube_errors.resource_of), "texts"),
    Decoder("kube.managedfields:writer_of", _writer, "objects", VALUE),
    Decoder("kube.process.scrapers:user_of", scrapers.user_of, "answers", VALUE),
    Decoder("kube.process.scrapers:may_read", scrapers.may_read, "answers", VALUE),
    Decoder("kube.process.scrapers:token_in", _texts(scrapers.token_in), "texts"),
    Decoder("kube.objects:decode_meta", kube_objects.decode_meta, "objects", VALUE),
    Decoder("kube.objects:decode_service", _service, "objects", VALUE),
    Decoder("kube.objects:decode_service_cidr", kube_objects.decode_service_cidr, "objects", VALUE),
    Decoder("kube.objects:decode_endpoint_slice", kube_objects.decode_endpoint_slice, "objects", VALUE),
    Decoder("kube.objects:decode_node", kube_objects.decode_node, "objects", VALUE),
    Decoder("kube.objects:decode_namespace", kube_objects.decode_namespace, "objects", VALUE),
    Decoder("kube.objects:decode_lease", kube_objects.decode_lease, "objects", VALUE),
    Decoder("kube.objects:decode_secret", _secret, "objects", VALUE),
    Decoder("crds.meta:BerthObject.decode", _kinds, "objects", VALUE),
    Decoder("allocator.heartbeatkey:keys_of", heartbeatkey.keys_of, "objects", VALUE),
    Decoder("allocator.objects:decode_allocation", objects.decode_allocation, "objects", VALUE),
    Decoder("allocator.objects:decode_l2_advertisement", objects.decode_l2_advertisement, "objects", VALUE),
    Decoder("allocator.objects:decode_bgp_advertisement", objects.decode_bgp_advertisement, "objects", VALUE),
    Decoder("allocator.objects:decode_profile", objects.decode_profile, "objects", VALUE),
    Decoder("allocator.objects:decode_community", objects.decode_community, "objects", VALUE),
    Decoder("allocator.objects:decode_peer", objects.decode_peer, "objects", VALUE),
    Decoder("allocator.release.confirmations:decode_confirmation", _confirmation, "objects", VALUE),
    Decoder("allocator.release.departures:decode_departure", _departure, "objects", VALUE),
    Decoder("allocator.release.speakers:listed_speaker", _speaker_state, "objects", VALUE),
    Decoder("allocator.status.slices:decode_slice", slices.decode_slice, "objects", VALUE),
    Decoder("allocator.space.ranges:parse_range", _texts(ranges.parse_range), "texts"),
    Decoder("allocator.space.ranges:parse_address", _texts(ranges.parse_address), "texts"),
    Decoder("crds.addresses:plain_address", _texts(addresses.plain_address), "texts"),
    Decoder("crds.addresses:addresses_in", _texts(lambda text: addresses.addresses_in(text, 8)), "texts"),
    Decoder("speaker.cluster.objects:allocation_from", seen.allocation_from, "objects", VALUE),
    Decoder("speaker.cluster.objects:node_from", seen.node_from, "objects", VALUE),
    Decoder("speaker.cluster.objects:speaker_from", seen.speaker_from, "objects", VALUE),
    Decoder("speaker.cluster.objects:slice_from", seen.slice_from, "objects", VALUE),
    Decoder("speaker.cluster.objects:pool_from", seen.pool_from, "objects", VALUE),
    Decoder("speaker.cluster.networks:network_of", _texts(cluster_networks.network_of), "texts"),
    Decoder(
        "speaker.layer2.glob:glob", _texts(lambda text: (one := glob.glob(text)) and one.fits("eth0.100")), "texts"
    ),
    Decoder("speaker.own.io.ownobjects:own_from", ownobjects.own_from, "objects", VALUE),
    Decoder("cli.details:decode_report", cli.details.decode_report, "objects", VALUE),
    Decoder("cli.details:decode_routes", cli.details.decode_routes, "objects", VALUE),
    Decoder("cli.owners:owners_in", _all(cli.owners.owners_in), "objects", VALUE),
    Decoder("cli.workloads:_decode", cli.workloads._decode, "objects", VALUE),
    # files: mounted Secrets, and what a person names
    Decoder("speaker.members.io.keys:read_keys", _file(keys.read_keys, "key"), "texts", (keys.KeysError,)),
    Decoder("cli.check.files:read_files", _file(lambda path: read_files([str(path / "f")]), "f"), "files", (Failed,)),
    Decoder("cli.migrate.convert:convert", _converted, "files"),
    Decoder("cli.migrate.takeover:_number", _texts(takeover._number), "texts"),
)

BY_NAME = {one.name: one for one in DECODERS}
