"""L2Advertisement and BGPAdvertisement of MetalLB to ours: lists of selectors become several advertisements. Pure.

Several of ours that cover an address unite, so the parts together say what the whole said.
"""

import re
from collections.abc import Mapping

from cli.migrate.selectors import products, selectors, to_wire
from cli.migrate.told import Body, Fields, shown
from crds.meta import LabelSelector
from crds.rules import WELL_KNOWN_COMMUNITIES

MOST_PARTS = 32
MOST_NAMES = 256
MOST_PREFERENCES = 16
INTERFACE = re.compile(r"[^/\s*?\[\]]{1,15}")
ALIAS = re.compile(r"[a-zA-Z][-._a-zA-Z0-9]{0,63}")
STANDARD = re.compile(r"([0-9]{1,5}):([0-9]{1,5})")
LARGE = re.compile(r"large:([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})")


def l2_specs(fields: Fields) -> list[Body]:
    """One for each part."""
    interfaces = _names(fields, "interfaces")
    for one in interfaces:
        if not INTERFACE.fullmatch(one):
            fields.refuse(f"{shown(one)!r} is no name of an interface")
    shared: Body = {"interfaces": interfaces} if interfaces else {}
    return _parts(fields, shared | _preferences(fields))


def bgp_specs(fields: Fields, aliases: Mapping[str, str]) -> list[Body]:
    """`aliases`: the names of all Communities, and their values."""
    shared: Body = {}
    for name, most in (("aggregationLength", 32), ("aggregationLengthV6", 128)):
        length = fields.number(name)
        if length is not None and length != most:
            shared[name] = length
        if length is not None and not 0 <= length <= most:
            fields.refuse(f"spec.{name} is not from 0 to {most}")
    preference = fields.number("localPref")
    if preference is not None:
        shared["localPref"] = preference
    communities = _communities(fields, aliases)
    if communities:
        shared["communities"] = communities
    if peers := _names(fields, "peers"):
        shared["peers"] = peers
    return _parts(fields, shared)


def _parts(fields: Fields, shared: Body) -> list[Body]:
    """Pools by name and by selectors, nodes and Services: in each list one entry is enough."""
    pools, by_labels = _names(fields, "ipAddressPools"), selectors(fields, "ipAddressPoolSelectors")
    nodes, services = selectors(fields, "nodeSelectors"), selectors(fields, "serviceSelectors")
    if frozenset() in by_labels:
        pools, by_labels = [], []  # every pool
    parts = products(by_labels, [one for one in nodes if one], [one for one in services if one])
    if len(parts) > MOST_PARTS:
        fields.refuse(
            f"its lists of selectors make {len(parts)} advertisements of ours: use selectors that choose more"
        )
    return [_part(pools, part, shared) for part in parts[:MOST_PARTS]]


def _part(pools: list[str], part: tuple[frozenset[tuple[str, str, tuple[str, ...]]] | None, ...], shared: Body) -> Body:
    by_labels, node, service = part
    spec: Body = {"ipPools": pools} if pools else {}
    for name, one in (("ipPoolSelector", by_labels), ("serviceSelector", service), ("nodeSelector", node)):
        if one is not None:
            spec[name] = to_wire(one)
    return spec | shared


def _names(fields: Fields, name: str) -> list[str]:
    found = list(dict.fromkeys(fields.texts(name)))
    if len(found) > MOST_NAMES:
        fields.refuse(f"spec.{name} has more than {MOST_NAMES} entries")
    return found


def _preferences(fields: Fields) -> Body:
    """Weights add up in MetalLB; ours are tried one after the other."""
    weighted: list[tuple[int, Body]] = []
    for one in fields.mappings("preferredNodeSelectors"):
        weight, preference = one.get("weight"), one.get("preference")
        try:
            LabelSelector.model_validate(preference)
        except ValueError:
            fields.refuse("spec.preferredNodeSelectors has a preference that is no label selector")
        if isinstance(weight, int) and isinstance(preference, dict):
            weighted.append((weight, preference))
        else:
            fields.refuse("spec.preferredNodeSelectors has an entry without weight or preference")
    if not weighted:
        return {}
    if len(weighted) > MOST_PREFERENCES:
        fields.refuse(f"spec.preferredNodeSelectors has more than {MOST_PREFERENCES} entries")
    if len(weighted) > 1:
        fields.note("weights of preferred nodes became an order: a node is ranked by the first selector that fits")
    ordered = sorted(weighted, key=lambda one: -one[0])
    return {"preferredNodeSelectors": [preference for _, preference in ordered]}


# Communities


def is_alias(name: str) -> bool:
    """Whether a Community of ours may have it."""
    return ALIAS.fullmatch(name) is not None and name not in WELL_KNOWN_COMMUNITIES


def is_number(value: str) -> bool:
    """Whether it is a community by itself, standard or large, with numbers that fit."""
    if standard := STANDARD.fullmatch(value):
        return all(int(part) <= 65535 for part in standard.groups())
    large = LARGE.fullmatch(value)
    return large is not None and all(int(part) <= 4294967295 for part in large.groups())


def _communities(fields: Fields, aliases: Mapping[str, str]) -> list[str]:
    found = [_community(fields, one, aliases) for one in fields.texts("communities")]
    if len(found) > 64:
        fields.refuse("spec.communities has more than 64 entries")
    return list(dict.fromkeys(found))


def _community(fields: Fields, given: str, aliases: Mapping[str, str]) -> str:
    if is_number(given):
        return given
    if given not in aliases:
        fields.refuse(f"community {shown(given)!r} is no number that fits, and no Community defines it")
        return given
    if is_alias(given):
        return given
    fields.note(f"community {shown(given)!r} is written as its value: ours can't have that name")
    return aliases[given]
