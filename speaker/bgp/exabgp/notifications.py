"""NOTIFICATION messages in words: codes and subcodes of RFC 4271 §4.5, and what operators write in them (RFC 9003).

Pure: numbers and bytes to text. What a peer wrote is cut and made printable.
"""

MAX_WORDS = 160

CODES = {  # RFC 4271 §4.5; RFC 7313 §5
    1: "message header error",
    2: "OPEN message error",
    3: "UPDATE message error",
    4: "hold timer expired",
    5: "finite state machine error",
    6: "cease",
    7: "ROUTE-REFRESH message error",
}

SUBCODES = {
    (1, 1): "connection not synchronized",  # RFC 4271 §6.1
    (1, 2): "bad message length",
    (1, 3): "bad message type",
    (2, 1): "unsupported version number",  # RFC 4271 §6.2
    (2, 2): "bad peer AS",
    (2, 3): "bad BGP identifier",
    (2, 4): "unsupported optional parameter",
    (2, 6): "unacceptable hold time",
    (2, 7): "unsupported capability",  # RFC 5492 §5
    (2, 11): "role mismatch",  # RFC 9234 §4.2
    (3, 1): "malformed attribute list",  # RFC 4271 §6.3
    (3, 2): "unrecognized well-known attribute",
    (3, 3): "missing well-known attribute",
    (3, 4): "attribute flags error",
    (3, 5): "attribute length error",
    (3, 6): "invalid ORIGIN attribute",
    (3, 8): "invalid NEXT_HOP attribute",
    (3, 9): "optional attribute error",
    (3, 10): "invalid network field",
    (3, 11): "malformed AS_PATH",
    (5, 1): "unexpected message in OpenSent state",  # RFC 6608 §3
    (5, 2): "unexpected message in OpenConfirm state",
    (5, 3): "unexpected message in Established state",
    (6, 1): "maximum number of prefixes reached",  # RFC 4486 §3
    (6, 2): "administrative shutdown",
    (6, 3): "peer de-configured",
    (6, 4): "administrative reset",
    (6, 5): "connection rejected",
    (6, 6): "other configuration change",
    (6, 7): "connection collision resolution",
    (6, 8): "out of resources",
    (6, 9): "hard reset",  # RFC 8538 §5
    (6, 10): "BFD down",  # RFC 9384 §3
}

HAVE_WORDS = {(6, 2), (6, 4)}  # RFC 9003 §2
REJECTIONS = {(6, 5), (6, 7)}
"""What a router says to an attempt while it waits for something else, as after what it said before."""


def describe(code: int, subcode: int, body: bytes = b"") -> str:
    """As in "cease: administrative shutdown (6/2): rack 12 is being moved"."""
    kind = CODES.get(code, "unknown error")
    detail = SUBCODES.get((code, subcode))
    text = f"{kind}: {detail} ({code}/{subcode})" if detail else f"{kind} ({code}/{subcode})"
    words = shutdown_words(body) if (code, subcode) in HAVE_WORDS else ""
    return f"{text}: {words}" if words else text


def shutdown_words(body: bytes) -> str:
    """What the operator on the other side wrote: a length octet, then UTF-8 (RFC 9003 §2). "" when there is nothing."""
    written = body[1 : 1 + body[0]] if body else b""
    return printable(written.decode(errors="replace"))


def printable(text: str) -> str:
    """On one line, without control characters, cut to what a status field has room for."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:MAX_WORDS]
