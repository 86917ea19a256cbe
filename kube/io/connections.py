"""TCP connections that notice within seconds that nobody is at the other end any more.

By itself TCP notices it never while nothing is sent, as on a watch, and after 15 minutes while something is.
"""

import asyncio
import socket
import ssl

from kube.config.io.library import aiohttp

IDLE_SECONDS = 10
"""Of silence, until the other end is asked whether it is there."""
INTERVAL_SECONDS = 5
PROBES = 3
UNANSWERED_SECONDS = 15
"""What was sent, probes or data, is acknowledged within this time, or the connection breaks (RFC 5482)."""


class Connector(aiohttp.TCPConnector):
    """Without a limit: who uses it has its own."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(limit=0, ssl=tls, socket_factory=_kept_alive)

    def drop_resting(self, since_seconds: float) -> None:
        """Use no connection again that has rested for as long: a request on it may wait for an answer in vain."""
        latest = asyncio.get_running_loop().time() - since_seconds
        for resting in self._conns.values():
            for protocol, released in resting:
                if released <= latest and protocol.transport is not None:
                    protocol.transport.abort()


def _kept_alive(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_SECONDS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL_SECONDS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_SECONDS * 1000)
    return made
