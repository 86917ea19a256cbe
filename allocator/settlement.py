"""What the Services at one address agree on, as they are now: its claim follows once they fit together again.

Whoever changes first does not fit until the others follow: another key or policy on all, ports exchanged. Until then
the address stays under the claim that it has. Chooses no address and moves nobody: allocator.plan does.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from allocator.claims import Claim, Holder, Pairs, Port, sort_holders, wire_bytes
from allocator.request import CLUSTER, Request
from crds.ipallocation import MOST_BYTES

ROUNDS = 3
"""So often changes of ports are looked through without those that can't be; beyond that all stay as they are recorded.
An exchange takes one. With 128 holders and the 28,000 ports that a record takes, one takes 15 ms."""


class Terms(NamedTuple):
    """What is common to all who share an address. `selector` and `namespace`: under Local only."""

    sharing_key: str | None
    traffic_policy: str
    selector: Pairs
    namespace: str | None


def terms_of(request: Request) -> Terms:
    """On which the Service would share."""
    namespace = None if request.traffic_policy == CLUSTER else request.holder.key.namespace
    return Terms(request.sharing_key, request.traffic_policy, request.selector, namespace)


def terms_of_claim(claim: Claim) -> Terms:
    """On which the address is shared."""
    namespace = None if claim.traffic_policy == CLUSTER else claim.holders[0].key.namespace
    return Terms(claim.sharing_key, claim.traffic_policy, claim.selector, namespace)


def settled(claim: Claim, wishes: Mapping[str, Request]) -> Claim:
    """The claim as its holders are now, as far as they fit together; whoever does not stays as it is recorded.

    `wishes`, by uid: what holders ask for now. One that is not there (it is being deleted, or can't be read, or not be
    recorded) stays as it is, and wants the terms of the claim. Those stay as long as any holder wants them; then they
    become what most want. Nobody gets a port that another one has.
    """
    terms = _agreed(claim, wishes)
    wanted = {uid: wish.holder for uid, wish in wishes.items() if terms_of(wish) == terms}
    return replace(
        claim,
        holders=sort_holders(_changed(claim.holders, wanted)),
        sharing_key=terms.sharing_key,
        traffic_policy=terms.traffic_policy,
        selector=terms.selector,
    )


def _agreed(claim: Claim, wishes: Mapping[str, Request]) -> Terms:
    present = terms_of_claim(claim)
    wanted = [terms_of(wishes[one.uid]) if one.uid in wishes else present for one in claim.holders]
    counted = Counter(terms for terms in wanted if terms.sharing_key is not None).most_common(2)
    is_tie = len(counted) > 1 and counted[0][1] == counted[1][1]
    return present if present in wanted or not counted or is_tie else counted[0][0]


def _changed(recorded: tuple[Holder, ...], wanted: Mapping[str, Holder]) -> tuple[Holder, ...]:
    """Each as it wants to be, where nobody is in its way: who keeps its ports comes first, then goes the order."""
    changes = {one.uid: wanted[one.uid] for one in recorded if one.uid in wanted and wanted[one.uid] != one}
    for _ in range(ROUNDS):
        holders = tuple(changes.get(one.uid, one) for one in recorded)
        takes_others = {new.uid: new.ports != old.ports for old, new in zip(recorded, holders, strict=True)}
        owners = _owners(sorted(holders, key=lambda one: takes_others[one.uid]))
        late = {uid for uid, one in changes.items() if any(owners[port] != uid for port in one.ports)}
        if not late:
            return holders if wire_bytes(holders) <= MOST_BYTES else recorded
        changes = {uid: one for uid, one in changes.items() if uid not in late}
    return recorded


def _owners(holders: Iterable[Holder]) -> dict[Port, str]:
    """Of each port the uid of the first who has it."""
    owners: dict[Port, str] = {}
    for holder in holders:
        for port in holder.ports:
            owners.setdefault(port, holder.uid)
    return owners
