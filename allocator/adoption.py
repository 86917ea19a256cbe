"""Addresses that Services show though nothing records them: they are reserved before anything is decided.

Records are missing when somebody deleted them while no allocator ran, and when another system gave the address. In both
cases the address may be announced, and traffic may rely on it. Decides nothing else: allocator.plan does.
"""

from allocator.ledger import Ledger
from allocator.plan import new_claim
from allocator.policy import serves
from allocator.request import InvalidRequest, our_condition, request_of
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
        if our_condition(service) is not None or serves(pool, request, namespace_labels):
            ledger.reserve(new_claim(request, address, pool))
            adopted.append(address)
    return adopted
