"""What an IPAllocation says when kernels of nodes answer for its address by themselves, beside the owner.

Built from what the Speakers report; each says what its own node's kernel does (speaker.layer2.held).
"""

from collections.abc import Mapping

from allocator.objects import StoredAllocation
from allocator.status.entries import KernelEntry
from crds.conditions import ConditionType, Reason
from crds.kernelanswers import KernelHolding, what_to_do
from crds.observation import Observation
from crds.wording import listed

NAMED_NODES = 5
"""How many nodes a message names before it counts the rest."""

NAMED_PLACES = 3
"""The same for different interfaces that it gives advice about."""


def kernel_answers(stored: StoredAllocation, entries: Mapping[str, KernelEntry]) -> Observation | None:
    """The condition KernelAnswers; None while no kernel answers and none ever did. `entries`: by node."""
    if entries:
        return Observation(ConditionType.KernelAnswers, True, Reason.HeldByNode, _message(stored, entries))
    if any(one.type == ConditionType.KernelAnswers for one in stored.conditions):
        message = f"No node's kernel answers for {stored.address} by itself any more"
        return Observation(ConditionType.KernelAnswers, False, Reason.KernelSilent, message)
    return None


def _message(stored: StoredAllocation, entries: Mapping[str, KernelEntry]) -> str:
    named = [f"{node} (has it on {one.held_on})" for node, one in sorted(entries.items())]
    places = {(one.held_on, one.answers_on): one for _, one in sorted(entries.items())}
    holdings = [KernelHolding(str(stored.address), *place) for place in list(places)[:NAMED_PLACES]]
    return (
        f"The kernels of nodes answer for {stored.address} whichever node is its owner: "
        f"{listed(named, NAMED_NODES)}. Clients may reach any of these: {what_to_do(holdings)}"
    )
