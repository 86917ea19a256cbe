"""What a user names on the command line: svc/web, an address, node/node1, pool/edge. Pure."""

from ipaddress import ip_address
from typing import NamedTuple

from cli.failure import Failed

KINDS = {
    "svc": "svc",
    "service": "svc",
    "services": "svc",
    "node": "node",
    "nodes": "node",
    "no": "node",
    "pool": "pool",
    "ippool": "pool",
    "ippools": "pool",
    "ip": "address",
    "address": "address",
}


class Subject(NamedTuple):
    """`kind`: svc, node, pool or address."""

    kind: str
    name: str


def subject(text: str) -> Subject:
    """Raises Failed, with how to write it."""
    kind, slash, name = text.partition("/")
    if slash and kind.lower() in KINDS and name:
        found = Subject(KINDS[kind.lower()], name)
        return found if found.kind != "address" else _address(name)
    if not slash:
        return _address(text)
    raise Failed(f"{text!r} is nothing that can be explained: write svc/NAME, node/NAME, pool/NAME or an address")


def _address(text: str) -> Subject:
    try:
        return Subject("address", str(ip_address(text)))
    except ValueError:
        raise Failed(f"{text!r} is no address: write svc/{text}, node/{text} or pool/{text}") from None
