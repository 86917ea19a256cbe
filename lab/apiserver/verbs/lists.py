"""Lists: selectors, pages that show one moment, and the resourceVersion that the client asks for.

Works on records; answers are encoded in http/views.py, and the HTTP side waits for versions from the future.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from lab.apiserver.call import Call
from lab.apiserver.resource import Resource
from lab.apiserver.selectors import FieldSelector, LabelSelector, parse_fields, parse_labels
from lab.apiserver.status import StatusError, bad_request, expired
from lab.apiserver.store import Expired, Key, Record, Store
from lab.apiserver.verbs.conversion import from_storage

CONTINUE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)


@dataclass(frozen=True, slots=True)
class Page:
    """Some or all objects as of `revision`. `remaining` is None where the count is not known."""

    records: list[Record]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a resource a request is about."""

    resource: Resource
    namespace: str
    labels: LabelSelector
    fields: FieldSelector

    @classmethod
    def of(cls, call: Call) -> Selection:
        """What a list or watch selects. Raises StatusError (400) for selectors that are not understood."""
        resource = call.resource
        fields = parse_fields(
            call.query.get("fieldSelector", ""), resource.field_labels, namespaced=resource.namespaced
        )
        if call.name:
            fields = FieldSelector((*fields.requirements, ("metadata.name", False, call.name)))
        return cls(resource, call.namespace, parse_labels(call.query.get("labelSelector", "")), fields)

    @property
    def is_partial(self) -> bool:
        """Whether objects can leave it by changing."""
        return bool(self.labels) or bool(self.fields)

    def matcher(self) -> Callable[[Record], bool]:
        """The cheapest test that decides: only selectors on fields other than the name need the object decoded."""
        labels, fields = self.labels, self.fields
        names = {value for path, negated, value in fields.requirements if path == "metadata.name" and not negated}
        rest = FieldSelector(tuple(one for one in fields.requirements if one[0] != "metadata.name" or one[1]))

        def matches(record: Record) -> bool:
            if names and names != {record.key.name}:
                return False
            if labels and not labels.matches(record.labels):
                return False
            return not rest or rest.matches(from_storage(self.resource, record.value()))

        return matches

    def in_scope(self, key: Key) -> bool:
        """Whether a key is in the namespace that is asked for, if one is."""
        return not self.namespace or key.namespace == self.namespace


def page(store: Store, call: Call) -> Page:
    """One page of a list."""
    selection = Selection.of(call)
    start, revision = _starting_point(call, store)
    records = _snapshot(store, call, selection, revision)
    if selection.is_partial:
        matches = selection.matcher()
        records = [record for record in records if matches(record)]
    if start is not None:
        records = records[bisect_left(records, start, key=lambda record: record.key) :]
    limit = call.number("limit")
    shown_revision = store.revision if revision is None else revision
    if not limit or len(records) <= limit:
        return Page(records, shown_revision)
    following = _token(shown_revision, records[limit - 1].key)
    remaining = None if selection.is_partial else len(records) - limit
    return Page(records[:limit], shown_revision, following, remaining)


def _snapshot(store: Store, call: Call, selection: Selection, revision: int | None) -> list[Record]:
    table = store.table(call.resource.storage)
    if revision is None:
        name = selection.fields.exact_name()
        if name is not None and (selection.namespace or not call.resource.namespaced):
            found = table.get(Key(selection.namespace, name))
            return [found] if found else []
        return list(table.records(selection.namespace))
    match table.records_at(revision, selection.namespace):
        case Expired():
            old = (
                CONTINUE_TOO_OLD
                if call.query.get("continue")
                else "The resourceVersion for the provided list is too old."
            )
            raise expired(old)
        case records:
            return records


def _starting_point(call: Call, store: Store) -> tuple[Key | None, int | None]:
    """The key to start from, and the version to show (None: as things are)."""
    version, match = call.query.get("resourceVersion", ""), call.query.get("resourceVersionMatch", "")
    if token := call.query.get("continue"):
        if version and version != "0":
            raise bad_request("specifying resource version is not allowed when using continue")
        return _read_token(token)
    if match and not version:
        raise _wrong_match("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match == "Exact":
        if version == "0":
            raise _wrong_match('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
        wanted = int(version)
        return None, None if wanted == store.revision else wanted
    return None, None


def _wrong_match(detail: str) -> StatusError:
    message = f"Forbidden: {detail}"
    cause = {"reason": "FieldValueForbidden", "message": message, "field": "resourceVersionMatch"}
    whole = f"ListOptions.meta.k8s.io is invalid: resourceVersionMatch: {message}"
    return StatusError(422, "Invalid", whole, {"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]})


def _token(revision: int, last: Key) -> str:
    """Opaque to clients, and of the form that Kubernetes uses: the version and the key after the last one shown."""
    start = "/".join(("", *filter(None, last)))
    value = {"v": "meta.k8s.io/v1", "rv": revision, "start": f"{start}\0"}
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


def _read_token(token: str) -> tuple[Key, int]:
    try:
        value = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        *namespace, name = value["start"].lstrip("/").split("/")
        return Key(namespace[0] if namespace else "", name), int(value["rv"])
    except (binascii.Error, msgspec.DecodeError, KeyError, TypeError, ValueError):
        raise bad_request("continue key is not valid: illegal base64 data") from None
