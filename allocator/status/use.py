"""What BFDProfiles and Communities say of themselves: who uses them. Pure.

They do nothing by themselves, so they are ready as soon as they are there; what names one in vain says so itself.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from allocator.objects import Advertisement, StoredHelper, StoredPeer
from allocator.status.conditions import conditions_from
from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.conditions import ConditionType, Reason
from crds.observation import Observation
from crds.wording import column, listed

NAMED = 10
"""How many names a message gives before it counts the rest."""


def profile_users(peers: Iterable[StoredPeer]) -> Mapping[str, list[str]]:
    """By BFDProfile, the BGPPeers that name it."""
    users: dict[str, list[str]] = {}
    for one in peers:
        if one.bfd_profile is not None:
            users.setdefault(one.bfd_profile, []).append(one.name)
    return users


def community_users(advertisements: Iterable[Advertisement]) -> Mapping[str, list[str]]:
    """By name of a community, the BGPAdvertisements that give it to their routes."""
    users: dict[str, list[str]] = {}
    for one in advertisements:
        if isinstance(one.spec, BGPAdvertisementSpec):
            for name in one.spec.communities:
                users.setdefault(name, []).append(one.name)
    return users


def use_status(one: StoredHelper, users: Mapping[str, list[str]], timestamp: str) -> dict[str, Any]:
    """On the wire; equal to `one.status` when nothing changed. `users`: by what `one` defines."""
    found = sorted({user for name in one.defines for user in users.get(name, ())})
    kind = "BGPPeer" if one.kind == "BFDProfile" else "BGPAdvertisement"
    reason, message = Reason.NotUsed, f"No {kind} uses it"
    if found:
        reason, message = Reason.Valid, f"Used by {kind} {listed(found, NAMED)}"
    ready = Observation(ConditionType.Ready, True, reason, message)
    conditions = conditions_from([ready], one.conditions, one.generation, timestamp)
    return {
        "observedGeneration": one.generation,
        "usedBy": column(found) if found else "",
        "conditions": [condition.to_wire() for condition in conditions],
    }
