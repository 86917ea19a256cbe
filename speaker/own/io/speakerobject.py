"""The own Speaker on the API server: one request at a time, as speaker.own.writer asks for it. Decides nothing."""

import contextlib
import random
from typing import Any

import msgspec

from crds.addresses import addresses_in
from crds.names import ANNOTATION_DROPPED_ROUTERS
from crds.speaker import MOST_ROUTERS
from kube.errors import AlreadyExists, ApiError, NotFound, is_precondition_failure
from kube.io.client import Client
from kube.objects import decode_node
from kube.resource import NODES, SPEAKERS
from speaker.own.predecessor import LastWord
from speaker.own.writer import Failed, Failure, Found, Look, Outcome, Own, Request, Write, Wrote


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    resource_version: str
    annotations: dict[str, str] | None = None


class _Router(msgspec.Struct, frozen=True, rename="camel"):
    address: str
    outlives_seconds: int


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    incarnation: str = ""
    goodbye: bool = False
    routers: tuple[_Router, ...] | None = None


class _Object(msgspec.Struct, frozen=True):
    metadata: _Meta
    status: _Status = _Status()


_decode = msgspec.json.Decoder(_Object).decode


class SpeakerObject:
    """That of one node. Every outcome is an answer; nothing is raised but the end of the task."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node

    async def carry_out(self, request: Request) -> Outcome:
        """One attempt. It may have arrived though it failed."""
        try:
            match request:
                case Look(creates=True):
                    return await self._look_or_create()
                case Look():
                    return Found(_own(await self._client.get(SPEAKERS, self._node)))
                case Write():
                    return Wrote(await self._write(request))
        except NotFound as error:
            return _failed(Failure.GONE, error)
        except ApiError as error:
            return _failed(Failure.CONFLICT if is_precondition_failure(error) else Failure.OTHER, error)

    async def _look_or_create(self) -> Found:
        """The owner reference makes the garbage collector delete the Speaker with its Node."""
        node_uid = decode_node(await self._client.get(NODES, self._node)).metadata.uid
        with contextlib.suppress(NotFound):
            return Found(_own(await self._client.get(SPEAKERS, self._node)), node_uid)
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": node_uid}
        body = {"metadata": {"name": self._node, "ownerReferences": [owner]}, "spec": {}}
        try:
            return Found(_own(await self._client.create(SPEAKERS, body)), node_uid)
        except AlreadyExists:
            return Found(_own(await self._client.get(SPEAKERS, self._node)), node_uid)

    async def _write(self, write: Write) -> Own:
        """One merge patch of the status subresource, on the condition that the object is the one we know."""
        body: dict[str, Any] = {
            "metadata": {"uid": write.uid, "resourceVersion": write.resource_version},
            "status": write.status,
        }
        return _own(await self._client.merge_patch(SPEAKERS, self._node, body, subresource="status"))


def _failed(failure: Failure, error: ApiError) -> Failed:
    return Failed(failure, str(error), random.random(), error.retry_after_seconds or 0.0)


def _own(raw: bytes) -> Own:
    found = _decode(raw)
    return Own(found.metadata.uid, found.metadata.resource_version, found.status.incarnation, _last_word(found))


def _last_word(found: _Object) -> LastWord:
    if found.status.goodbye:
        return LastWord()
    dropped = addresses_in((found.metadata.annotations or {}).get(ANNOTATION_DROPPED_ROUTERS, ""), MOST_ROUTERS)
    return LastWord({one.address: one.outlives_seconds for one in found.status.routers or ()}, dropped)
