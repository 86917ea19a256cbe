"""IPAddressPool to IPPool. Pure.

MetalLB tries pools with a serviceAllocation first, those of the lowest number before the others and those without a
number last; then all others. Ours are tried from the highest number to the lowest.
"""

from collections.abc import Collection, Iterable
from ipaddress import ip_network

from allocator.space.nobodys import kinds_in
from allocator.space.ranges import AddressRange, BadRange, parse_range
from cli.migrate.selectors import NAMESPACE_NAME, names_alone, selectors, to_wire
from cli.migrate.told import Body, Fields, shown
from crds.addresses import IPAddress, family_of

MOST_ADDRESSES = 256
BASES = (1000, 1_000_000)
"""What priorities are taken from: the first one that is above all of them."""


def base_of(priorities: Iterable[int]) -> int | None:
    """For all pools of one conversion; None = for none of the bases are they all small enough."""
    highest = max(priorities, default=0)
    return next((base for base in BASES if highest < base), None)


def pool_spec(fields: Fields, base: int, shared_by_several: Collection[IPAddress]) -> Body:
    """`base`: see `base_of`. `shared_by_several`: addresses that Services of several namespaces share now."""
    spec: Body = {"addresses": _addresses(fields)}
    if not fields.flag("autoAssign", default=True):
        spec["autoAssign"] = False
    if fields.flag("avoidBuggyIPs"):
        spec["avoidBuggyIPs"] = True
    if fields.has("serviceAllocation"):
        below = fields.below("serviceAllocation")
        spec |= _allocation(below, base)
        fields.merge(below)
    shared = [one for one in shared_by_several if _holds(spec["addresses"], one)]
    if shared:
        spec["sharing"] = "AnyNamespace"
        fields.note(f"Services of several namespaces share {min(map(str, shared))} here: hence sharing: AnyNamespace")
    return spec


def _holds(entries: Iterable[str], address: IPAddress) -> bool:
    found = [one for text in entries if isinstance(one := parse_range(text), AddressRange)]
    return any(one.family is family_of(address) and one.first <= int(address) <= one.last for one in found)


def _addresses(fields: Fields) -> list[str]:
    given = fields.texts("addresses")
    if not 1 <= len(given) <= MOST_ADDRESSES:
        fields.refuse(f"it lists {len(given)} ranges of addresses, and a pool has 1 to {MOST_ADDRESSES}: split it")
    return list(dict.fromkeys(_entry(fields, text) for text in given))


def _entry(fields: Fields, text: str) -> str:
    """As ours are written: no blanks, and no bits beyond the prefix length."""
    entry = "".join(text.split())
    if "/" in entry:
        try:
            network = str(ip_network(entry, strict=False))
        except ValueError:
            network = entry
        if network != entry and isinstance(parse_range(network), AddressRange):
            fields.note(f"{shown(entry)} is written {network}: MetalLB takes it for that network, too")
            entry = network
    found = parse_range(entry)
    if isinstance(found, BadRange):
        fields.refuse(found.message)
    elif kinds := kinds_in(found.family, (found.first, found.last)):
        fields.refuse(f"{shown(entry)} has addresses that no Service can have: {', '.join(kinds)}")
    return entry


def _allocation(below: Fields, base: int) -> Body:
    spec: Body = {"priority": _priority(below, base)}
    names, several = below.texts("namespaces"), selectors(below, "namespaceSelectors")
    for one in list(several):
        if chosen := names_alone(one):
            names += chosen
            several.remove(one)
    if frozenset() in several:
        names, several = [], []  # every namespace
    if names:
        spec["namespaces"] = list(dict.fromkeys(names))
    if len(several) == 1:
        spec["namespaceSelector"] = to_wire(several[0])
    elif several:
        below.refuse(_one_selector(len(several), "namespaceSelectors", f"namespaces (by {NAMESPACE_NAME}, say)"))
    services = [one for one in selectors(below, "serviceSelectors") if one]
    if len(services) == 1:
        spec["serviceSelector"] = to_wire(services[0])
    elif services:
        below.refuse(_one_selector(len(services), "serviceSelectors", "Services"))
    return spec


def _one_selector(count: int, field: str, what: str) -> str:
    return (
        f"its {count} {field} can't be said by one, and an IPPool has one: give these {what} a label in common, or "
        "divide the addresses into as many pools"
    )


def _priority(below: Fields, base: int) -> int:
    """1 for one without a number: still before pools without a serviceAllocation, which have 0."""
    given = below.number("priority") or 0
    if given < 0 or given >= base:
        below.refuse(f"its priority {given} has no equivalent: use 1 to {BASES[-1] - 1}, or none")
        return 1
    return base + 1 - given if given else 1
