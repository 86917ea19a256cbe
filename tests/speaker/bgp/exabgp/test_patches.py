"""What Berth replaces in ExaBGP, and what it relies on there, is as it was when that was written.

A digest that differs means that ExaBGP has changed there: read both, and the tests against routers, before it is
written anew. `python -m tests.speaker.bgp.exabgp.test_patches` prints them.
"""

import hashlib
import inspect
from importlib.metadata import version
from typing import Any

import pytest
from exabgp.bgp.message.update.attribute import ASPath
from exabgp.bgp.message.update.attribute.generic import GenericAttribute
from exabgp.bgp.neighbor import Neighbor
from exabgp.configuration.static import parser
from exabgp.reactor.api.processes import Processes
from exabgp.reactor.asynchronous import ASYNC
from exabgp.reactor.loop import Reactor
from exabgp.reactor.peer import Peer
from exabgp.reactor.protocol import Protocol

from speaker.bgp.exabgp.io import changed

VERSION = "5.0.15"
RELIED_ON: list[tuple[Any, str]] = [
    (Peer, "_main"),  # when it sends what waits for the routes before it
    (Peer, "teardown"),
    (Protocol, "read_message"),
    (Protocol, "new_refresh"),
    (Protocol, "new_keepalive"),
    (Processes, "received"),
    (Processes, "write"),
    (Processes, "_handle_problem"),
    (ASYNC, "_run_async"),
    (Reactor, "run"),  # when it waits, and for how long
    (Neighbor, "__init__"),
    (parser, "attribute"),
    (GenericAttribute, "__init__"),
    (ASPath, "pack"),
]
DIGESTS = {
    "protocol.Outgoing": "da24138785d2c7d8",
    "peer.Delay": "910a6bef7e774522",
    "keepalive.SendTimer": "951fa73447b01072",
    "peer.ReceiveTimer": "4d80a7b47fdb9893",
    "Peer._send_ka": "690e3ce7012f1f24",
    "Negotiated._negotiate": "886dd7754299e928",
    "Negotiated.validate": "fb55bcf8df826651",
    "Neighbor.remove_self": "cbd04747e6f3e834",
    "ParseNeighbor._post_capa_nexthop": "fdb41a6c6fdbff49",
    "Update.messages": "2f245ef279ad1ac0",
    "Attributes.pack": "bc79206eef2ce2f5",
    "Capabilities._graceful": "113b32ffd3c85799",
    "Protocol.new_eors": "157de2c158727cc5",
    "Connection.reader": "f24e4d410e05b858",
    "Processes._start": "3b7435641454714f",
    "ASYNC._notify_error": "1b4ecf48fdf47217",
    "ASYNC.run": "b19e41c01689bade",
    "Reactor._wait_for_io": "abe9694fbe6f8686",
    "Peer._main": "e5ea2fecea84afed",
    "Peer.teardown": "a4494f0eed893ca9",
    "Protocol.read_message": "1266df3f50c763ff",
    "Protocol.new_refresh": "2b7c2f595a7c82ca",
    "Protocol.new_keepalive": "ebf49e0c5a493920",
    "Processes.received": "844093e8f014d2e2",
    "Processes.write": "59a9a5eb6dfdcd34",
    "Processes._handle_problem": "9f3e80dac1cd0a56",
    "ASYNC._run_async": "7640837abdd9df3e",
    "Reactor.run": "2be669a4812a5c6d",
    "Neighbor.__init__": "0916949cb5dc0998",
    "parser.attribute": "6ed59722ce92b3ca",
    "GenericAttribute.__init__": "b57f3ba64d06ed2c",
    "ASPath.pack": "b4d36d83b5539a46",
}


def places() -> list[tuple[Any, str]]:
    return [*((owner, name) for owner, name, _ in changed.patches()), *RELIED_ON]


def title(owner: Any, name: str) -> str:
    return f"{owner.__name__.rpartition('.')[2]}.{name}"


def digest(owner: Any, name: str) -> str:
    return hashlib.sha256(inspect.getsource(inspect.getattr_static(owner, name)).encode()).hexdigest()[:16]


def test_the_version_is_the_one_that_was_read() -> None:
    assert version("exabgp") == VERSION


@pytest.mark.parametrize(("owner", "name"), [pytest.param(*place, id=title(*place)) for place in places()])
def test_what_is_replaced_or_relied_on_is_as_it_was(owner: Any, name: str) -> None:
    assert digest(owner, name) == DIGESTS[title(owner, name)]


if __name__ == "__main__":
    for place in places():
        print(f'    "{title(*place)}": "{digest(*place)}",')
