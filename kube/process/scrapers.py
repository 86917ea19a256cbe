"""Who may read the metrics: what the API server said about tokens, for how long that counts, and when it may be asked.

The questions are two (TokenReview, then SubjectAccessReview), as kube-rbac-proxy and controller-runtime ask them.
Tokens are kept as hashes. What strangers send is bounded: so many answers are kept, and so many questions asked.
"""

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from kube.decoding import decoder

ALLOWED_SECONDS = 60.0
REFUSED_SECONDS = 10.0
UNANSWERED_SECONDS = 3600.0
"""So long who was allowed stays so while the API server answers nothing: that is when metrics are needed."""

MOST_TOKENS = 256
MOST_QUESTIONS = 10
QUESTIONS_PER_SECOND = 1.0
"""About tokens that were never allowed, after the first MOST_QUESTIONS."""

PATH = "/metrics"


class Verdict(Enum):
    """What is answered to who asks for the metrics: a status of HTTP, and why."""

    ALLOWED = 200, ""
    NO_TOKEN = 401, "send a token of Kubernetes: Authorization: Bearer TOKEN"
    UNKNOWN = 401, "the API server does not know this token"
    FORBIDDEN = 403, "the API server does not let this user get the nonResourceURL /metrics: see ClusterRoles"
    UNANSWERED = 503, "the API server does not say who this is: may this program create tokenreviews?"
    BUSY = 503, "too many unknown tokens: ask again in some seconds"

    @property
    def status(self) -> int:
        return self.value[0]

    @property
    def text(self) -> str:
        return self.value[1]


class UserInfo(msgspec.Struct):
    """Who a token belongs to, as a TokenReview says it and a SubjectAccessReview asks it."""

    username: str = ""
    uid: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class _TokenStatus(msgspec.Struct):
    authenticated: bool = False
    user: UserInfo = msgspec.field(default_factory=UserInfo)


class _TokenReview(msgspec.Struct):
    status: _TokenStatus = msgspec.field(default_factory=_TokenStatus)


class _AccessStatus(msgspec.Struct):
    allowed: bool = False
    denied: bool = False


class _AccessReview(msgspec.Struct):
    status: _AccessStatus = msgspec.field(default_factory=_AccessStatus)


_decode_token_review = decoder(_TokenReview)
_decode_access_review = decoder(_AccessReview)


def token_in(authorization: str) -> str:
    """The token of a header `Authorization: Bearer TOKEN` (RFC 6750 §2.1); "" for anything else."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def token_question(token: str) -> dict[str, Any]:
    """The TokenReview that asks whose token it is."""
    return {"spec": {"token": token}}


def user_of(answer: bytes) -> UserInfo | None:
    """Whose token it is, None if nobody's. Raises ValueError for what is no TokenReview."""
    status = _decode_token_review(answer).status
    return status.user if status.authenticated and status.user.username else None


def access_question(user: UserInfo) -> dict[str, Any]:
    """The SubjectAccessReview that asks whether the user may read metrics."""
    who = {"user": user.username, "uid": user.uid, "groups": user.groups, "extra": user.extra}
    return {"spec": {**who, "nonResourceAttributes": {"path": PATH, "verb": "get"}}}


def may_read(answer: bytes) -> bool:
    """The answer to that. Raises ValueError for what is no SubjectAccessReview."""
    status = _decode_access_review(answer).status
    return status.allowed and not status.denied


@dataclass(frozen=True, slots=True)
class _Known:
    verdict: Verdict
    until: float
    told: float


class Scrapers:
    """What is known of tokens. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}
        self._questions = float(MOST_QUESTIONS)
        self._counted = 0.0

    def verdict(self, token: str, now: float) -> Verdict | None:
        """What counts of it now; None: the API server is to be asked."""
        if not token:
            return Verdict.NO_TOKEN
        known = self._known.get(_hash(token))
        if known is not None and now < known.until:
            return known.verdict
        return None if self._may_ask(known, now) else Verdict.BUSY

    def learn(self, token: str, verdict: Verdict, now: float) -> None:
        """The API server said it."""
        key = _hash(token)
        self._known.pop(key, None)
        if len(self._known) >= MOST_TOKENS:
            del self._known[self._worth_least()]
        lasts = ALLOWED_SECONDS if verdict is Verdict.ALLOWED else REFUSED_SECONDS
        self._known[key] = _Known(verdict, now + lasts, now)

    def unanswered(self, token: str, now: float) -> Verdict:
        """The API server said nothing: what counts meanwhile."""
        known = self._known.get(_hash(token))
        is_kept = known is not None and known.verdict is Verdict.ALLOWED and now < known.told + UNANSWERED_SECONDS
        return Verdict.ALLOWED if is_kept else Verdict.UNANSWERED

    def _may_ask(self, known: _Known | None, now: float) -> bool:
        """Strangers share a number of questions; who was allowed has no part in that."""
        if known is not None and known.verdict is Verdict.ALLOWED:
            return True
        earned = (now - self._counted) * QUESTIONS_PER_SECOND
        self._questions, self._counted = min(float(MOST_QUESTIONS), self._questions + earned), now
        if self._questions < 1.0:
            return False
        self._questions -= 1.0
        return True

    def _worth_least(self) -> bytes:
        """The one that was told first, of those that were refused if there are any."""
        return min(self._known, key=lambda key: (self._known[key].verdict is Verdict.ALLOWED, self._known[key].told))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
