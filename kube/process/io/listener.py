"""The listener for kubelet and Prometheus: /healthz, /readyz and /metrics, by HTTP or HTTPS.

Reports what its callbacks say; judges nothing. An event loop that hangs answers nothing, and so is not healthy. What
whoever connects may take of the program is bounded in kube.process.io.ports.
"""

import asyncio
from collections.abc import Callable

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from kube.io.client import Client
from kube.process.io.certificate import Certificate
from kube.process.io.ports import Answer, Port, open_ports
from kube.process.io.reviews import Reviews
from kube.process.listening import Listening
from kube.process.scrapers import PATH, Verdict

PAGE_SECONDS = 0.2
"""A page of metrics is made no more often."""

PLAIN = "text/plain"


class Listener:
    """`why_not_ready()` and `why_not_healthy()` say what is wrong, "" = nothing. `metrics()` gives the whole page."""

    def __init__(
        self,
        *,
        why_not_ready: Callable[[], str],
        metrics: Callable[[], bytes],
        why_not_healthy: Callable[[], str] = lambda: "",
    ) -> None:
        self._why_not_ready = why_not_ready
        self._why_not_healthy = why_not_healthy
        self._metrics = metrics
        self._page, self._made = b"", -PAGE_SECONDS

    async def serve(self, listening: Listening, client: Client) -> None:
        """Until cancelled. `client` is asked who may read the metrics. Raises CannotListen when an address can't be
        had."""
        secure = Certificate(listening.certificate_directory) if listening.metrics and listening.is_secure else None
        reviews = Reviews(client) if secure is not None else None
        ports: list[Port] = []
        try:
            if listening.metrics:
                pages = self._answer(has_metrics=True, has_health=not listening.health, reviews=reviews)
                ports += await open_ports(listening.metrics, "metrics", pages, secure)
            if listening.health:
                ports += await open_ports(listening.health, "health", self._answer(has_metrics=False, has_health=True))
            async with asyncio.TaskGroup() as tasks:
                if secure is not None:
                    tasks.create_task(secure.follow())
                for port in ports:
                    tasks.create_task(port.serve())
        finally:
            for port in ports:
                port.close()

    def _answer(self, *, has_metrics: bool, has_health: bool, reviews: Reviews | None = None) -> Answer:
        paths = [*([PATH] if has_metrics else []), *(["/healthz", "/readyz"] if has_health else [])]

        async def answer(request: BaseRequest) -> Response:
            if request.method not in ("GET", "HEAD"):
                return _text(405, "GET and HEAD only")
            match request.rel_url.raw_path:
                case "/metrics" if has_metrics:
                    return await self._to_scraper(request, reviews)
                case "/readyz" if has_health:
                    return _verdict(self._why_not_ready())
                case "/healthz" | "/livez" if has_health:
                    return _verdict(self._why_not_healthy())
            return _text(404, f"there are: {', '.join(paths)}")

        return answer

    async def _to_scraper(self, request: BaseRequest, reviews: Reviews | None) -> Response:
        if reviews is not None:
            verdict = await reviews.verdict(request.headers.get("Authorization", ""))
            if verdict is not Verdict.ALLOWED:
                headers = {"WWW-Authenticate": "Bearer"} if verdict.status == 401 else {}
                return _text(verdict.status, verdict.text, headers)
        return Response(body=self._fresh_page(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _fresh_page(self) -> bytes:
        now = asyncio.get_running_loop().time()
        if now >= self._made + PAGE_SECONDS:
            self._page, self._made = self._metrics(), now
        return self._page


def _verdict(why_not: str) -> Response:
    return _text(503, why_not) if why_not else _text(200, "ok")


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(status=status, text=f"{text}\n", content_type=PLAIN, headers=headers)
