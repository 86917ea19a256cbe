"""Asks the API server who wants to read the metrics, and whether they may. What to ask and how long an answer counts is
in kube.process.scrapers."""

import asyncio

import structlog

from kube.errors import ApiError, Forbidden
from kube.io.client import Client
from kube.process.scrapers import Scrapers, Verdict, access_question, may_read, token_in, token_question, user_of
from kube.resource import Resource

TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False)
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False)

ANSWER_SECONDS = 3.0
"""For both questions: Prometheus waits 10 s for a page."""

MOST_AT_ONCE = 4
"""So that strangers take no more of the connections to the API server."""

log = structlog.get_logger()


class Reviews:
    """Says of each request for the metrics what is to be answered."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._scrapers = Scrapers()
        self._asking = 0
        self._fault = ""

    async def verdict(self, authorization: str) -> Verdict:
        """`authorization`: the header of the request, "" = it has none."""
        clock, token = asyncio.get_running_loop().time, token_in(authorization)
        verdict = self._scrapers.verdict(token, clock())
        if verdict is not None:
            return verdict
        if self._asking >= MOST_AT_ONCE:
            return Verdict.BUSY
        self._asking += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                verdict = await self._ask(token)
        except (ApiError, TimeoutError, ValueError) as error:
            self._tell(str(error) or "no answer in time", is_refused=isinstance(error, Forbidden))
            return self._scrapers.unanswered(token, clock())
        finally:
            self._asking -= 1
        self._fault = ""
        self._scrapers.learn(token, verdict, clock())
        return verdict

    async def _ask(self, token: str) -> Verdict:
        user = user_of(await self._client.create(TOKEN_REVIEWS, token_question(token)))
        if user is None:
            return Verdict.UNKNOWN
        is_allowed = may_read(await self._client.create(ACCESS_REVIEWS, access_question(user)))
        return Verdict.ALLOWED if is_allowed else Verdict.FORBIDDEN

    def _tell(self, fault: str, *, is_refused: bool) -> None:
        """Once for each fault, until something is answered again."""
        if fault == self._fault:
            return
        self._fault = fault
        advice = "give its ClusterRole `create`, as the chart does with metrics.secure" if is_refused else "none"
        log.warning("the API server does not say who may read the metrics", error=fault, advice=advice)
