"""An API server and its etcd in memory: objects, versions, preconditions, finalizers, lists in pages, watches, 410.

As strict as a real one where a program's safety depends on it. It validates no schemas, and knows the rules of the
definitions that keep promises only. What is slow, lost or late lies between it and its clients (tests.sim.transport).
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec

from kube.times import rfc3339_at
from tests.sim.clocks import EPOCH, World

Body = dict[str, Any]
encode = msgspec.json.Encoder().encode
decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode

LOAD_BALANCER = "LoadBalancer"
MOST_BYTES = 1_500_000
WITH_STATUS = frozenset({"services", "nodes"})
"""Of the kinds that are not ours, those whose status is written by itself."""
STATUS_ONLY_TO_NEW = frozenset({"services"})


class Refused(Exception):
    """The answer is a Status with this code."""

    def __init__(self, code: int, reason: str, message: str, field: str = "") -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code, self.reason, self.message, self.field = code, reason, message, field

    def body(self) -> bytes:
        details = {"causes": [{"reason": "FieldValueInvalid", "message": self.message, "field": self.field}]}
        return encode(
            {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": self.message,
                "reason": self.reason,
                "details": details if self.field else {},
                "code": self.code,
            }
        )


class Target(NamedTuple):
    """What a path is about. `name` "" = the collection."""

    plural: str
    namespace: str
    name: str
    subresource: str
    is_ours: bool


@lru_cache(maxsize=8192)
def target_of(path: str) -> Target:
    parts = path.strip("/").split("/")
    is_ours = parts[0] == "apis" and parts[1] == "berth.dev"
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    name, subresource = (*rest[1:3], "", "")[:2]
    return Target(rest[0], namespace, unquote(name), subresource, is_ours)


@lru_cache(maxsize=8192)
def query_of(text: str) -> dict[str, str]:
    """To be read only."""
    return dict(parse_qsl(text))


class Key(NamedTuple):
    namespace: str
    name: str


class Stored:
    """An object at one version. `body` is to be read only."""

    __slots__ = ("body", "line_tail", "raw", "version")

    def __init__(self, body: Body, version: int) -> None:
        self.body, self.version = body, version
        self.raw = encode(body)


class Event:
    """What a watch brings."""

    __slots__ = ("key", "labels", "line", "version")

    def __init__(self, kind: str, key: Key, stored: Stored) -> None:
        self.key, self.version = key, stored.version
        self.labels = stored.body["metadata"].get("labels") or {}
        self.line = b'{"type":"%s","object":%s}\n' % (kind.encode(), stored.raw)


@dataclass
class Table:
    """The objects of one resource and what happened to them. `oldest`: watches may begin here or later."""

    plural: str
    objects: dict[Key, Stored] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    oldest: int = 0
    watches: dict[int, "Watch"] = field(default_factory=dict)

    def since(self, version: int) -> int:
        """Where in the history that begins which happened later."""
        return bisect_right(self.versions, version)


class Watch:
    """One that is open. `send` takes lines; it is called at once when something happens."""

    def __init__(self, table: Table, target: Target, query: dict[str, str], send: Callable[[bytes], None]) -> None:
        self._table, self._target = table, target
        self._matches = _matcher(target, query)
        self._send = send
        self._number = next(_numbers)
        table.watches[self._number] = self

    def close(self) -> None:
        self._table.watches.pop(self._number, None)

    def replay(self, version: int) -> None:
        for event in self._table.history[self._table.since(version) :]:
            self.tell(event)

    def tell(self, event: Event) -> None:
        if self._matches is None or self._matches(event.key, event.labels):
            self._send(event.line)


_numbers = itertools.count()


class Api:
    """`refuses`: the answer to writes that are not taken though nothing is wrong with them. `on_refused`: told of each
    of these, its method and path. `on_change`: told of each object that is another one: plural, key, before, after."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.version = 1
        self._uids = itertools.count(1)
        self._addresses = itertools.count(1)
        self._ports = itertools.count(30000)
        self._tables: dict[str, Table] = {}
        self._lists: dict[str, tuple[list[bytes], int]] = {}
        self.page_size = 500
        """The most that it gives in one page, whatever is asked for."""
        self.refuses: Callable[[str, Target, Body | None], Refused | None] = lambda method, target, body: None
        self.on_change: list[Callable[[str, Key, Stored | None, Stored | None], None]] = []
        self.on_refused: list[Callable[[str, str], None]] = []
        self.writes: dict[str, int] = {}
        """How many took effect, by plural."""

    def table(self, plural: str) -> Table:
        found = self._tables.get(plural)
        if found is None:
            found = self._tables[plural] = Table(plural)
        return found

    def get(self, plural: str, name: str, namespace: str = "") -> Body | None:
        """As it is now; to be read only."""
        found = self.table(plural).objects.get(Key(namespace, name))
        return None if found is None else found.body

    def all(self, plural: str) -> Iterator[Body]:
        return (one.body for one in list(self.table(plural).objects.values()))

    def everything(self) -> Iterator[tuple[str, Key, Stored]]:
        """All objects, with the plurals of their kinds."""
        return ((table.plural, *one) for table in self._tables.values() for one in table.objects.items())

    def forget_history(self) -> None:
        """Compacted: who watches from before now gets 410, and so does who goes on with a list."""
        for table in self._tables.values():
            table.oldest = self.version
            table.history.clear()
            table.versions.clear()
        self._lists.clear()

    # ---- requests

    def answer(self, method: str, path: str, body: Body | None) -> bytes:
        """Raises Refused."""
        path, _, query_text = path.partition("?")
        target = target_of(path)
        if method != "GET" and (refused := self.refuses(method, target, body)) is not None:
            for told in self.on_refused:
                told(method, path)
            raise refused
        match method:
            case "GET" if target.name:
                return self._stored(target).raw
            case "GET":
                return self._page(target, query_of(query_text))
            case "POST":
                return self.create(target, body or {}).raw
            case "PATCH":
                return self.patch(target, body or {}).raw
            case "DELETE":
                self.delete(target, (body or {}).get("preconditions") or {})
                return b'{"kind":"Status","status":"Success"}'
        raise Refused(405, "MethodNotAllowed", method)

    def watch(self, path: str, send: Callable[[bytes], None]) -> Watch:
        """Raises Refused: 410."""
        path, _, query_text = path.partition("?")
        target, query = target_of(path), query_of(query_text)
        table, version = self.table(target.plural), int(query["resourceVersion"])
        if version < table.oldest:
            raise Refused(410, "Expired", "too old resource version")
        made = Watch(table, target, query, send)
        made.replay(version)
        return made

    def bookmark(self, plural: str) -> bytes:
        meta = {"kind": "x", "metadata": {"resourceVersion": str(self.version)}}
        return b'{"type":"BOOKMARK","object":%s}\n' % encode(meta)

    def _stored(self, target: Target) -> Stored:
        found = self.table(target.plural).objects.get(Key(target.namespace, target.name))
        if found is None:
            raise Refused(404, "NotFound", f'{target.plural} "{target.name}" not found')
        return found

    def _page(self, target: Target, query: dict[str, str]) -> bytes:
        token = query.get("continue", "")
        if token:
            if token not in self._lists:
                raise Refused(410, "Expired", "the provided continue parameter is too old")
            items, version = self._lists.pop(token)
        else:
            matches = _matcher(target, query)
            objects = self.table(target.plural).objects
            items = [
                one.raw
                for key, one in sorted(objects.items())
                if matches is None or matches(key, one.body["metadata"].get("labels") or {})
            ]
            version = self.version
        size = min(self.page_size, int(query.get("limit", "500")))
        page, rest, going_on = items[:size], items[size:], ""
        if rest:
            going_on = f"t{next(_numbers)}"
            self._lists[going_on] = (rest, version)
        return b'{"metadata":{"resourceVersion":"%d","continue":"%s"},"items":[%s]}' % (
            version,
            going_on.encode(),
            b",".join(page),
        )

    # ---- writes

    def create(self, target: Target, body: Body) -> Stored:
        name = body["metadata"]["name"]
        key = Key(target.namespace, name)
        if key in self.table(target.plural).objects:
            raise Refused(409, "AlreadyExists", f'{target.plural} "{name}" already exists')
        metadata = {
            **body["metadata"],
            "uid": f"u{next(self._uids)}",
            "creationTimestamp": rfc3339_at(int(EPOCH + self.world.now)),
        }
        if target.namespace:
            metadata["namespace"] = target.namespace
        if target.is_ours:
            metadata["generation"] = 1
        made = {**body, "metadata": metadata}
        if target.is_ours or target.plural in STATUS_ONLY_TO_NEW:
            made["status"] = {}
        if target.plural == "services":
            self._complete_service(made)
        return self._put(target, key, made, None)

    def patch(self, target: Target, body: Body) -> Stored:
        stored = self._stored(target)
        old = stored.body
        asked = body.get("metadata") or {}  # an empty precondition is none
        if (asked.get("uid") or old["metadata"]["uid"]) != old["metadata"]["uid"]:
            raise Refused(422, "Invalid", "field is immutable", "metadata.uid")
        if (asked.get("resourceVersion") or str(stored.version)) != str(stored.version):
            raise Refused(409, "Conflict", "the object has been modified")
        new = self._patched(target, old, body)
        if new == old:
            return stored
        if target.plural == "services":
            self._judge_service(old, new)
        if target.plural == "ipallocations":
            _judge_allocation(old, new)
        if target.is_ours and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] += 1
        key = Key(target.namespace, target.name)
        if "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers"):
            return self._remove(target.plural, key, new)
        return self._put(target, key, new, stored)

    def _patched(self, target: Target, old: Body, body: Body) -> Body:
        kept = {name: old["metadata"].get(name) for name in ("uid", "resourceVersion", "generation")}
        if target.subresource == "status" and target.is_ours:
            new = {**old, "status": merged(old.get("status") or {}, body.get("status") or {})}
        else:
            new = merged(old, body)
            if target.is_ours and target.subresource != "status":
                new["status"] = old.get("status")
        new["metadata"] = {**new["metadata"], **{name: one for name, one in kept.items() if one is not None}}
        return new

    def delete(self, target: Target, preconditions: Body) -> None:
        stored = self._stored(target)
        for name, value in preconditions.items():
            if stored.body["metadata"][name] != value:
                raise Refused(409, "Conflict", f"the {name} in the precondition does not match")
        key = Key(target.namespace, target.name)
        if not stored.body["metadata"].get("finalizers"):
            self._remove(target.plural, key, stored.body)
        elif "deletionTimestamp" not in stored.body["metadata"]:
            metadata = {**stored.body["metadata"], "deletionTimestamp": rfc3339_at(int(EPOCH + self.world.now))}
            self._put(target, key, {**stored.body, "metadata": metadata}, stored)

    def _put(self, target: Target, key: Key, body: Body, before: Stored | None) -> Stored:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        stored = Stored(body, self.version)
        if len(stored.raw) > MOST_BYTES:
            raise Refused(500, "", "etcdserver: request is too large")
        table = self.table(target.plural)
        table.objects[key] = stored
        self._tell(table, Event("ADDED" if before is None else "MODIFIED", key, stored), before, stored)
        return stored

    def _remove(self, plural: str, key: Key, body: Body) -> Stored:
        self.version += 1
        table = self.table(plural)
        before = table.objects.pop(key)
        last = Stored({**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}, self.version)
        self._tell(table, Event("DELETED", key, last), before, None)
        return last

    def _tell(self, table: Table, event: Event, before: Stored | None, after: Stored | None) -> None:
        table.history.append(event)
        table.versions.append(event.version)
        self.writes[table.plural] = self.writes.get(table.plural, 0) + 1
        for watch in list(table.watches.values()):
            watch.tell(event)
        for observer in self.on_change:
            observer(table.plural, event.key, before, after)

    # ---- what is peculiar to Services (KEP-1860 aside)

    def _complete_service(self, body: Body) -> None:
        spec = body["spec"] = {"type": "ClusterIP", **body.get("spec", {})}
        families = spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        number = next(self._addresses)
        spec["clusterIPs"] = [f"fd00:10:96::{number:x}" if one == "IPv6" else f"10.96.0.{number}" for one in families]
        for port in spec.get("ports", ()):
            port.setdefault("protocol", "TCP")
        self._set_health_port(spec)

    def _set_health_port(self, spec: Body) -> None:
        if spec["type"] == LOAD_BALANCER and spec.get("externalTrafficPolicy") == "Local":
            spec.setdefault("healthCheckNodePort", next(self._ports))
        else:
            spec.pop("healthCheckNodePort", None)

    def _judge_service(self, old: Body, new: Body) -> None:
        if new["spec"] != old["spec"]:
            new["spec"] = dict(new["spec"])
            self._set_health_port(new["spec"])
            if new["spec"]["type"] != LOAD_BALANCER and old["spec"]["type"] == LOAD_BALANCER:
                new["status"] = {**new.get("status", {}), "loadBalancer": {}}
                new["spec"].pop("loadBalancerClass", None)
            elif new["spec"].get("loadBalancerClass") != old["spec"].get("loadBalancerClass") and (
                old["spec"]["type"] == LOAD_BALANCER == new["spec"]["type"]
            ):
                raise Refused(422, "Invalid", "may not change once set", "spec.loadBalancerClass")
        shown = (new.get("status") or {}).get("loadBalancer", {}).get("ingress")
        if new["spec"]["type"] != LOAD_BALANCER and shown:
            raise Refused(422, "Invalid", "may only be used when `spec.type` is LoadBalancer", "status.loadBalancer")
        added = set(new["metadata"].get("finalizers") or ()) - set(old["metadata"].get("finalizers") or ())
        if "deletionTimestamp" in old["metadata"] and added:
            raise Refused(422, "Invalid", "no new finalizers can be added if the object is being deleted", "metadata")


def _judge_allocation(old: Body, new: Body) -> None:
    """The rules of the definition (CEL)."""
    if new["spec"]["address"] != old["spec"]["address"]:
        raise Refused(422, "Invalid", "the address can't be changed", "spec.address")
    if old["spec"].get("releasing") and not new["spec"].get("releasing"):
        raise Refused(422, "Invalid", "a release can't be taken back", "spec.releasing")


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, without changing `target`."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = merged(result.get(name), value)
        else:
            result[name] = value
    return result


Matcher = Callable[[Key, Body], bool]


def _matcher(target: Target, query: dict[str, str]) -> Matcher | None:
    """None = everything."""
    tests: list[Matcher] = []
    if target.namespace:
        tests.append(lambda key, _: key.namespace == target.namespace)
    if label := query.get("labelSelector", ""):
        name, _, value = label.partition("=")
        tests.append(lambda _, labels: labels.get(name) == value)
    if wanted := query.get("fieldSelector", "").removeprefix("metadata.name="):
        tests.append(lambda key, _: key.name == wanted)
    if not tests:
        return None
    return lambda key, labels: all(test(key, labels) for test in tests)
