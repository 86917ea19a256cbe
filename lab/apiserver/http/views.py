"""How a client wants its answer: objects as JSON, metadata alone, or tables; and the encoding of each.

Content negotiation as kube-apiserver does it, for JSON only: protobuf is never chosen, as its clients offer JSON too.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

from lab.apiserver.http.tables import Printer, builtin_printer, crd_printer, table, wants_table
from lab.apiserver.resource import Resource
from lab.apiserver.status import StatusError
from lab.apiserver.store import Event, EventType, Record, at_version, encode
from lab.apiserver.verbs import conversion
from lab.apiserver.verbs.lists import Page

Json = dict[str, Any]
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class View(ABC):
    """One form of the objects of one resource. Views without state of their own are shared by all watchers."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource

    @abstractmethod
    def one(self, record: Record) -> bytes:
        """One object, encoded."""

    @abstractmethod
    def page(self, page: Page) -> bytes:
        """A list, encoded."""

    @property
    def shared_as(self) -> object | None:
        """Views with equal values encode a watch event alike; None: encode for each watcher."""
        return None

    def watched(self, record: Record) -> bytes:
        """An object as an event of a watch shows it."""
        return self.one(record)

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        """The object of a BOOKMARK event; `initial_end` marks the end of the initial events (KEP-3157)."""
        metadata: Json = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        return encode({"kind": self.resource.kind, "apiVersion": self.resource.api_version, "metadata": metadata})

    def line(self, event: Event, kind: EventType) -> bytes:
        """An event as one line of a watch; `kind` may differ from the event's where a selector is left or entered."""
        shared = self.shared_as
        if shared is None:
            return self._encode(event, kind)
        found = event.lines.get((shared, kind))
        if found is None:
            found = event.lines[shared, kind] = self._encode(event, kind)
        return found

    def _encode(self, event: Event, kind: EventType) -> bytes:
        record = event.record
        if kind is EventType.DELETED and event.type is not EventType.DELETED and event.previous is not None:
            record = at_version(event.previous, event.revision)
        return watch_line(kind, self.watched(record))


def watch_line(kind: str, body: bytes) -> bytes:
    """An event of a watch as one line; `body` is the encoded object."""
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), body)


def _list_metadata(page: Page) -> Json:
    metadata: Json = {"resourceVersion": str(page.revision)}
    if page.continue_token:
        metadata["continue"] = page.continue_token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
    return metadata


class ObjectView(View):
    """Plain objects."""

    def one(self, record: Record) -> bytes:
        return conversion.raw(self.resource, record)

    def page(self, page: Page) -> bytes:
        metadata = _list_metadata(page)
        items = [conversion.raw(self.resource, record) for record in page.records]
        if self.resource.is_custom:
            metadata.setdefault("continue", "")
        elif conversion.stored_as(self.resource) is None:
            # Items of built-in kinds come without kind and apiVersion.
            head = b'{"kind":%s,"apiVersion":%s,' % (encode(self.resource.kind), encode(self.resource.api_version))
            items = [b"{" + raw[len(head) :] if raw.startswith(head) else raw for raw in items]
        return b'{"kind":%s,"apiVersion":%s,"metadata":%s,"items":[%s]}' % (
            encode(self.resource.list_kind),
            encode(self.resource.api_version),
            encode(metadata),
            b",".join(items),
        )

    @property
    def shared_as(self) -> object:
        return self.resource


class MetadataView(View):
    """PartialObjectMetadata: for clients that only need names, labels and owners."""

    def one(self, record: Record) -> bytes:
        return encode(self._partial(record))

    def page(self, page: Page) -> bytes:
        items = [self._partial(record) for record in page.records]
        kind = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        return encode(kind | {"metadata": _list_metadata(page), "items": items})

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        metadata: Json = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        return encode({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})

    @property
    def shared_as(self) -> object:
        return (self.resource, "metadata")

    def _partial(self, record: Record) -> Json:
        metadata = record.value()["metadata"]
        return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}


class TableView(View):
    """What `kubectl get` prints. A watch gets the columns with its first row only: a view is one watcher's own."""

    def __init__(self, resource: Resource, include_object: str) -> None:
        super().__init__(resource)
        self._printer = _printer(resource)
        self._include_object = include_object
        self._sent_columns = False

    def one(self, record: Record) -> bytes:
        return encode(self._table([record], {"resourceVersion": str(record.revision)}))

    def page(self, page: Page) -> bytes:
        return encode(self._table(page.records, _list_metadata(page)))

    def watched(self, record: Record) -> bytes:
        rows = self._table([record], {"resourceVersion": str(record.revision)}, with_columns=not self._sent_columns)
        self._sent_columns = True
        return encode(rows)

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        metadata: Json = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        return encode(self._table([], metadata, with_columns=False))

    def _table(self, records: list[Record], metadata: Json, *, with_columns: bool = True) -> Json:
        objects = [conversion.from_storage(self.resource, record.value()) for record in records]
        return table(
            self._printer,
            objects,
            now=time.time(),
            metadata=metadata,
            include_object=self._include_object,
            with_columns=with_columns,
        )


@lru_cache(maxsize=256)
def _printer(resource: Resource) -> Printer:
    if resource.definition is not None:
        return crd_printer(dict(resource.definition))
    return builtin_printer(resource.group, resource.plural)


@lru_cache(maxsize=256)
def _form(accept: str) -> str:
    """`table`, `metadata` or `object`: the first that is asked for and that we serve."""
    if wants_table(accept):
        return "table"
    offers = [offer.replace(" ", "") for offer in accept.split(",")]
    for offer in offers:
        media, *parameters = offer.split(";")
        if media not in ("application/json", "application/*", "*/*", ""):
            continue
        wanted = dict(parameter.partition("=")[::2] for parameter in parameters)
        if wanted.get("as", "").startswith("PartialObjectMetadata"):
            return "metadata"
        if "as" not in wanted:
            return "object"
    return "none"


@lru_cache(maxsize=1024)
def _shared_view(resource: Resource, form: str) -> View:
    return MetadataView(resource) if form == "metadata" else ObjectView(resource)


def choose(resource: Resource, accept: str, include_object: str) -> View:
    """The view that an Accept header asks for; 406 if there is none that we serve."""
    form = _form(accept)
    if form == "none":
        raise StatusError(
            406, "NotAcceptable", "only the following media types are accepted: application/json", {"causes": []}
        )
    if form == "table":
        return TableView(resource, include_object or "Metadata")
    return _shared_view(resource, form)
