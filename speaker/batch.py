"""What a speaker's core wants done, as values: the shells carry a batch out in full, and feed back how it went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from speaker.bgp.model import SessionView
from speaker.bgp.routers import RouterOrders
from speaker.fencing import Hold
from speaker.notices import Count, Line
from speaker.own.requests import Request
from speaker.proxies.questions import Question
from speaker.wire.messages import BfdState, Interface, Order


@dataclass(frozen=True)
class Batch:
    """In the order in which it is to be carried out.

    `permit`: until when the wire process may speak (CLOCK_BOOTTIME seconds), 0 = silence at once, None = as it is.
    `orders`: for the wire process, in this order; those that are confirmed are told by OrderDone or OrderRefused.
    `routers`: answered by a RouterReport at once, where it changes_routes. `requests`: about the own objects, in this
    order; each is answered by Found, Wrote, Deleted or Failed. `renews_after`: a renewal of the Lease that is sent
    after that moment (CLOCK_BOOTTIME) is wanted at once, by its answer; None = renewals come as they do. `reading`: the
    number of the reading of the cluster that is wanted: another one = everything is listed and watched anew; None =
    nothing is read. `secrets`: the Secrets to watch, by name. `questions`: for nodes' proxies, again and again,
    answered by ProxyAnswered. `gives_lease_back`: empty its holder; answered by
    LeaseReleased. `is_over`: there is nothing left to do. `has_more`: call `advance` again soon, after a chance for
    everything else. `notices`: for the log and the metrics.
    """

    permit: float | None = None
    orders: Sequence[Order] = ()
    routers: RouterOrders | None = None
    requests: Sequence[Request] = ()
    renews_after: float | None = None
    reading: int | None = None
    secrets: frozenset[str] = frozenset()
    questions: frozenset[Question] = frozenset()
    gives_lease_back: bool = False
    is_over: bool = False
    has_more: bool = False
    notices: Sequence[Line | Count] = ()


@dataclass(frozen=True)
class Standing:
    """How a speaker stands. `addresses`: how many this node announces ("Announced") or does not, by reason. `hold`: why
    it may have nothing on the wire. `waits_for`: in words; "" when it serves."""

    addresses: Mapping[str, int] = field(default_factory=dict)
    interfaces: Sequence[Interface] = ()
    bgp_sessions: Mapping[str, SessionView] = field(default_factory=dict)
    bfd_states: Mapping[str, BfdState] = field(default_factory=dict)
    speakers_known: int = 0
    speakers_alive: int = 0
    speakers_heard: int = 0
    is_ready: bool = False
    hold: Hold | None = None
    waits_for: str = ""
