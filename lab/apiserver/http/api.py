"""The HTTP side: from a request to a call, past faults, authentication and access control, to an encoded answer.

Every rule about objects is in the synchronous parts that are called here. Faults are carried out in gate.py, and
watches are written in streaming.py.
"""

from __future__ import annotations

import asyncio
import time

import structlog
from aiohttp import hdrs, web

from lab.apiserver import status
from lab.apiserver.access.rbac import Attributes
from lab.apiserver.call import Call, User
from lab.apiserver.core import Core
from lab.apiserver.documents.served import VERSION, etag
from lab.apiserver.faults import Request
from lab.apiserver.http import paths, podlogs, views
from lab.apiserver.http.answers import JSON, failure, json_answer, page_not_found
from lab.apiserver.http.authentication import Authentication
from lab.apiserver.http.gate import Gate, Hangup
from lab.apiserver.http.lab import LabCommands
from lab.apiserver.http.streaming import Streams
from lab.apiserver.selectors import name_asked_for
from lab.apiserver.status import StatusError
from lab.apiserver.store import Json, encode
from lab.apiserver.verbs import subresources
from lab.apiserver.verbs.rest import Answer

logger = structlog.get_logger()

HEALTH = ("/healthz", "/readyz", "/livez")
MAXIMUM_BODY = 3 * 1024 * 1024  # as kube-apiserver
_VERSION_SECONDS = 0.02  # how often a list looks whether the version that it waits for is there


