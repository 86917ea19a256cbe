"""What a Service's status shows of addresses that are published only once they are announced (IPPool `publish`).

Programs such as ExternalDNS take what the status shows. An address is published once a speaker has announced it for the
first time, as its record says for good (`status.firstAnnounced`), and stays from then on: that nobody announces it for
a moment is told by the condition berth.dev/Announced, and takes no name away. Pure.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from allocator.claims import Claim
from allocator.ledger import Ledger
from allocator.plan import Plan
from allocator.request import present_addresses
from crds.addresses import IPAddress, family_of
from crds.ippool import Publish
from kube.objects import Service


def published(decision: Plan, service: Service, ledger: Ledger) -> Plan:
    """The same decision; its status shows no address that is not to be published yet.

    An address that the Service is to leave is shown, and kept, until its successor is published.
    """
    present = present_addresses(service)
    waiting = frozenset(grant.address for grant in decision.grants if _waits(grant, present, ledger))
    if not waiting:
        return decision
    kept = tuple(_kept(waiting, decision.leaving, present))
    shown = (*kept, *(address for address in decision.shown if address not in waiting))
    named = " and ".join(map(str, sorted(waiting, key=lambda one: (one.version, int(one)))))
    note = f"{named} is shown by the status once a node announces it (publish: WhenAnnounced)"
    return replace(
        decision,
        leaving=tuple(address for address in decision.leaving if address not in kept),
        verdict=replace(decision.verdict, message=f"{decision.verdict.message}. {note}"),
        shows=shown,
    )


def _waits(grant: Claim, present: Iterable[IPAddress], ledger: Ledger) -> bool:
    """What the Service shows already stays, whoever announces it."""
    pool = ledger.pools.by_name.get(grant.pool)
    if pool is None or pool.publish is not Publish.WhenAnnounced or grant.address in present:
        return False
    entry = ledger.get(grant.address)
    return entry is None or entry.recorded is None or entry.recorded.first_announced is None


def _kept(
    waiting: Iterable[IPAddress], leaving: Iterable[IPAddress], present: tuple[IPAddress, ...]
) -> Iterator[IPAddress]:
    families = {family_of(one) for one in waiting}
    for address in leaving:
        if address in present and family_of(address) in families:
            yield address
