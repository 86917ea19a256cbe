"""Holds the BGP sessions of this node and keeps what routers have of us at what is wanted: the agent's end of ExaBGP.

Decides nothing about addresses: the agent says which peers there are and which routes each is to have. It never announces
by itself: without set_peers and set_routes there is nothing.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from speaker.bgp.model import PeerConfig, Prefix, Route, SessionView


class BgpDriver:
    """All methods are to be called in the event loop that `run` runs in; the synchronous ones return at once, and may be
    called before `run`. All are idempotent: say the same as often as you like.

    `directory`: an own one, for configuration (with passwords: it is made with mode 0700) and pipes.
    `on_change()`: something visible here changed: `sessions`, or an answer of `may_be_heard`.
    """

    def __init__(self, directory: Path, *, on_change: Callable[[], None]) -> None:
        self._directory = directory
        self._on_change = on_change

    async def run(self) -> None:
        """Hold the sessions until cancelled; then every session is closed without a word (see `stop` for the clean way)."""
        raise NotImplementedError

    @property
    def sessions(self) -> Mapping[str, SessionView]:
        """By peer name: each configured peer, also one that is refused (state Idle, last_error says why)."""
        raise NotImplementedError

    @property
    def outlives_seconds(self) -> int:
        """How long routers may keep our routes after this process has gone, in seconds: the longest hold time (as agreed,
        or as configured while it isn't) or graceful restart time of the configured peers. 0 = no peers."""
        raise NotImplementedError

    def set_peers(self, peers: Mapping[str, PeerConfig]) -> None:
        """The routers to hold sessions with, by name: all of them. A changed peer resets that session only; one that is
        gone is withdrawn from and closed. Of two peers with one address, the one that was there first (then: whose name sorts
        first) is used, and the other refused."""
        raise NotImplementedError

    def set_routes(self, peer: str, routes: Mapping[Prefix, Route]) -> None:
        """The routes that the peer is to have: all of them (adj-RIB-out). Only what differs is sent. A name that is no
        peer's (yet) is remembered."""
        raise NotImplementedError

    def drain(self, is_draining: bool = True) -> None:
        """While draining, every route carries GRACEFUL_SHUTDOWN, and LOCAL_PREF 0 on iBGP (RFC 8326): routers move
        traffic away before the routes go."""
        raise NotImplementedError

    def silence(self, reason: str) -> None:
        """Withdraw everything and send nothing until `resume`. A session that does not confirm in time is closed."""
        raise NotImplementedError

    def resume(self) -> None:
        """Send again what is wanted."""
        raise NotImplementedError

    def may_be_heard(self, prefix: Prefix) -> bool:
        """Whether any router may have a route to exactly this prefix from us. False only when each peer never got it, or
        was sent the withdrawal and has received it, or has certainly dropped the session since. Also of peers that are
        deleted. True as long as it is wanted (set_routes) of a peer, and not silenced."""
        raise NotImplementedError

    async def stop(self, *, graceful: bool) -> None:
        """Close all sessions. `graceful`: without a word, so that routers keep the routes of peers with graceful restart
        until we are back (RFC 4724); nothing was withdrawn then. Otherwise: withdraw everything, wait a moment for the
        confirmations, and say goodbye (NOTIFICATION Cease, administrative shutdown). Never raises for what a router does.
        Afterwards `may_be_heard` tells what is certain."""
        raise NotImplementedError
