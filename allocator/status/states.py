"""In which state each address is, and how many there are of each in every pool, for whoever counts. Pure.

The state is what the record says: its conditions are where causes are found (allocator.status.unannounced).
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from allocator.claims import Claim
from crds.addresses import IPAddress
from crds.conditions import ConditionType, Reason
from crds.meta import Condition

PoolAndState = tuple[str, str]


def state_of(claim: Claim, conditions: Sequence[Condition]) -> str:
    """Releasing, Conflicted, Announced, or the reason why it is not announced; empty while that is not known."""
    if claim.releasing:
        return str(Reason.Releasing)
    said = {one.type: one for one in conditions}
    conflicted, announced = said.get(ConditionType.Conflicted), said.get(ConditionType.Announced)
    if conflicted is not None and conflicted.status == "True":
        return str(ConditionType.Conflicted)
    if announced is None:
        return ""
    return str(ConditionType.Announced) if announced.status == "True" else announced.reason


class AddressStates:
    """What each address was found to be last. To count them costs what there are pools, not addresses."""

    def __init__(self) -> None:
        self._found: dict[IPAddress, PoolAndState] = {}
        self._counts: Counter[PoolAndState] = Counter()

    def found(self, claim: Claim, conditions: Sequence[Condition]) -> None:
        """What its record says, or is about to say."""
        self.forget(claim.address)
        state = state_of(claim, conditions)
        if state:
            self._found[claim.address] = (claim.pool, state)
            self._counts[claim.pool, state] += 1

    def forget(self, address: IPAddress) -> None:
        """Its record is gone."""
        before = self._found.pop(address, None)
        if before is not None:
            self._counts[before] -= 1
            if not self._counts[before]:
                del self._counts[before]

    def counts(self) -> Mapping[PoolAndState, int]:
        """By pool and state; those without any are left out."""
        return self._counts
