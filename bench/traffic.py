"""What an API server has taken in and sent out: its own counts, of the stand-in or of a real kube-apiserver.

The stand-in counts bodies and what goes to watches by User-Agent. A real one knows no User-Agent in its metrics, and no
largest body: there `agent` is empty, and `largest` 0.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.server import Server

WRITES = {
    "create": "create",
    "post": "create",
    "update": "update",
    "put": "update",
    "patch": "patch",
    "apply": "patch",
    "delete": "delete",
}


class What(NamedTuple):
    """Requests of one kind: `create ipallocations`, by whom."""

    verb: str
    resource: str
    agent: str

    @property
    def text(self) -> str:
        """`allocator create ipallocations`; without the client where it is not known."""
        return " ".join(filter(None, (self.agent.removeprefix("berth-"), self.verb, self.resource)))


class Sent(NamedTuple):
    """Of one kind to one kind of client."""

    resource: str
    agent: str


@dataclass
class Written:
    """`size`: bytes of all bodies."""

    count: int = 0
    size: int = 0
    largest: int = 0


@dataclass
class Traffic:
    """Since the server began to count. `watched`: bytes."""

    written: dict[What, Written] = field(default_factory=dict)
    watched: dict[Sent, int] = field(default_factory=dict)

    def since(self, before: "Traffic") -> "Traffic":
        """What came after that. `largest` is that of the whole time: let the server begin anew first."""
        later = Traffic()
        for what, now in self.written.items():
            then = before.written.get(what, Written())
            if now.count > then.count:
                later.written[what] = Written(now.count - then.count, now.size - then.size, now.largest)
        for sent, size in self.watched.items():
            if size > before.watched.get(sent, 0):
                later.watched[sent] = size - before.watched.get(sent, 0)
        return later

    def writes(self, *, agent: str = "", without: Iterable[str] = ("leases",)) -> dict[What, Written]:
        """Those of this client (all that begin so), but for these resources."""
        left_out = tuple(without)
        return {
            what: one
            for what, one in self.written.items()
            if what.agent.startswith(agent) and what.resource not in left_out
        }

    def bytes_to(self, agent: str, *, without: Iterable[str] = ("leases",)) -> dict[str, int]:
        """To the watches of this client, by resource."""
        left_out = tuple(without)
        found: dict[str, int] = {}
        for sent, size in self.watched.items():
            if sent.agent.startswith(agent) and sent.resource not in left_out:
                found[sent.resource] = found.get(sent.resource, 0) + size
        return found


def read(server: Server) -> Traffic:
    """The counts of now."""
    if server.kind == "stand-in":
        return _of_the_stand_in(json.loads(server.fetch("/lab/counters"))["traffic"])
    return _of_metrics(server.fetch("/metrics").decode().splitlines())


def _plain(resource: str) -> str:
    """Without groups: names are told apart without them here."""
    name, _, subresource = resource.partition("/")
    return name.split(".")[0] + (f"/{subresource}" if subresource else "")


def _of_the_stand_in(rows: dict[str, list[dict[str, str]]]) -> Traffic:
    traffic = Traffic()
    for row in rows["requests"]:
        if verb := WRITES.get(row["verb"]):
            one = traffic.written.setdefault(What(verb, _plain(row["resource"]), row["agent"]), Written())
            one.count += int(row["count"])
            one.size += int(row["bytes"])
            one.largest = max(one.largest, int(row["largest"]))
    for row in rows["watches"]:
        sent = Sent(_plain(row["resource"]), row["agent"])
        traffic.watched[sent] = traffic.watched.get(sent, 0) + int(row["bytes"])
    return traffic


def _of_metrics(lines: Iterable[str]) -> Traffic:
    traffic = Traffic()
    for labels, value in samples(lines, "apiserver_request_total"):
        if (verb := WRITES.get(labels["verb"].lower())) and labels["code"].startswith("2"):
            name = "/".join(part for part in (labels["resource"], labels["subresource"]) if part)
            traffic.written.setdefault(What(verb, name, ""), Written()).count += int(value)
    for labels, value in samples(lines, "apiserver_request_body_size_bytes_sum"):
        for what, one in traffic.written.items():
            if what.verb == WRITES.get(labels["verb"].lower()) and what.resource == labels["resource"]:
                one.size += int(value)
    for labels, value in samples(lines, "apiserver_watch_events_sizes_sum"):
        sent = Sent(labels["resource"] if "resource" in labels else f"{labels['kind'].lower()}s", "")
        traffic.watched[sent] = traffic.watched.get(sent, 0) + int(value)
    return traffic


def samples(lines: Iterable[str], name: str) -> Iterator[tuple[dict[str, str], float]]:
    """Labels and value of each sample of a metric."""
    for line in lines:
        if line.startswith(f"{name}{{"):
            yield dict(re.findall(r'(\w+)="([^"]*)"', line)), float(line.rsplit(" ", 1)[1])
