"""What the agent and the wire process tell each other of BFD, as plain values.

No I/O. The wire process imports this, so it is made of NamedTuples: dataclasses would cost it a megabyte.
"""

from __future__ import annotations

from typing import NamedTuple


class SessionConfig(NamedTuple):
    """One session: with whom, over which path, and how fast. Times are in milliseconds.

    `peer_address` is unicast; a link-local one needs `interface`. `interface`, for a peer on a connected network: the
    session runs over that interface and no other; "" = the one that the routing table gives. `source_address`: "" = the
    one that the routing table gives. `is_multihop`: RFC 5883, by UDP port 4784, packets count from `minimum_ttl` up;
    else RFC 5881, by port 3784, and packets count only with TTL 255. `vrf`: the VRF device, "" = none. `is_passive`:
    wait for the peer's first packet.
    """

    peer_address: str
    interface: str = ""
    source_address: str = ""
    vrf: str = ""
    is_multihop: bool = False
    minimum_ttl: int = 254
    receive_interval_milliseconds: int = 300
    transmit_interval_milliseconds: int = 300
    detect_multiplier: int = 3
    is_passive: bool = False


class SessionView(NamedTuple):
    """How one session stands.

    `state` and `remote_state` are AdminDown, Down, Init or Up. `since`: CLOCK_BOOTTIME seconds of the last change of
    `state`. `has_failed`: the path was up and is lost; this is what withdraws routes. It ends when the session is up
    again, and is never true because the peer disabled its session (AdminDown says nothing of the path, RFC 5882 §3.2)
    or because this node may not announce. `reason`: why it went down last, in words. `detect_milliseconds`: after how
    much silence the peer is lost, and `transmit_milliseconds`, how often we send (before jitter), as negotiated; 0 =
    the peer has not been heard. `fault`: why the session cannot run, such as a port in use.
    """

    state: str
    remote_state: str
    since: float
    has_failed: bool
    reason: str
    detect_milliseconds: int
    transmit_milliseconds: int
    fault: str
