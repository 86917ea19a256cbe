"""MetalLB's objects to ours: which are converted, in which order, by what names, and what is refused. Pure.

Each object by itself: one that has no equivalent does not keep the others back. What comes out passes the rules of our
API (tests/cli/test_migrate_convert.py applies it to an API server).
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from cli.asread import documents
from cli.migrate.advertisements import bgp_specs, l2_specs
from cli.migrate.configmap import objects_of
from cli.migrate.frr import FRR_CONFIGURATIONS, is_of_metallb, routers_of_peers, sessions_in_the_way
from cli.migrate.peers import aliases_of, bfd_spec, community_spec, peer_specs
from cli.migrate.pools import base_of, pool_spec
from cli.migrate.told import PASSWORDS, Body, Converted, Fields, Made, Password, Refused, shown
from crds.addresses import IPAddress
from crds.meta import BerthObject
from crds.types import KINDS

GROUP = "metallb.io"
VERSIONS: Mapping[str, tuple[str, ...]] = {
    "Community": ("v1beta1",),
    "BFDProfile": ("v1beta1",),
    "IPAddressPool": ("v1beta1",),
    "AddressPool": ("v1beta1",),
    "BGPPeer": ("v1beta1", "v1beta2"),
    "L2Advertisement": ("v1beta1",),
    "BGPAdvertisement": ("v1beta1",),
}
"""In the order in which ours are applied. AddressPool: of 0.13, before there were advertisements."""
OBSERVED = frozenset({"ServiceL2Status", "ServiceBGPStatus", "ConfigurationState"})
"""What MetalLB writes about itself: nothing to convert."""
OURS = {"IPAddressPool": "IPPool"}
_TYPES: Mapping[str, type[BerthObject]] = {one.KIND.kind: one for one in KINDS}


def convert(objects: Iterable[Body], shared_by_several: Collection[IPAddress] = ()) -> Converted:
    """Of MetalLB's kinds and its old ConfigMap; others are passed over. `shared_by_several`: see pools.pool_spec."""
    return _Conversion(shared_by_several).of(list(objects))


