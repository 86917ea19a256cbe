"""What is taken out of objects and logs before they are kept: what holds secrets, or may. Pure.

Secrets are never asked for. Other objects can hold them too: in environment variables, in arguments of other people's
containers, in annotations that any program writes, in a log line of a library.
"""

import hashlib
import re
from typing import Any

from crds.names import ANNOTATION_SHARING_KEY, ANNOTATION_SHARING_KEY_ALIASES, GROUP, METALLB_PREFIXES

LEFT_OUT = "(left out)"
OUR_CONTAINERS = frozenset({"allocator", "speaker"})
KEPT_ANNOTATIONS = tuple(f"{prefix}/" for prefix in (GROUP, *METALLB_PREFIXES))
"""Annotations with these prefixes are kept; of others the name alone."""

_KEYS = frozenset({"sharingKey", ANNOTATION_SHARING_KEY, *ANNOTATION_SHARING_KEY_ALIASES})
"""Who reads one can join an address, where the pool lets Services of other namespaces."""
_MAY_HOLD = frozenset(
    {"env", "envfrom", "data", "stringdata", "binarydata", "password", "token", "authorization", "httpheaders"}
    | {"lifecycle", "images"}
)
"""Names of fields, in lower case."""
_LIKELY = re.compile(r"passw|token|authorization|bearer|api[_-]?key|eyJ|-----BEGIN", re.IGNORECASE)
_LOOKS_SECRET = (
    re.compile(
        r"((?:password|passwd|token|authorization|bearer|api[_-]?key)[\\\"']*\s*[:=]\s*[\\\"']*)"
        r"(?:bearer\s+)?[^\s,{}\\\"']+",
        re.IGNORECASE,
    ),
    re.compile(r"()eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"),
    re.compile(r"()-----BEGIN [A-Z ]*KEY-----(?:[A-Za-z0-9+/=\s]|\\[nr])*(?:-----END [A-Z ]*KEY-----)?"),
)
"""A value after such a word, a JSON Web Token, a private key."""


def cleaned(one: dict[str, Any]) -> dict[str, Any]:
    """A copy without managedFields, values of strange annotations, and what may hold a secret."""
    found: dict[str, Any] = _without(one)
    for metadata in _metadata(found):
        metadata.pop("managedFields", None)
        annotations = metadata.get("annotations")
        if isinstance(annotations, dict):
            metadata["annotations"] = {
                name: value if name.startswith(KEPT_ANNOTATIONS) else LEFT_OUT for name, value in annotations.items()
            }
    return found


def _metadata(one: Any) -> list[dict[str, Any]]:
    """Of the object, and of the templates in it."""
    spec = one.get("spec")
    template = spec.get("template") if isinstance(spec, dict) else None
    return [
        found for each in (one, template) if isinstance(each, dict) and isinstance(found := each.get("metadata"), dict)
    ]


def _without(value: Any) -> Any:
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, list):
        return [_without(one) for one in value]
    if not isinstance(value, dict):
        return value
    is_strange = "image" in value and value.get("name") not in OUR_CONTAINERS
    return {name: _field(name, one, is_strange=is_strange) for name, one in value.items()}


def _field(name: str, value: Any, *, is_strange: bool) -> Any:
    """`is_strange`: of a container that is not ours."""
    if name in _KEYS and isinstance(value, str):
        return f"{LEFT_OUT} {hashlib.blake2s(value.encode(), digest_size=4).hexdigest()}"
    if name.lower() in _MAY_HOLD or (is_strange and name in ("args", "command")):
        return LEFT_OUT
    return _without(value)


def scrubbed(text: str) -> str:
    """A log, or a message, without what looks like a secret."""
    if _LIKELY.search(text):
        for pattern in _LOOKS_SECRET:
            text = pattern.sub(rf"\1{LEFT_OUT}", text)
    return text
