"""Services whose records the API server refused, and until when they are not tried again. Knows no addresses."""

from dataclasses import dataclass, replace

from allocator.request import Request

AGAIN_SECONDS = 60.0
"""The cause may be gone by then: an admission policy, or definitions of another release."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """`request`: what was refused, but for the addresses that the Service shows. `until`: in monotonic seconds."""

    request: Request
    message: str
    until: float


class Rejections:
    """By the Service's uid."""

    def __init__(self) -> None:
        self._by_uid: dict[str, Rejection] = {}

    def add(self, request: Request, message: str, now: float) -> None:
        """The API server refused the record of an address with this Service among its holders."""
        self._by_uid[request.holder.uid] = Rejection(replace(request, present=()), message, now + AGAIN_SECONDS)

    def of(self, request: Request) -> Rejection | None:
        """None when the Service asks for something else by now, or may be tried again."""
        found = self._by_uid.get(request.holder.uid)
        return found if found is not None and found.request == replace(request, present=()) else None

    def expire(self, uid: str, now: float) -> None:
        """Try it again, when its time is over."""
        found = self._by_uid.get(uid)
        if found is not None and found.until <= now:
            del self._by_uid[uid]

    def forget(self, uid: str) -> None:
        """The Service is no more."""
        self._by_uid.pop(uid, None)
