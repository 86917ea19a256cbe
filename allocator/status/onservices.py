"""What condition berth.dev/Announced of a Service says, from what is known of each of its addresses. Pure.

It names less than the records of the addresses do, so that it stays as it is in a rolling update of all speakers: on
layer 2 the owner, by BGP a few nodes or that they are many.
"""

from collections.abc import Mapping, Sequence

from allocator.status.entries import Announcement
from crds.addresses import IPAddress
from crds.conditions import ConditionType, Reason
from crds.observation import Observation
from kube.objects import Condition, Service

FEW = 3
"""So many nodes that announce an address in one way are named; more are not, as these come and go."""

KIND = ConditionType.AnnouncedOnService


class OnServices:
    """What each address was judged to be last."""

    def __init__(self) -> None:
        self._judged: dict[IPAddress, Observation] = {}

    def judge(self, address: IPAddress, observed: Observation) -> bool:
        """What an address is; whether that is news."""
        is_news = self._judged.get(address) != observed
        self._judged[address] = observed
        return is_news

    def forget(self, address: IPAddress) -> None:
        """Its record is gone."""
        self._judged.pop(address, None)

    def of(self, addresses: Sequence[IPAddress]) -> Observation | None:
        """The condition of a Service that holds these, in order; None while not all have been judged, or it holds
        none."""
        known = [(address, self._judged.get(address)) for address in addresses]
        judged = [(address, one) for address, one in known if one is not None]
        if not judged or len(judged) < len(known):
            return None
        bad = [one for _, one in judged if not one.holds]
        message = "; ".join(f"{address}: {one.message}" for address, one in judged)
        return Observation(KIND, not bad, bad[0].reason if bad else Reason.Announcing, message)


def briefly(announcers: Mapping[str, Announcement]) -> Observation:
    """An address that is announced, as its Services say it: "Layer2 on node1, BGP from node2 and node3"."""
    on_layer2 = [node for node, how in sorted(announcers.items()) if "Layer2" in how.protocols]
    by_bgp = [node for node, how in sorted(announcers.items()) if "BGP" in how.protocols]
    parts = [f"Layer2 on {_few(on_layer2)}"] if on_layer2 else []
    parts += [f"BGP from {_few(by_bgp)}"] if by_bgp else []
    return Observation(KIND, True, Reason.Announcing, f"announced, {', '.join(parts)}")


def _few(nodes: Sequence[str]) -> str:
    return ", ".join(nodes) if len(nodes) <= FEW else f"more than {FEW} nodes"


def shown(service: Service) -> Condition | None:
    """The condition as the Service has it; None when it has none."""
    return next((one for one in service.status.conditions if one.type == KIND), None)


def says(condition: Condition | None, observed: Observation) -> bool:
    """Whether it says this already."""
    new = (observed.status, str(observed.reason), observed.message)
    return condition is not None and (condition.status, condition.reason, condition.message) == new


def differs_in_status(condition: Condition | None, observed: Observation) -> bool:
    """Whether the news is that it is announced or not, and not by whom or why."""
    return condition is None or condition.status != observed.status
