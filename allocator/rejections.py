"""Records that the API server refused: which holder is the cause, what is left without it, and when it is tried again.

An answer names fields and no Services, so the cause is whoever was new in what was written.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from allocator.claims import Claim, Holder, sort_holders
from allocator.request import Request
from allocator.sharing import left

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


def unrecorded_holders(claim: Claim, recorded: Claim | None) -> list[Holder]:
    """Those of the claim that are new, or other than in the record: what writing it would bring."""
    if recorded is None:
        return list(claim.holders)
    news = [holder for holder in claim.holders if holder not in recorded.holders]
    alone = claim.holders if len(claim.holders) == 1 else ()
    return news or [holder for holder in alone if without(holder, claim, recorded) != claim]


def without(holder: Holder, claim: Claim, recorded: Claim | None) -> Claim:
    """The claim without what is new of this holder: with the holder as it is recorded, or not at all.

    A port that it had, and that another one was given meanwhile, is the other one's.
    """
    others = claim.others(holder.uid)
    before = [] if recorded is None else [one for one in recorded.holders if one.uid == holder.uid]
    if recorded is None or not before:
        return left(claim, holder.uid)
    if others:
        return replace(claim, holders=sort_holders((*others, *yielding(before, others))))
    return replace(
        claim,
        holders=tuple(before),
        traffic_policy=recorded.traffic_policy,
        sharing_key=recorded.sharing_key,
        selector=recorded.selector,
    )


def yielding(holders: Iterable[Holder], others: Iterable[Holder]) -> list[Holder]:
    """These, without the ports that the others have."""
    taken = {port for other in others for port in other.ports}
    return [replace(one, ports=tuple(port for port in one.ports if port not in taken)) for one in holders]
