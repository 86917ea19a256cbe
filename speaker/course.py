"""What a way to announce addresses has to offer: layer 2 and BGP are the two there are; a third one would be a folder.

    ClusterState --> observe, decide --> take_orders --> a shell carries them out
    releases <-- may_be_heard <-- confirmed <-----------------+

Pure, as all of its implementations: time is passed in, orders and confirmations are values.
"""

from typing import Protocol, TypeVar

from speaker.cluster.state import ClusterState
from speaker.moment import Moment

Order_co = TypeVar("Order_co", covariant=True)
Confirmation_contra = TypeVar("Confirmation_contra", contravariant=True)


class Course(Protocol[Order_co, Confirmation_contra]):
    """One way to announce. It lives as long as the process; what it has of the cluster, as long as one registration."""

    def begin(self, cluster: ClusterState) -> None:
        """A new registration: follow this state of the cluster, which will be read anew, and forget the last one."""

    def has_work(self, now: Moment) -> bool:
        """Whether `decide` has something to do."""

    def decide(self, limit: int, now: Moment) -> None:
        """Decide on up to about `limit` addresses, once the cluster was read in full."""

    def take_orders(self, now: Moment, *, may_announce: bool) -> Order_co:
        """What is to be done now; each order once. Without leave to announce, nothing that makes an address heard."""

    def confirmed(self, what: Confirmation_contra, now: Moment) -> None:
        """An order was carried out."""

    def may_be_heard(self, address: str, now: Moment) -> bool:
        """Whether somebody may still send traffic for the address to this node because of it. False is for good, as
        long as the address is being released."""

    def deadline(self) -> float | None:
        """When to come for orders though nothing happened (monotonic seconds); None = no need."""

    def leave(self, now: Moment) -> None:
        """This speaker is asked to stop: others shall take over, before this node is silent where that can be."""

    @property
    def has_left(self) -> bool:
        """Whether there is nothing left to wait for after `leave`."""
