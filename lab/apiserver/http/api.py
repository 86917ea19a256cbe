"""The HTTP side: from a request to a call, past authentication, faults and access control, to an encoded answer.

Sleeps, waits and streams; every rule about objects is in the synchronous parts that it calls.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
import structlog
from aiohttp import hdrs, web
from multidict import CIMultiDict

from lab.apiserver import status
from lab.apiserver.access.rbac import Attributes, refusal
from lab.apiserver.access.tokens import service_account_user
from lab.apiserver.call import ANONYMOUS, AUTHENTICATED, Call, User
from lab.apiserver.controllers import namespaces
from lab.apiserver.core import Core
from lab.apiserver.documents.served import VERSION, etag
from lab.apiserver.faults import Cut, Fault, Request
from lab.apiserver.http import paths, views
from lab.apiserver.http.watch import Watch
from lab.apiserver.kinds.workloads import to_scale
from lab.apiserver.status import StatusError
from lab.apiserver.store import encode
from lab.apiserver.verbs.rest import Answer

logger = structlog.get_logger()

Json = dict[str, Any]
JSON = "application/json"
HEALTH = ("/healthz", "/readyz", "/livez")
MAXIMUM_BODY = 3 * 1024 * 1024  # as kube-apiserver
_WARNING = '299 - "{}"'


class Hangup(Exception):
    """The connection is closed without an answer."""


class HttpApi:
    def __init__(self, core: Core) -> None:
        self.core = core
        self.watches: set[Watch] = set()
        self.running = asyncio.Event()  # cleared: the server is frozen
        self.running.set()
        self.lab: LabRequests | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            await self.running.wait()
            self._check_cut(await self._cut_of(request, request.remote or ""))
            return await self._answer(request)
        except StatusError as error:
            return _error(error)
        except (Hangup, ConnectionError):  # by our will, or the client has gone
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("request failed", method=request.method, path=request.path)
            return _error(StatusError(500, "InternalError", f"Internal error occurred: {error!r}", {}))

    # --- who asks, and may they

    async def _cut_of(self, request: web.BaseRequest, *who: str) -> Cut | None:
        cut = self.core.faults.cut_off(*who)
        while cut is Cut.HANG and request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.2)  # until mended, or until the client gives up
            cut = self.core.faults.cut_off(*who)
        return cut

    def _check_cut(self, cut: Cut | None) -> None:
        if cut is not None:
            raise Hangup

    def _authenticate(self, headers: Mapping[str, str]) -> User:
        credentials = headers.get(hdrs.AUTHORIZATION)
        if credentials is None:
            return ANONYMOUS
        scheme, _, token = credentials.partition(" ")
        user = self.core.tokens.user_of(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise status.unauthorized()
        if "Impersonate-User" not in headers:
            return user
        return self._impersonated(user, headers)

    def _impersonated(self, user: User, headers: Mapping[str, str]) -> User:
        """Whom the user wants to be taken for, if it may."""
        assert isinstance(headers, Mapping)
        name = headers["Impersonate-User"]
        given = headers.getall("Impersonate-Group", []) if hasattr(headers, "getall") else []
        extra: dict[str, tuple[str, ...]] = {}
        for header, value in headers.items():
            if header.lower().startswith("impersonate-extra-"):
                key = unquote(header[len("impersonate-extra-") :].lower())
                extra[key] = (*extra.get(key, ()), value)
        is_account = name.startswith("system:serviceaccount:") and name.count(":") == 3
        for resource, subject in (
            ("serviceaccounts" if is_account else "users", name),
            *(("groups", g) for g in given),
        ):
            self._authorize(user, Attributes("impersonate", resource=resource, name=subject.rpartition(":")[2]))
        if is_account and not given:
            _, _, namespace, account = name.split(":")
            return service_account_user(namespace, account, extra=extra)
        groups = tuple(dict.fromkeys((*given, AUTHENTICATED)))
        return User(name, groups, headers.get("Impersonate-Uid", ""), extra)

    def _authorize(self, user: User, wanted: Attributes) -> None:
        if self.core.rbac.allows(user, wanted):
            return
        why = refusal(user, wanted)
        if wanted.path:
            raise StatusError(403, "Forbidden", f"forbidden: {why}", {})
        raise status.forbidden(wanted.group, wanted.full_resource, wanted.name, why)

    # --- what is asked

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        target = paths.parse(path)
        if target is None:
            return await self._document(request, path)
        query = dict(request.rel_url.query) if request.rel_url.raw_query_string else {}
        watching = query.get("watch", "") in ("1", "true", "True")
        verb = paths.verb(request.method, target, watching=watching)
        user = self._authenticate(request.headers)
        asked = Request(
            request.method,
            verb,
            target.group,
            target.plural,
            target.subresource,
            target.namespace,
            target.name,
            user.name,
        )
        code = 500
        try:
            response = await self._serve(request, target, query, user, asked)
            code = response.status
        except StatusError as error:
            code = error.code
            raise
        finally:
            self.core.counters.count(asked, code)
        return response

    async def _serve(
        self, request: web.BaseRequest, target: paths.Target, query: dict[str, str], user: User, asked: Request
    ) -> web.StreamResponse:
        self._check_cut(await self._cut_of(request, user.name))
        late_errors = await self._suffer(asked)
        wanted = Attributes(asked.verb, target.group, target.plural, target.subresource, target.namespace, target.name)
        self._authorize(user, wanted)
        resource = self.core.registry.find(target.group, target.version, target.plural)
        if resource is None or (target.namespace and not resource.namespaced and resource.plural != "namespaces"):
            return _page_not_found()
        sub = resource.subresource(target.subresource) if target.subresource else None
        if target.subresource and sub is None:
            return _page_not_found()
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
        if late_errors:
            raise late_errors[0]
        return response

    async def _suffer(self, asked: Request) -> list[StatusError]:
        """Faults that strike before the request is served; returns those for after it."""
        late = []
        for fault in self.core.faults.matching(asked):
            if fault.latency_seconds:
                await asyncio.sleep(fault.latency_seconds)
            error = fault.error()
            if error is not None and not fault.after_commit:
                raise error
            if error is not None:
                late.append(error)
        return late

    async def _dispatch(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        rest = self.core.rest
        if call.subresource in ("token", "scale", "finalize"):
            return self._special(call)
        if call.resource.verbs == ("create",):
            return _json(201, encode(self.core.reviews.answer(call)), call)
        view = views.choose(call.resource, request.headers.get(hdrs.ACCEPT, ""), call.query.get("includeObject", ""))
        match call.verb:
            case "get":
                return _json(200, view.one(rest.get(call)), call)
            case "list":
                await self._wait_for_version(call)
                return _json(200, view.page(rest.list_page(call)), call)
            case "watch":
                return await self._watch(request, call, view)
            case "create":
                return _written(rest.create(call), view, call)
            case "update":
                return _written(rest.update(call), view, call)
            case "patch":
                return _written(rest.patch(call), view, call)
            case "delete":
                return _written(rest.delete(call, _delete_options(call)), view, call)
            case _:
                return _json(200, view.page(rest.delete_collection(call, _delete_options(call))), call)

    def _special(self, call: Call) -> web.Response:
        """Subresources that are not a part of the object."""
        rest = self.core.rest
        match call.subresource:
            case "token":
                return _json(201, encode(self.core.tokens.issue(call)), call)
            case "finalize":
                return _json(200, namespaces.finalize(rest, call).raw, call)
            case _:
                return _json(200, encode(self._scale(call)), call)

    def _scale(self, call: Call) -> Json:
        owner = Call("get", call.resource, call.namespace, call.name, user=call.user)
        record = self.core.rest.get(owner)
        if call.verb == "get":
            return to_scale(record.value())
        if call.verb == "update":
            replicas = (call.document().get("spec") or {}).get("replicas", 0)
            call.body = encode({"spec": {"replicas": replicas}})
        call.content_type, call.verb, call.subresource = "application/merge-patch+json", "patch", ""
        answer = self.core.rest.patch(call)
        return to_scale(answer.record.value() if answer.record else {})

    async def _wait_for_version(self, call: Call) -> None:
        """A list must not be older than what the client has seen; a version that never comes is refused (504)."""
        wanted = call.number("resourceVersion")
        deadline = asyncio.get_running_loop().time() + self.core.settings.future_version_seconds
        while wanted > self.core.store.revision:
            if asyncio.get_running_loop().time() >= deadline:
                raise status.from_the_future(wanted, self.core.store.revision)
            await asyncio.sleep(0.02)

    # --- watches

    async def _watch(self, request: web.BaseRequest, call: Call, view: views.View) -> web.StreamResponse:
        signal = asyncio.Event()
        watch = Watch(self.core.store, call, view, signal.set)
        self.watches.add(watch)
        response = web.StreamResponse(headers=_headers(JSON, call))
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
            await self._stream(request, response, call, watch, signal)
        except (ConnectionError, asyncio.CancelledError):
            watch.is_cut = True
            raise
        finally:
            watch.close()
            self.watches.discard(watch)
        if watch.is_cut:
            raise Hangup
        return response

    async def _stream(
        self, request: web.BaseRequest, response: web.StreamResponse, call: Call, watch: Watch, signal: asyncio.Event
    ) -> None:
        loop = asyncio.get_running_loop()
        settings = self.core.settings
        lasts = call.number("timeoutSeconds") or self.core.rng.uniform(*settings.watch_seconds)
        ends = loop.time() + lasts
        next_bookmark = loop.time() + settings.bookmark_seconds if watch.wants_bookmarks else float("inf")
        while not watch.is_cut:
            await self.running.wait()
            self._check_cut(await self._cut_of(request, request.remote or "", call.user.name))
            signal.clear()
            if chunk := watch.take():
                await response.write(chunk)
                continue
            if watch.is_over or loop.time() >= ends:
                break
            if loop.time() >= next_bookmark:
                next_bookmark = loop.time() + settings.bookmark_seconds
                watch.bookmark()
                continue
            try:
                async with asyncio.timeout_at(min(ends, next_bookmark)):
                    await signal.wait()
            except TimeoutError:
                if loop.time() >= ends and watch.wants_bookmarks and not watch.is_over:
                    watch.bookmark()  # so that the next watch starts as late as it can
        if not watch.is_cut and not watch.is_over and (chunk := watch.take()):
            await response.write(chunk)

    # --- everything that is no resource

    async def _document(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        user = self._authenticate(request.headers)
        if path.startswith("/lab/") and self.lab is not None:
            if not user.is_master:
                raise StatusError(403, "Forbidden", "forbidden: only the admin may use /lab", {})
            return await self.lab.answer(request, path)
        self._check_cut(await self._cut_of(request, user.name))
        await self._suffer(Request(request.method, request.method.lower(), resource=path, user=user.name))
        self._authorize(user, Attributes(request.method.lower(), path=path))
        if path.startswith(HEALTH):
            return web.Response(text="ok")
        if path.rstrip("/") == "/version":
            return _json(200, encode(VERSION))
        accept = request.headers.get(hdrs.ACCEPT, "")
        found = self.core.documents.openapi(path)
        if found is None:
            found = self.core.documents.discovery(path, accept, _own_address(request))
        if found is None:
            return _page_not_found()
        content_type, body = found
        tag = etag(body)
        if request.headers.get(hdrs.IF_NONE_MATCH, "") == tag:
            return web.Response(status=304, headers={hdrs.ETAG: tag})
        headers = {hdrs.CONTENT_TYPE: content_type, hdrs.ETAG: tag, hdrs.VARY: "Accept"}
        return web.Response(body=body, headers=headers)


class LabRequests:
    """What /lab answers; the server provides it, as it alone can restart itself."""

    async def answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        raise NotImplementedError


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
        return _json(answer.code, encode(answer.body), call)
    return _json(answer.code, view.one(answer.record), call)


def _headers(content_type: str, call: Call | None) -> CIMultiDict[str]:
    headers = CIMultiDict({hdrs.CONTENT_TYPE: content_type})
    for warning in call.warnings if call else ():
        text = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        headers.add("Warning", _WARNING.format(text))
    return headers


def _json(code: int, body: bytes, call: Call | None = None) -> web.Response:
    if call is not None and call.query.get("pretty") in ("1", "true"):
        body = msgspec.json.format(body, indent=2) + b"\n"
    return web.Response(status=code, body=body, headers=_headers(JSON, call))


def _error(error: StatusError) -> web.Response:
    headers = {hdrs.CONTENT_TYPE: JSON}
    if error.retry_after_seconds is not None:
        headers[hdrs.RETRY_AFTER] = str(error.retry_after_seconds)
    return web.Response(status=error.code, body=encode(error.body()), headers=headers)


def _page_not_found() -> web.Response:
    return web.Response(status=404, text="404 page not found\n")


def describe_fault(fault: Fault) -> Json:
    return {name: getattr(fault, name) for name in fault.__slots__}


def read_fault(body: bytes) -> Fault:
    """A fault as JSON, with the names of its fields."""
    try:
        return Fault(**json.loads(body))
    except (TypeError, ValueError) as error:
        raise status.bad_request(f"not a fault: {error}") from None
