"""Makes the Secret with the heartbeats' keys when it is missing; what is in it is in allocator.heartbeatkey.

Each allocator looks, so that each knows what to put back; the one that leads creates. Of two that both believe so, one
is refused, since a name exists once, and reads what the other one made.
"""

import asyncio
from collections.abc import Callable
from secrets import token_bytes

import structlog

from allocator.heartbeatkey import KEY_BYTES, Keys, keys_of, secret
from kube.errors import AlreadyExists, ApiError, NotFound
from kube.io.client import Client
from kube.resource import SECRETS

log = structlog.get_logger()

LOOK_SECONDS = 10.0
"""Kubelets take a minute to bring a change to the nodes, so it need not be sooner."""
MISSING_SECONDS = 1.0


class KeyKeeper:
    """`name` "" = the Secret is somebody else's business. `leads`: whether this process may create it."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        leads: Callable[[], bool],
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._leads = leads
        self._look_seconds = look_seconds
        self._known: Keys = {}
        self._trouble = ""

    async def run(self) -> None:
        """Until cancelled; at once where there is nothing to keep."""
        while self._name:
            is_there = await self._is_there()
            await asyncio.sleep(self._look_seconds if is_there else min(self._look_seconds, MISSING_SECONDS))

    async def _is_there(self) -> bool:
        """Looks, and creates it if need be. What fails is tried again."""
        try:
            return await self._look() or (self._leads() and await self._create())
        except (ApiError, ValueError) as error:
            if str(error) != self._trouble:
                log.warning("the Secret with the heartbeats' keys can't be read or made", error=str(error))
            self._trouble = str(error)
            return True  # not to be asked for every second

    async def _look(self) -> bool:
        try:
            self._known = keys_of(await self._client.get(SECRETS, self._name, self._namespace)) or self._known
        except NotFound:
            return False
        self._trouble = ""
        return True

    async def _create(self) -> bool:
        body = secret(self._name, self._known, token_bytes(KEY_BYTES))
        try:
            await self._client.create(SECRETS, body, self._namespace)
        except AlreadyExists:
            return False  # by somebody else: look at it
        log.info("the Secret with the heartbeats' keys is made", secret=self._name, put_back=bool(self._known))
        return True
