"""Watches the Secrets that BGPPeers name, each by itself, so that a speaker reads no other.

A Secret that is not there has no values; of one that may not be read nothing is told. What that means for a peer is
decided in speaker.bgp.passwords.
"""

import asyncio
from collections.abc import Callable, Mapping, Set

import structlog

from kube.informer.io.informer import Change, Informer
from kube.io.client import Client
from kube.objects import Secret, decode_secret
from kube.resource import SECRETS

Values = Mapping[str, bytes]

log = structlog.get_logger()


class SecretWatch:
    """`on_secret(name, values)` when it was read and after each change; none at all = it is not there; None = nobody
    wants it any more."""

    def __init__(self, client: Client, namespace: str, on_secret: Callable[[str, Values | None], None]) -> None:
        self._client = client
        self._namespace = namespace
        self._on_secret = on_secret
        self._wanted: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._watches: dict[str, asyncio.Task[None]] = {}

    def want(self, names: Set[str]) -> None:
        """Watch these, and no others."""
        if names != self._wanted:
            self._wanted = frozenset(names)
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for name in self._watches.keys() - self._wanted:
                    self._watches.pop(name).cancel()
                    self._on_secret(name, None)
                for name in self._wanted - self._watches.keys():
                    self._watches[name] = group.create_task(self._watch(name))
                await self._changed.wait()
                self._changed.clear()

    async def _watch(self, name: str) -> None:
        is_told = False

        def changed(change: Change[Secret]) -> None:
            nonlocal is_told
            is_told = True
            self._on_secret(name, {} if change.new is None else _values(change.new))

        informer = Informer(
            self._client,
            SECRETS,
            decode_secret,
            on_change=changed,
            namespace=self._namespace,
            field_selector=f"metadata.name={name}",
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(informer.run())
            await informer.wait_synced()
            if not is_told:
                self._on_secret(name, {})


def _values(secret: Secret) -> Values:
    values: dict[str, bytes] = {}
    for key in secret.data:
        try:
            if (value := secret.value(key)) is not None:
                values[key] = value
        except ValueError as error:
            log.warning("a Secret's key can't be read", name=secret.metadata.name, key=key, error=str(error))
    return values