class _Conversion:
    def __init__(self, shared_by_several: Collection[IPAddress]) -> None:
        self._shared = shared_by_several
        self._done = Converted()
        self._aliases: dict[str, str] = {}
        self._base: int | None = None
        self._names: set[tuple[str, str]] = set()
        self._peers: dict[str, list[str]] = {}
        """Names of the peers that one of theirs became, where there are several."""

    def of(self, objects: list[Body]) -> Converted:
        ours = self._without_old_format(objects)
        by_kind: dict[str, list[Body]] = {kind: [] for kind in VERSIONS}
        for one in ours:
            if one["kind"] in by_kind:
                by_kind[one["kind"]].append(one)
            elif one["kind"] not in OBSERVED:
                self._refuse(one, "this kind has no equivalent")
        for one in by_kind["Community"]:
            self._aliases |= aliases_of(one.get("spec"))
        self._base = base_of(map(_priority, by_kind["IPAddressPool"]))
        self._names = {(kind, _name(one)) for kind, several in by_kind.items() for one in several}
        for kind, several in by_kind.items():
            seen: dict[str, str] = {}
            for one in several:
                first = seen.setdefault(_name(one), _about(one))
                if first != _about(one):
                    self._refuse(one, f"{first} has the same name, and our kinds have no namespaces: rename one")
                else:
                    self._one(kind, one)
        for one in objects:
            if str(one.get("apiVersion", "")).partition("/")[0] == FRR_CONFIGURATIONS.group:
                self._of_frr(one)
        return self._done

    def _of_frr(self, one: Body) -> None:
        """After the peers are converted: it is about whether it leaves their sessions alone."""
        if one.get("kind") != FRR_CONFIGURATIONS.kind or is_of_metallb(_name(one)):
            return
        peers = routers_of_peers(made.spec for made in self._done.made if made.kind == "BGPPeer")
        if neighbors := sessions_in_the_way(one, peers):
            self._refuse(
                one,
                f"FRR would keep its session with {shown(', '.join(neighbors))}, and a router has one with each node: "
                "take that neighbor out of it. Berth learns no routes, and advertises those of Services alone",
            )
        else:
            self._done.notes.append(
                f"{_about(one)} stays as it is: FRR goes on with it for as long as frr-k8s is there"
            )

    def _without_old_format(self, objects: list[Body]) -> list[Body]:
        found: list[Body] = []
        for one in objects:
            kind, group = str(one.get("kind", "")), str(one.get("apiVersion", "")).partition("/")[0]
            if kind == "ConfigMap" and _data(one, "config"):
                found += self._old_format(one)
            elif kind == "ConfigMap" and _name(one) == "bgpextras" and _data(one, "extras").strip():
                self._refuse(one, "text for FRR has no equivalent: see which fields of our BGPPeers say it")
            elif group == GROUP:
                found.append({**one, "kind": kind})
        return found

    def _old_format(self, one: Body) -> list[Body]:
        try:
            (config,) = documents(_data(one, "config"))
            return objects_of(config, _namespace(one))
        except (yaml.YAMLError, ValueError) as error:
            self._refuse(one, shown(str(error)))
            return []

    def _one(self, kind: str, one: Body) -> None:
        version = str(one.get("apiVersion", "")).partition("/")[2]
        if version not in VERSIONS[kind]:
            self._refuse(one, f"{shown(version)!r} is no version of it that is known: {', '.join(VERSIONS[kind])}")
            return
        fields = Fields(one.get("spec"))
        specs, password = self._specs(kind, one, fields)
        fields.finish()
        if fields.faults:
            self._refuse(one, "; ".join(fields.faults))
            return
        self._make(kind, one, specs, tuple(dict.fromkeys(fields.notes)), password)

    def _specs(self, kind: str, one: Body, fields: Fields) -> tuple[list[Body], Password | None]:
        match kind:
            case "Community":
                return [community_spec(fields)], None
            case "BFDProfile":
                return [bfd_spec(fields)], None
            case "IPAddressPool":
                if self._base is None:
                    fields.refuse("priorities of 1000000 and more have no equivalent: use smaller ones")
                return [pool_spec(fields, self._base or 1, self._shared)], None
            case "BGPPeer":
                password = _password(one, fields)
                return [_with_password(spec, password) for spec in peer_specs(fields)], password
            case "L2Advertisement":
                return l2_specs(fields), None
            case "BGPAdvertisement":
                return [self._with_peers(spec) for spec in bgp_specs(fields, self._aliases)], None
            case _:
                fields.refuse("AddressPool is of MetalLB 0.13: upgrade to IPAddressPool and advertisements first")
                return [], None

    def _with_peers(self, spec: Body) -> Body:
        named = [name for peer in spec.get("peers", ()) for name in self._peers.get(peer, [peer])]
        return spec | ({"peers": named} if named else {})

    def _make(self, kind: str, one: Body, specs: list[Body], notes: tuple[str, ...], password: Password | None) -> None:
        name, ours, about = _name(one), OURS.get(kind, kind), _about(one)
        if kind == "Community" and not specs[0]["communities"]:
            self._done.notes += [f"{about} is left out: {note}" for note in notes]
            return
        made = []
        for number, spec in enumerate(specs, 1):
            called = name if number == 1 else self._free_name(kind, name, number)
            part = f", part {number} of {len(specs)}" if len(specs) > 1 else ""
            made.append(Made(ours, called, spec, about + part, notes, _labels(one) if ours == "IPPool" else {}))
        fault = next((text for each in made if (text := _fault(each))), "")
        if fault:
            self._refuse(one, fault)
            return
        self._done.made += made
        if kind == "BGPPeer":
            self._peers[name] = [each.name for each in made]
        if password is not None:
            self._done.passwords.append(password)

    def _free_name(self, kind: str, name: str, number: int) -> str:
        """For a part; no object of theirs has it, and no other part."""
        found = f"{name[:240]}-{number}"
        while (kind, found) in self._names:
            number += 1
            found = f"{name[:240]}-{number}"
        self._names.add((kind, found))
        return found

    def _refuse(self, one: Body, reason: str) -> None:
        self._done.refused.append(Refused(_about(one), reason))


def _fault(made: Made) -> str:
    """What our types say of it: nothing, unless a value of theirs is of a form that nothing above looked at."""
    try:
        _TYPES[made.kind].model_validate(made.to_wire())
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return ""


def _password(one: Body, fields: Fields) -> Password | None:
    """Where it is; never what it is."""
    peer, plain, below = _name(one), bool(fields.text("password")), fields.below("passwordSecret")
    name, namespace = below.text("name"), below.text("namespace") or _namespace(one)
    fields.merge(below)
    if name:
        return Password(peer, (namespace, name))
    return Password(peer, None) if plain else None


def _with_password(spec: Body, password: Password | None) -> Body:
    return spec if password is None else {**spec, "passwordSecretRef": {"name": PASSWORDS, "key": password.peer}}


def _priority(one: Body) -> int:
    spec = one.get("spec")
    allocation = spec.get("serviceAllocation") if isinstance(spec, dict) else None
    found = allocation.get("priority") if isinstance(allocation, dict) else None
    return found if isinstance(found, int) else 0


def _labels(one: Body) -> dict[str, str]:
    """Advertisements select pools by them."""
    labels = _metadata(one).get("labels")
    return {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}


def _metadata(one: Body) -> Mapping[str, Any]:
    found = one.get("metadata")
    return found if isinstance(found, dict) else {}


def _name(one: Body) -> str:
    return str(_metadata(one).get("name", ""))


def _namespace(one: Body) -> str:
    return str(_metadata(one).get("namespace", "") or "metallb-system")


def _data(one: Body, key: str) -> str:
    data = one.get("data")
    return str(data.get(key) or "") if isinstance(data, dict) else ""


def _about(one: Body) -> str:
    namespace = _metadata(one).get("namespace")
    return shown(f"{one.get('kind')} {f'{namespace}/' if namespace else ''}{_name(one)}")
