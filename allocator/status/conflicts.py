"""What an IPAllocation and its Services show when another machine on the segment uses the address.

Built from what the Speakers report; the speakers decide which machine is a stranger, and defend.
"""

from collections.abc import Mapping, Sequence

from allocator.claims import Claim
from allocator.objects import StoredAllocation
from allocator.status.entries import Sighting
from crds.conditions import ConditionType, Reason
from crds.meta import Condition
from crds.observation import Observation
from crds.wording import listed

NAMED_MACHINES = 5
"""How many sightings a message names before it counts the rest."""


def conflicted(stored: StoredAllocation, sightings: Mapping[str, Sighting]) -> Observation | None:
    """The condition Conflicted; None while there is none and never was."""
    if sightings:
        reason = _reason(sightings)
        return Observation(ConditionType.Conflicted, True, reason, _message(stored.claim, sightings, reason))
    if any(one.type == ConditionType.Conflicted for one in stored.conditions):
        message = f"No other machine uses {stored.address} any more"
        return Observation(ConditionType.Conflicted, False, Reason.NoConflict, message)
    return None


def in_use_elsewhere(claim: Claim, sightings: Mapping[str, Sighting]) -> Observation | None:
    """The condition Announced of an address that nobody announces because it was found in use; None for others."""
    if not sightings or _reason(sightings) is not Reason.DuplicateAddress:
        return None
    message = _message(claim, sightings, Reason.DuplicateAddress)
    return Observation(ConditionType.Announced, False, Reason.DuplicateAddress, message)


def of_transitions(before: Sequence[Condition], after: Sequence[Condition]) -> list[Condition]:
    """The conditions about others that answer, where their status or reason is another one than before: worth an
    Event."""
    return [new for kind in _EVENTFUL if (new := _of_transition(kind, before, after)) is not None]


_EVENTFUL = (ConditionType.Conflicted, ConditionType.KernelAnswers)


def _of_transition(kind: ConditionType, before: Sequence[Condition], after: Sequence[Condition]) -> Condition | None:
    new = next((one for one in after if one.type == kind), None)
    old = next((one for one in before if one.type == kind), None)
    if new is None or (old is None and new.status == "False"):
        return None
    is_same = old is not None and (old.status, old.reason) == (new.status, new.reason)
    return None if is_same else new


def _reason(sightings: Mapping[str, Sighting]) -> Reason:
    is_announced = any(one.announced for one in sightings.values())
    return Reason.AddressConflict if is_announced else Reason.DuplicateAddress


def _machine(one: Sighting) -> str:
    """What one of our nodes announces beside the owner may also be its speaker's doing."""
    if not one.node:
        return one.mac
    return f"{one.mac}, of {one.node}" if one.announced else f"{one.mac}, the kernel of {one.node}"


def _message(claim: Claim, sightings: Mapping[str, Sighting], reason: Reason) -> str:
    seen = [f"{_machine(one)} (seen by {node} on {one.interface})" for node, one in sorted(sightings.items())]
    who = listed(seen, NAMED_MACHINES)
    pool = claim.pool
    what_to_do = (
        f"find that machine by its hardware address and give it another address, or exclude it from pool {pool}"
    )
    ours = sorted({one.node for one in sightings.values() if one.node})
    if ours:
        nodes = listed(ours, NAMED_MACHINES)
        what_to_do = f"take the address off the interfaces of {nodes} (ip address), or exclude it from pool {pool}"
        if reason is Reason.AddressConflict:
            what_to_do = (
                f"these are nodes of this cluster: look whether their kernels have the address (KernelAnswers), and "
                f"whether their speakers hear the others (PeersHeard of speakerreport {ours[0]}.0)"
            )
    if reason is Reason.DuplicateAddress:
        return f"{claim.address} is not announced, because another machine uses it: {who}. Probed again: {what_to_do}"
    return f"Another machine uses {claim.address} too: {who}. Clients may reach either: {what_to_do}"
