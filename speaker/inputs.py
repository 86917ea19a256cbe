"""Everything that a speaker's core can be told, as values. The wire process's reports are in speaker.wire.messages."""

from typing import Any, NamedTuple

from speaker.bgp.routers import RouterReport
from speaker.bgp.surroundings import Addresses
from speaker.cluster.state import Kind
from speaker.layer2.held import Held
from speaker.own.requests import Deleted, Failed, Found, Wrote
from speaker.proxies.questions import ProxyAnswered
from speaker.wire.messages import ConfirmedOrder, Report


class Observed(NamedTuple):
    """An object is another one now; None = there is none of that name. `reading`: the number of the reading of the
    cluster that it belongs to (Batch.reading); what belongs to an earlier one is not believed."""

    reading: int
    kind: Kind
    name: str
    old: Any
    new: Any


class AllRead(NamedTuple):
    """Every first list of that reading is in, Leases included."""

    reading: int


class LeaseSeen(NamedTuple):
    """The Lease of that node's speaker. `holder` "" = it was given back; `renew_time` None = it was never renewed."""

    reading: int
    node: str
    holder: str | None
    renew_time: str | None


class LeaseGone(NamedTuple):
    """The Lease of that node's speaker is deleted."""

    reading: int
    node: str


class LeasesListed(NamedTuple):
    """These nodes' speakers have Leases now, and no others."""

    reading: int
    nodes: tuple[str, ...]


class Renewed(NamedTuple):
    """A renewal of the own Lease was answered that was sent then (CLOCK_BOOTTIME)."""

    sent: float


class OrderDone(NamedTuple):
    """The wire process carried out an order."""

    order: ConfirmedOrder


class OrderRefused(NamedTuple):
    """It refused (part of) one."""

    order: ConfirmedOrder
    message: str


class KeysRead(NamedTuple):
    """The keys of the heartbeats, the signing one first."""

    keys: tuple[bytes, ...]


class KeysUnusable(NamedTuple):
    """There are none, or none that can be used; why, in words."""

    fault: str


class OwnAddresses(NamedTuple):
    """The addresses of this node's interfaces that others can reach, all of them."""

    addresses: Addresses


class Stop(NamedTuple):
    """The process is asked to end."""


class LeaseReleased(NamedTuple):
    """The own Lease was given back; or it was not, and why."""

    error: str = ""


Input = (
    Observed
    | AllRead
    | LeaseSeen
    | LeaseGone
    | LeasesListed
    | Renewed
    | Found
    | Wrote
    | Deleted
    | Failed
    | OrderDone
    | OrderRefused
    | Held
    | OwnAddresses
    | KeysRead
    | KeysUnusable
    | Stop
    | LeaseReleased
    | RouterReport
    | ProxyAnswered
    | Report
)
