"""Who wrote a field of an object last, from its managedFields (server-side apply, KEP-555). Pure.

An API server takes a field from its former manager when another one changes it. So the manager of a field is who wrote
what it holds now.
"""

from typing import Any

import msgspec

from kube.decoding import decoder

MOST_CHARACTERS = 128
"""Of a manager's name, as API servers take them."""


class _Entry(msgspec.Struct, frozen=True, rename="camel"):
    manager: str = ""
    time: str = ""
    subresource: str = ""
    fields: dict[str, Any] | None = msgspec.field(default=None, name="fieldsV1")


class _Meta(msgspec.Struct, frozen=True):
    entries: tuple[_Entry, ...] | None = msgspec.field(default=None, name="managedFields")


class _Object(msgspec.Struct, frozen=True):
    metadata: _Meta


_decode = decoder(_Object)


def writer_of(raw: bytes, *path: str, subresource: str, besides: str) -> str:
    """The manager of the field at this path, such as "status", "loadBalancer"; else who wrote the subresource last.

    `besides`: whoever asks. Empty when managedFields name nobody else. Raises ValueError.
    """
    entries = [one for one in _decode(raw).metadata.entries or () if one.manager != besides]
    found = [one for one in entries if _owns(one.fields, path)]
    found = found or [one for one in entries if one.subresource == subresource]
    return max(found, key=lambda one: one.time).manager[:MOST_CHARACTERS] if found else ""


def _owns(fields: dict[str, Any] | None, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(fields, dict) or f"f:{name}" not in fields:
            return False
        fields = fields[f"f:{name}"]
    return True
