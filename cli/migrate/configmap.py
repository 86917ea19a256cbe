"""MetalLB's configuration of before 0.13, a ConfigMap `config`, as the objects that it became later. Pure.

Only the shape changes here; what the objects mean is the business of the rest of this folder.
"""

from collections.abc import Iterator
from typing import Any

from cli.migrate.told import Body

API = "metallb.io/v1beta1"
POOL = {"addresses": "addresses", "auto-assign": "autoAssign", "avoid-buggy-ips": "avoidBuggyIPs"}
ADVERTISEMENT = {
    "aggregation-length": "aggregationLength",
    "aggregation-length-v6": "aggregationLengthV6",
    "localpref": "localPref",
    "communities": "communities",
}
PEER = {
    "my-asn": "myASN",
    "peer-asn": "peerASN",
    "peer-address": "peerAddress",
    "peer-port": "peerPort",
    "source-address": "sourceAddress",
    "hold-time": "holdTime",
    "keepalive-time": "keepaliveTime",
    "router-id": "routerID",
    "password": "password",
    "bfd-profile": "bfdProfile",
    "ebgp-multihop": "ebgpMultiHop",
}
PROFILE = {
    "receive-interval": "receiveInterval",
    "transmit-interval": "transmitInterval",
    "detect-multiplier": "detectMultiplier",
    "echo-interval": "echoInterval",
    "echo-mode": "echoMode",
    "passive-mode": "passiveMode",
    "minimum-ttl": "minimumTtl",
}
BY_PROTOCOL = {"layer2": "L2Advertisement", "bgp": "BGPAdvertisement"}


def objects_of(config: Any, namespace: str) -> list[Body]:
    """What was named keeps its name; peers had none and are peer-1 and so on. Raises ValueError for what is none."""
    if not isinstance(config, dict):
        raise ValueError("its `config` is no mapping")
    found = [
        *_profiles(config, namespace),
        *_communities(config, namespace),
        *_pools(config, namespace),
        *_peers(config, namespace),
    ]
    strange = sorted(set(config) - {"peers", "address-pools", "bgp-communities", "bfd-profiles", "peer-autodiscovery"})
    if strange or config.get("peer-autodiscovery"):
        raise ValueError(f"its `config` has {', '.join(map(str, strange)) or 'peer-autodiscovery'}: no equivalent")
    return found


def _object(kind: str, name: str, namespace: str, spec: Body) -> Body:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _entries(value: Any) -> list[Body]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _renamed(entry: Body, names: dict[str, str]) -> Body:
    """What has no new name keeps its own, so that it is refused as unknown."""
    return {names.get(key, key): value for key, value in entry.items() if value is not None}


def _profiles(config: Body, namespace: str) -> Iterator[Body]:
    for one in _entries(config.get("bfd-profiles")):
        name = str(one.get("name", ""))
        yield _object("BFDProfile", name, namespace, _renamed({**one, "name": None}, PROFILE))


def _communities(config: Body, namespace: str) -> Iterator[Body]:
    named = config.get("bgp-communities")
    if isinstance(named, dict) and named:
        entries = [{"name": str(name), "value": str(value)} for name, value in named.items()]
        yield _object("Community", "communities", namespace, {"communities": entries})


def _pools(config: Body, namespace: str) -> Iterator[Body]:
    for one in _entries(config.get("address-pools")):
        name, protocol = str(one.get("name", "")), str(one.get("protocol", ""))
        if protocol not in BY_PROTOCOL:
            raise ValueError(f"pool {name} has protocol {protocol!r}, not layer2 or bgp")
        own = {key: value for key, value in one.items() if key not in ("name", "protocol", "bgp-advertisements")}
        yield _object("IPAddressPool", name, namespace, _renamed(own, POOL))
        given = _entries(one.get("bgp-advertisements")) if protocol == "bgp" else []
        for number, each in enumerate(given or [{}], 1):
            called = name if number == 1 else f"{name}-{number}"
            spec = {"ipAddressPools": [name], **_renamed(each, ADVERTISEMENT)}
            yield _object(BY_PROTOCOL[protocol], called, namespace, spec)


def _peers(config: Body, namespace: str) -> Iterator[Body]:
    for number, one in enumerate(_entries(config.get("peers")), 1):
        spec = _renamed({**one, "node-selectors": None}, PEER)
        selectors = [_selector(each) for each in _entries(one.get("node-selectors"))]
        yield _object(
            "BGPPeer", f"peer-{number}", namespace, spec | ({"nodeSelectors": selectors} if selectors else {})
        )


def _selector(given: Body) -> Body:
    return _renamed(given, {"match-labels": "matchLabels", "match-expressions": "matchExpressions"})
