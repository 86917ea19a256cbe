"""Addresses that Services show though nothing records them: they are reserved before anything is decided.

Records are missing when somebody deleted them while no allocator ran, and when another system gave the address: then it
may be announced, and traffic may rely on it. Of a Service that is being deleted the record goes first: then nobody
announces the address, and kube-proxy serves it still. Decides nothing else: allocator.plan does.
"""

from collections.abc import Iterable

from allocator.claims import Claim, sort_holders
from allocator.ledger import Ledger
from allocator.offers import new_claim
from allocator.policy import serves
from allocator.request import InvalidRequest, holder_of, our_condition, request_of
from allocator.space.pools import Labels
from crds.addresses import IPAddress
from kube.objects import Service


def adopt(service: Service, namespace_labels: Labels, ledger: Ledger) -> list[IPAddress]:
    """Reserve what a Service of ours shows and nobody holds, where a pool for it has it or we once gave it."""
    request = request_of(service)
    if isinstance(request, InvalidRequest):
        return []
    adopted = []
    for address in request.present:
        pool = ledger.pools.holding(address)
        if pool is None or ledger.get(address) is not None:
            continue
        may_be_given = ledger.kept_by(address, request.holder.key) is None and serves(pool, request, namespace_labels)
        if our_condition(service) is not None or may_be_given:
            ledger.reserve(new_claim(request, address, pool))
            adopted.append(address)
    return adopted


def keep_shown(address: IPAddress, showing: Iterable[Service], ledger: Ledger) -> None:
    """Keep an address that nobody holds from everybody, for as long as one of these Services of ours shows it.

    In no pool it can be given to nobody now; but pools change. Nothing happens when none of ours shows it.
    """
    holders = sort_holders(tuple(holder_of(service) for service in showing))
    if holders:
        pool = ledger.pools.holding(address)
        ledger.reserve(Claim(address, "" if pool is None else pool.name, holders, releasing=True))
