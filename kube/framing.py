"""What list and watch answers look like as bytes: pages, lines, watch events.

Pure: bytes in, values out. Objects stay undecoded, but for the metadata that says which object and version it is.
"""

from dataclasses import dataclass

import msgspec

from kube.decoding import decoder
from kube.errors import ApiError, Gone, Status, Unreachable, error_from_status

# Objects are at most 1.5 MiB in etcd; as JSON they grow by escaping, but never this much. A line that does is no line.
LONGEST_LINE_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. `resource_version` is that of the whole list; `continue_token` is "" on the last page."""

    items: list[bytes]
    resource_version: str
    continue_token: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; a bookmark's object has nothing but a resourceVersion."""

    type: str
    raw_object: bytes
    resource_version: str


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class Identity(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Which object, and which version of it."""

    name: str = ""
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""


class _Identified(msgspec.Struct, gc=False):
    metadata: Identity


class _Event(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


_decode_list = decoder(_List)
_decode_identified = decoder(_Identified)
_decode_event = decoder(_Event)
_decode_status = decoder(Status)


def decode_page(body: bytes) -> Page:
    """Raises Unreachable when it is no list: then something else than an API server answered."""
    try:
        page = _decode_list(body)
    except ValueError as error:
        raise Unreachable(0, "Garbled", f"no list: {error}") from error
    items = [bytes(item) for item in page.items or ()]
    return Page(items, page.metadata.resource_version, page.metadata.continue_token)


def decode_identity(raw: bytes) -> Identity:
    """Raises ValueError when the bytes are no Kubernetes object."""
    return _decode_identified(raw).metadata


def decode_event(line: bytes) -> WatchEvent:
    """Raises Gone or another ApiError for an ERROR event, Unreachable for a line that is no event."""
    try:
        event = _decode_event(line)
        raw = bytes(event.object)
        if event.type == "ERROR":
            raise _error_of(_decode_status(raw))
        return WatchEvent(event.type, raw, decode_identity(raw).resource_version)
    except ValueError as error:
        raise Unreachable(0, "Garbled", f"no watch event: {error}") from error


def _error_of(status: Status) -> ApiError:
    # "Expired" is the reason to go by: some proxies between us and the server lose the code.
    if status.reason in {"Expired", "Gone"}:
        return Gone(410, status.reason, status.message, status.details)
    return error_from_status(status, 500)


class LineBuffer:
    """Cuts a byte stream into lines. What follows the last newline stays inside, and is lost with the stream.

    The parts of a long line are joined once, when it is complete: an object of megabytes comes in hundreds of chunks.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines completed by this chunk, without their newlines; empty lines are left out."""
        first, newline, rest = chunk.partition(b"\n")
        self._parts.append(first)
        self._length += len(first)
        if self._length > LONGEST_LINE_BYTES:
            raise Unreachable(0, "Garbled", f"a line of more than {LONGEST_LINE_BYTES} bytes")
        if not newline:
            return []
        lines = [b"".join(self._parts), *rest.split(b"\n")]
        last = lines.pop()
        self._parts = [last] if last else []
        self._length = len(last)
        return [line for line in lines if line]
