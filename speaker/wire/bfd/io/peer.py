"""One BFD session as it was ordered: its protocol state, its path, the socket it sends from, and how it stands."""

from __future__ import annotations

from speaker.wire.bfd.io.sockets import Sender, packed
from speaker.wire.bfd.packets import State
from speaker.wire.bfd.registry import GTSM_TTL, Path
from speaker.wire.bfd.session import Parameters, Session
from speaker.wire.messages import BfdSession, BfdState

NAMES = {State.ADMIN_DOWN: "AdminDown", State.DOWN: "Down", State.INIT: "Init", State.UP: "Up"}


class Peer:
    """`path` is None, and `fault` says why, when its addresses make no sense."""

    def __init__(self, name: str, config: BfdSession, discriminator: int, now: float) -> None:
        self.name = name
        self.config = config
        self.session = Session(discriminator, _parameters(config), now)
        self.sender: Sender | None = None
        self.reported: BfdState | None = None
        self.low_ttl: int | None = None  # of a packet that did not count, since one that did
        self.path, self.fault = _path(config)

    def can_become(self, config: BfdSession) -> bool:
        """Whether it stays the same session: only its timers and role may change."""
        return config == self.config or (self.path is not None and _path(config)[0] == self.path)

    def configure(self, config: BfdSession, now: float) -> None:
        """See `can_become`."""
        self.config = config
        self.session.configure(_parameters(config), now)

    def state(self) -> BfdState:
        """How it stands now."""
        session = self.session
        return BfdState(
            NAMES[session.state],
            NAMES[session.remote_state],
            session.since,
            session.has_failed,
            session.reason,
            session.detect_milliseconds,
            session.transmit_milliseconds,
            self.fault or self._hint(),
        )

    def _hint(self) -> str:
        if self.low_ttl is None or self.path is None or self.session.state is State.UP:
            return ""
        return f"the peer's packets come with TTL {self.low_ttl}, and count only from {self.path.minimum_ttl} up"


def _parameters(config: BfdSession) -> Parameters:
    return Parameters(
        config.transmit_interval_milliseconds * 1000,
        config.receive_interval_milliseconds * 1000,
        config.detect_multiplier,
        config.is_passive,
    )


def _path(config: BfdSession) -> tuple[Path | None, str]:
    try:
        peer, local = packed(config.peer_address), packed(config.source_address) if config.source_address else b""
    except (OSError, ValueError):
        return None, f"not an address: {config.peer_address} or {config.source_address}"
    if local and len(local) != len(peer):
        return None, "the addresses are of different families"
    if peer[:2] == b"\xfe\x80" and len(peer) == 16 and not config.interface:
        return None, "a link-local address needs an interface"
    interface = "" if config.is_multihop else config.interface
    minimum_ttl = config.minimum_ttl if config.is_multihop else GTSM_TTL
    return Path(config.is_multihop, peer, local, interface, config.vrf, minimum_ttl), ""
