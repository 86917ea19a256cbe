"""The Secret with the keys that sign the heartbeats between speakers: what it is made of when it is missing. Pure.

It is made once, so that nothing that renders the chart has to. When it goes while allocators run, it comes back with
the keys that it had: nodes read a Secret at different times, and with another key they would not hear each other.
"""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from crds.names import COMPONENT_HEARTBEAT, LABEL_COMPONENT, LABEL_MANAGED_BY
from kube.decoding import decoder

KEY = "key"
"""Signs and verifies; `next` and `previous` verify (speaker.members.io.keys)."""
KEY_BYTES = 36
"""In base64 these are 48 characters, more than the 32 bytes that HMAC-SHA256 asks for (RFC 2104 §3)."""

Keys = Mapping[str, str]
"""`data` of the Secret: names to base64."""


class _Secret(msgspec.Struct, frozen=True):
    data: dict[str, str] | None = None


_decode = decoder(_Secret)


def keys_of(raw: bytes) -> Keys:
    """What a Secret holds. Raises ValueError for what is none."""
    return _decode(raw).data or {}


def secret(name: str, known: Keys, drawn: bytes) -> dict[str, Any]:
    """The Secret to create. `known`: what it held when it was seen last, empty = never seen, or nothing in it. `drawn`:
    KEY_BYTES random bytes, for a key that is new."""
    text = base64.b64encode(drawn)  # printable, so that a person can copy it
    return {
        "metadata": {
            "name": name,
            "labels": {LABEL_COMPONENT: COMPONENT_HEARTBEAT, LABEL_MANAGED_BY: "berth-allocator"},
        },
        "type": "Opaque",
        "data": dict(known) if KEY in known else {KEY: base64.b64encode(text).decode()},
    }
