"""The objects that a speaker writes of itself on the API server: one request at a time, as their writers ask for it.

Decides nothing. What a request comes to is told as a value.
"""

import contextlib
import random
from typing import Any

import msgspec

from crds.speaker import word_on_routers
from crds.speakerreport import report_name
from kube.decoding import decoder
from kube.errors import AlreadyExists, ApiError, Invalid, NotFound, is_precondition_failure
from kube.io.client import Client
from kube.objects import NodeSystemInfo, decode_node
from kube.resource import NODES, RELEASECONFIRMATIONS, SPEAKERREPORTS, SPEAKERS, Resource
from speaker.own.predecessor import Elsewhere, LastWord
from speaker.own.requests import (
    Delete,
    Deleted,
    Failed,
    Failure,
    Found,
    Kind,
    Look,
    Outcome,
    Own,
    Request,
    Target,
    Write,
    Wrote,
)

_RESOURCES: dict[Kind, Resource] = {
    Kind.SPEAKER: SPEAKERS,
    Kind.CONFIRMATION: RELEASECONFIRMATIONS,
    Kind.REPORT: SPEAKERREPORTS,
}
TOO_LARGE = "too large"
"""In the message of a 500: "etcdserver: request is too large", or of a 413."""


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    resource_version: str
    annotations: dict[str, str] | None = None


class _Router(msgspec.Struct, frozen=True, rename="camel"):
    address: str
    outlives_seconds: int


class _Fencing(msgspec.Struct, frozen=True, rename="camel"):
    promised: bool = False
    fence_after_seconds: int = 0
    witnesses: tuple[str, ...] | None = None

    @property
    def promised_on(self) -> frozenset[str] | None:
        return frozenset(self.witnesses or ()) if self.promised else None


class _Elsewhere(msgspec.Struct, frozen=True, rename="camel"):
    machine: str
    fencing: _Fencing = _Fencing()
    outlives_seconds: int = 0


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    incarnation: str = ""
    machine: str = ""
    elsewhere: tuple[_Elsewhere, ...] | None = None
    fencing: _Fencing | None = None
    goodbye: bool = False
    routers: tuple[_Router, ...] | None = None
    released: dict[str, msgspec.Raw] | None = None
    announcements: dict[str, msgspec.Raw] | None = None


class _Object(msgspec.Struct, frozen=True):
    metadata: _Meta
    status: _Status = _Status()


class _Names(msgspec.Struct, frozen=True):
    status: dict[str, msgspec.Raw] = {}


_decode = decoder(_Object)
_decode_names = decoder(_Names)


class OwnObjects:
    """Those of one node. Every outcome is an answer; nothing is raised but the end of the task."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node

    async def carry_out(self, request: Request) -> Outcome:
        """One attempt. It may have arrived though it failed."""
        try:
            match request:
                case Look():
                    return await self._look(request)
                case Write():
                    return Wrote(request, await self._write(request))
                case Delete(target, uid):
                    await self._client.delete(_RESOURCES[target.kind], self._name(target), uid=uid)
                    return Deleted(request)
        except ApiError as error:
            return _failed(request, error)
        except ValueError as error:  # an object that we can't read; somebody has to mend it
            return Failed(request, Failure.OTHER, str(error), random.random())

    async def _look(self, look: Look) -> Found:
        resource, name = _RESOURCES[look.target.kind], self._name(look.target)
        if not look.creates:
            return Found(look, own_from(await self._client.get(resource, name)))
        owner, info = (look.owner, NodeSystemInfo()) if look.owner else await self._read_node()
        with contextlib.suppress(NotFound):
            return Found(look, own_from(await self._client.get(resource, name)), owner, info)
        try:
            made = await self._client.create(resource, self._body(look.target, owner))
        except AlreadyExists:
            made = await self._client.get(resource, name)
        return Found(look, own_from(made), owner, info)

    async def _read_node(self) -> tuple[str, NodeSystemInfo]:
        node = decode_node(await self._client.get(NODES, self._node))
        return node.metadata.uid, node.status.node_info

    def _body(self, target: Target, owner: str) -> dict[str, Any]:
        """The owner reference makes the garbage collector delete it with its Node."""
        reference = {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": owner}
        spec = {"node": self._node} if target.kind is Kind.REPORT else {}
        return {"metadata": {"name": self._name(target), "ownerReferences": [reference]}, "spec": spec}

    async def _write(self, write: Write) -> Own:
        """One merge patch of the status subresource, on the condition that the object is the one we know."""
        body: dict[str, Any] = {
            "metadata": {"uid": write.uid, "resourceVersion": write.resource_version},
            "status": write.status,
        }
        resource = _RESOURCES[write.target.kind]
        return own_from(await self._client.merge_patch(resource, self._name(write.target), body, subresource="status"))

    def _name(self, target: Target) -> str:
        return report_name(self._node, target.number) if target.kind is Kind.REPORT else self._node


def _failed(request: Request, error: ApiError) -> Failed:
    causes = {cause.field: cause.message for cause in error.causes if cause.field.startswith("status.")}
    return Failed(request, _failure(error), str(error), random.random(), error.retry_after_seconds or 0.0, causes)


def _failure(error: ApiError) -> Failure:
    match error:
        case NotFound() if not error.is_unknown_resource:
            return Failure.GONE
        case _ if is_precondition_failure(error):
            return Failure.CONFLICT
        case Invalid():
            return Failure.REFUSED
        case _ if error.code == 413 or (error.code >= 500 and TOO_LARGE in error.message):
            return Failure.REFUSED
        case _:
            return Failure.OTHER


def own_from(raw: bytes) -> Own:
    """What a writer needs to know of an object. Raises ValueError."""
    found = _decode(raw)
    status = found.status
    keys = frozenset((status.released or status.announcements or {}).keys())
    names = frozenset(_decode_names(raw).status)
    return Own(found.metadata.uid, found.metadata.resource_version, status.incarnation, keys, names, _last_word(found))


def _last_word(found: _Object) -> LastWord:
    status = found.status
    routers = {one.address: one.outlives_seconds for one in status.routers or ()}
    others = list(status.elsewhere or ())
    if status.incarnation and not status.goodbye:
        others.append(_Elsewhere(status.machine, status.fencing or _Fencing(), max(routers.values(), default=0)))
    elsewhere = tuple(
        Elsewhere(one.machine, one.fencing.fence_after_seconds, one.fencing.promised_on, one.outlives_seconds)
        for one in others
    )
    if status.goodbye:
        return LastWord(elsewhere=elsewhere)
    _, dropped = word_on_routers(found.metadata.annotations)
    return LastWord(routers, dropped, elsewhere)
