"""The agent's side of the heartbeats: the keys in their folder, who the peers are, and whether all that works.

It keeps the wire process configured and judges nobody: who is heard is in `WireLink.members`. Without keys the speaker
goes on by Leases alone, and its condition PeersHeard says why.

The folder is a mounted Secret: `key` signs; `key`, `next` and `previous` verify. The last two need not be there. So a
key is replaced without losing anybody: first every speaker learns the next one, then all sign with it, and then the
previous one goes. A kubelet changes such a folder in place, so it is read again and again.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from speaker.cluster.state import ClusterState
from speaker.members.view import OwnStanding
from speaker.wire.io.link import OrderRefusedError, WireLink
from speaker.wire.messages import Heartbeat, Member, OwnState

SIGNING_KEY, OTHER_KEYS = "key", ("next", "previous")
LEAST_KEY_BYTES = 16
"""RFC 2104 §3 advises against keys shorter than the hash; half of that is what nobody guesses."""
MOST_KEY_BYTES = 4096
LOOK_SECONDS = 0.5
"""A speaker that joins is listened to this much later at most."""
LISTEN_INTERVALS = 4
"""A peer is lost after three missed heartbeats, so whoever lives is heard in this time; one more for the handshake."""
LOOKS_PER_READING = 6
"""The keys are read every three seconds."""

log = structlog.get_logger()

Addresses = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class HeartbeatOptions:
    """`key_directory` "" = no heartbeats."""

    key_directory: str = ""
    port: int = 7473
    interval_milliseconds: int = 200

    def fault(self) -> str:
        """What is wrong with these figures; "" when nothing is."""
        if not 0 < self.port < 65536:
            return "the heartbeats' port should be between 1 and 65535"
        if not 50 <= self.interval_milliseconds <= 5000:
            return "heartbeats should be 50 to 5000 milliseconds apart"
        return ""


class KeysError(Exception):
    """The folder has no usable keys; the message says which file and why."""


def read_keys(directory: Path) -> tuple[bytes, ...]:
    """The signing key first. White space around a key is no part of it. Raises KeysError."""
    keys = [_read_key(directory / SIGNING_KEY)]
    keys += [_read_key(path) for name in OTHER_KEYS if (path := directory / name).exists()]
    return tuple(dict.fromkeys(keys))


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            key = file.read(MOST_KEY_BYTES + 1).strip()
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from None
    if not LEAST_KEY_BYTES <= len(key) <= MOST_KEY_BYTES:
        raise KeysError(f"{path}: a key has {LEAST_KEY_BYTES} to {MOST_KEY_BYTES} bytes, this one {len(key)}")
    return key


class Heartbeats:
    """`run` once. `cluster` gives the present one; `is_complete` whether all that concerns peers has been read."""

    def __init__(
        self,
        link: WireLink,
        options: HeartbeatOptions,
        node: str,
        incarnation: str,
        *,
        cluster: Callable[[], ClusterState],
        is_complete: Callable[[], bool],
    ) -> None:
        self.fault = ""
        """Why there are none, or not with the keys that the folder has now; "" when all is well."""
        self._link = link
        self._directory = Path(options.key_directory) if options.key_directory else None
        self._wanted = Heartbeat(node, incarnation, (), options.interval_milliseconds / 1000, port=options.port)
        self._applied: Heartbeat | None = None
        self._applied_at = 0.0
        self._listen_seconds = LISTEN_INTERVALS * options.interval_milliseconds / 1000
        self._look = asyncio.Event()
        self._seen: Mapping[str, Member] = {}
        self._cluster = cluster
        self._is_complete = is_complete

    @property
    def are_wanted(self) -> bool:
        """Whether there is a folder of keys at all."""
        return self._directory is not None

    @property
    def are_on(self) -> bool:
        """Whether the wire has keys."""
        return self._applied is not None and bool(self._applied.keys)

    @property
    def heard(self) -> Mapping[str, Member]:
        """The peers heard now, by node."""
        return self._link.members if self.are_on else {}

    async def run(self) -> None:
        """Keep the wire's configuration as it should be, until cancelled. Raises WireError when it is dead or stuck."""
        if self._directory is None:
            return
        looks = 0
        while True:
            if looks % LOOKS_PER_READING == 0:
                await self._read_keys(self._directory)
            looks += 1
            self._wanted = self._wanted._replace(members=self._peers())
            if self._wanted.keys and self._wanted != self._applied:
                await self._apply(self._wanted)
            self._look.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._look.wait()

    def say(self, contact: float, own: OwnStanding, *, serving: bool) -> None:
        """What our heartbeats say of us; to be repeated twice a second."""
        if self.are_on:
            self._link.send(OwnState(contact, serving, own.is_member, own.is_behind, own.is_leaving))

    @property
    def have_listened(self) -> bool:
        """Whether all present peers that send heartbeats must have been heard by now; True without any, or any key."""
        if not self.are_wanted or self.fault or not (peers := self._peers()):
            return True
        is_listening = self.are_on and self._applied is not None and peers.keys() <= self._applied.members.keys()
        return is_listening and time.monotonic() - self._applied_at >= self._listen_seconds

    def look(self) -> None:
        """The peers may have changed."""
        self._look.set()

    def peers_changed(self, peers: Mapping[str, Member]) -> None:
        """Tell people who came and went."""
        for node in peers.keys() - self._seen.keys():
            log.info("hearing a peer", node=node, incarnation=peers[node].incarnation, via=peers[node].via)
        for node in self._seen.keys() - peers.keys():
            log.info("a peer is not heard any more", node=node, incarnation=self._seen[node].incarnation)
        self._seen = peers

    async def _read_keys(self, directory: Path) -> None:
        """Good keys stay in use when the folder is not good any more: a mistake in a Secret must not part all nodes."""
        try:
            keys = await asyncio.to_thread(read_keys, directory)
        except KeysError as error:
            if str(error) != self.fault:
                log.error("no usable heartbeat key", error=str(error), earlier_keys_stay=bool(self._wanted.keys))
            self.fault = str(error)
            return
        if keys != self._wanted.keys:
            log.info("heartbeat keys read", keys=len(keys))
        self._wanted = self._wanted._replace(keys=keys)
        self.fault = ""

    async def _apply(self, config: Heartbeat) -> None:
        try:
            await self._link.carry_out(config)
        except OrderRefusedError as error:
            log.error("the wire refused to send heartbeats", error=str(error))
            self.fault = str(error)
            return
        self._applied, self._applied_at = config, time.monotonic()

    def _peers(self) -> Addresses:
        """Those that said goodbye may be back any moment, so they are listened to as well.

        While the objects are being read (again), nobody is dropped: those not read yet are no less there.
        """
        cluster, own = self._cluster(), self._wanted.node
        read = {
            node: cluster.nodes[node].addresses if node in cluster.nodes else ()
            for node in cluster.speakers
            if node != own
        }
        return read if self._is_complete() else {**self._wanted.members, **read}