class HttpApi:
    """Answers every request that comes over any connection. `gate` and `streams` are for the server's own commands."""

    def __init__(self, core: Core, lab: LabCommands) -> None:
        self.gate = Gate(core.faults)
        self.streams = Streams(core, self.gate)
        self._core = core
        self._lab = lab
        self._authentication = Authentication(core.tokens, core.rbac)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever happens: failures become Status objects, and hangups abort the connection."""
        try:
            await self.gate.let_in(request, request.remote or "")
            return await self._answer(request)
        except StatusError as error:
            return failure(error)
        except (Hangup, ConnectionError):  # a fault wants it, or the client has gone
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("request failed", method=request.method, path=request.path)
            return failure(StatusError(500, "InternalError", f"Internal error occurred: {error!r}", {}))

    # --- what is asked

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        target = paths.parse(path)
        if target is None:
            return await self._document(request, path)
        query = dict(request.rel_url.query) if request.rel_url.raw_query_string else {}
        watching = query.get("watch", "") in ("1", "true", "True")
        user = self._authentication.user_of(request)
        asked = Request(
            request.method,
            paths.verb(request.method, target, watching=watching),
            target.group,
            target.plural,
            target.subresource,
            target.namespace,
            target.name,
            user.name,
            request.headers.get(hdrs.USER_AGENT, ""),
        )
        code, came = 500, time.time()
        try:
            response = await self._serve(request, target, query, user, asked)
            code = response.status
        except StatusError as error:
            code = error.code
            raise
        finally:
            self._core.counters.count(asked, code, request.content_length or 0)
            self._core.timeline.answered(asked, request.remote or "", came, time.time())
        return response

    async def _serve(
        self, request: web.BaseRequest, target: paths.Target, query: dict[str, str], user: User, asked: Request
    ) -> web.StreamResponse:
        await self.gate.let_in(request, user.name)
        late_error = await self.gate.strike(asked)
        name = target.name or name_asked_for(query.get("fieldSelector", ""))
        wanted = Attributes(asked.verb, target.group, target.plural, target.subresource, target.namespace, name)
        self._core.rbac.require(user, wanted)
        resource = self._core.registry.find(target.group, target.version, target.plural)
        if resource is None or (target.namespace and not resource.namespaced and resource.plural != "namespaces"):
            return page_not_found()
        sub = resource.subresource(target.subresource) if target.subresource else None
        if target.subresource and sub is None:
            return page_not_found()
        if asked.verb not in (sub.verbs if sub else resource.verbs):
            raise status.method_not_allowed()
        call = Call(
            asked.verb,
            resource,
            target.namespace if resource.namespaced else "",
            target.name,
            target.subresource,
            user,
            query,
            await _body(request),
            request.headers.get(hdrs.CONTENT_TYPE, JSON),
            request.headers.get(hdrs.USER_AGENT, ""),
        )
        response = await self._dispatch(request, call)
        if late_error is not None:
            raise late_error
        return response

    async def _dispatch(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        rest = self._core.rest
        if call.resource.group_resource == "pods" and call.subresource == "log":
            return await podlogs.serve(request, rest, call, self._core.settings.pod_logs)
        if call.subresource in podlogs.ENTERED:
            raise podlogs.not_entered(call)
        if call.subresource in ("token", "scale", "finalize"):
            return self._special(call)
        if call.resource.verbs == ("create",):
            return json_answer(201, encode(self._core.reviews.answer(call)), call)
        view = views.choose(call.resource, request.headers.get(hdrs.ACCEPT, ""), call.query.get("includeObject", ""))
        match call.verb:
            case "get":
                return json_answer(200, view.one(rest.get(call)), call)
            case "list":
                await self._wait_for_version(call)
                return json_answer(200, view.page(rest.list_page(call)), call)
            case "watch":
                return await self.streams.serve(request, call, view)
            case "create":
                return _written(rest.create(call), view, call)
            case "update":
                return _written(rest.update(call), view, call)
            case "patch":
                return _written(rest.patch(call), view, call)
            case "delete":
                return _written(rest.delete(call, _delete_options(call)), view, call)
            case _:
                return json_answer(200, view.page(rest.delete_collection(call, _delete_options(call))), call)

    def _special(self, call: Call) -> web.Response:
        """Subresources that are not a part of the object."""
        match call.subresource:
            case "token":
                return json_answer(201, encode(self._core.tokens.issue(call)), call)
            case "finalize":
                return json_answer(200, subresources.finalize(self._core.rest, call).raw, call)
            case _:
                return json_answer(200, encode(subresources.scale(self._core.rest, call)), call)

    async def _wait_for_version(self, call: Call) -> None:
        """A list must not be older than what the client has seen; a version that never comes is refused (504)."""
        wanted = call.number("resourceVersion")
        deadline = asyncio.get_running_loop().time() + self._core.settings.future_version_seconds
        while wanted > self._core.store.revision:
            if asyncio.get_running_loop().time() >= deadline:
                raise status.from_the_future(wanted, self._core.store.revision)
            await asyncio.sleep(_VERSION_SECONDS)

    # --- everything that is no resource

    async def _document(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        user = self._authentication.user_of(request)
        if path.startswith("/lab/"):
            if not user.is_master:
                raise StatusError(403, "Forbidden", "forbidden: only the admin may use /lab", {})
            return await self._lab.answer(request, path)
        await self.gate.let_in(request, user.name)
        await self.gate.strike(Request(request.method, request.method.lower(), resource=path, user=user.name))
        self._core.rbac.require(user, Attributes(request.method.lower(), path=path))
        if path.startswith(HEALTH):
            return web.Response(text="ok")
        if path.rstrip("/") == "/version":
            return json_answer(200, encode(VERSION))
        accept = request.headers.get(hdrs.ACCEPT, "")
        found = self._core.documents.openapi(path, accept)
        if found is None:
            found = self._core.documents.discovery(path, accept, _own_address(request))
        if found is None:
            return page_not_found()
        content_type, body = found
        tag = etag(body)
        if request.headers.get(hdrs.IF_NONE_MATCH, "") == tag:
            return web.Response(status=304, headers={hdrs.ETAG: tag})
        headers = {hdrs.CONTENT_TYPE: content_type, hdrs.ETAG: tag, hdrs.VARY: "Accept"}
        return web.Response(body=body, headers=headers)


def _own_address(request: web.BaseRequest) -> str:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return f"{name[0]}:{name[1]}" if name else ""


async def _body(request: web.BaseRequest) -> bytes:
    if not request.body_exists:
        return b""
    body = await request.content.read()
    if len(body) > MAXIMUM_BODY:
        raise StatusError(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728", {})
    return body


def _delete_options(call: Call) -> Json:
    """The body of a DELETE, if there is one; some clients send the same as parameters."""
    if not call.body:
        return {}
    document = call.document()
    return document if isinstance(document, dict) else {}


def _written(answer: Answer, view: views.View, call: Call) -> web.Response:
    if answer.record is None:
        return json_answer(answer.code, encode(answer.body), call)
    return json_answer(answer.code, view.one(answer.record), call)
