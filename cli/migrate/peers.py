"""BGPPeer (v1beta1 and v1beta2), BFDProfile and Community of MetalLB to ours. Pure.

Passwords are not looked at: a peer of ours names a Secret, and whose password it is to have is told apart from it.
"""

import re
from typing import Any

from cli.migrate.advertisements import is_alias, is_number
from cli.migrate.selectors import Requirements, selectors, to_wire
from cli.migrate.told import Body, Fields, shown
from crds.addresses import plain_address

_DURATION = re.compile(r"(\d+(?:\.\d*)?)(h|ms|m|s|us|µs|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
DEFAULT_HOLD_SECONDS = 90
MOST_HOLD_SECONDS = 65535
MOST_HOPS = 255
MOST_PEERS = 32


def duration(text: str) -> float | None:
    """Seconds of a duration as Go writes it, such as 1m30s; None for what is none."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def peer_specs(fields: Fields) -> list[Body]:
    """One for each set of nodes. The password is not in it."""
    spec: Body = {}
    _copied(fields, spec, "myASN", "myASN", 1, 4294967295)
    _peer_asn(fields, spec)
    _endpoints(fields, spec)
    _timers(fields, spec)
    _features(fields, spec)
    if fields.has("localASN"):
        fields.number("localASN")
        fields.refuse(
            "spec.localASN is not converted: write it as localASN, and paths begin with it and then with myASN; or as "
            "myASN, and the router sees it alone"
        )
    nodes = [one for one in selectors(fields, "nodeSelectors") if one]
    if len(nodes) > MOST_PEERS:
        fields.refuse(f"it has more than {MOST_PEERS} nodeSelectors that can't be said by one")
    if len(nodes) > 1 and not _exclude_each_other(nodes):
        fields.refuse(
            f"its {len(nodes)} nodeSelectors can't be said by one, and a node that fits two of them would have two "
            "sessions: give these nodes a label in common"
        )
    return [{**spec, "nodeSelector": to_wire(one)} for one in nodes] or [spec]


def _exclude_each_other(nodes: list[Requirements]) -> bool:
    """Whether no node fits two of them: each two want other values of one label."""
    return all(
        any(
            key == other_key and operator == other_operator == "In" and set(values).isdisjoint(other_values)
            for key, operator, values in first
            for other_key, other_operator, other_values in second
        )
        for i, first in enumerate(nodes)
        for second in nodes[i + 1 :]
    )


def _copied(fields: Fields, spec: Body, name: str, ours: str, least: int, most: int) -> None:
    found = fields.number(name)
    if found is None:
        return
    spec[ours] = found
    if not least <= found <= most:
        fields.refuse(f"spec.{name} is not from {least} to {most}")


def _peer_asn(fields: Fields, spec: Body) -> None:
    if "myASN" not in spec:
        fields.refuse("spec.myASN is missing")
    dynamic = fields.text("dynamicASN")
    number = fields.number("peerASN")
    if dynamic:
        if dynamic not in ("internal", "external"):
            fields.refuse(f"spec.dynamicASN is {shown(dynamic)!r}, not internal or external")
        spec["peerASN"] = dynamic.capitalize()
    elif number:
        spec["peerASN"] = number
    else:
        fields.refuse("spec.peerASN and spec.dynamicASN are missing")


def _address(fields: Fields, spec: Body, name: str) -> None:
    text = fields.text(name)
    if not text:
        return
    spec[name] = text
    if plain_address(text) is None:
        fields.refuse(f"spec.{name} {shown(text)!r} is no address")


def _endpoints(fields: Fields, spec: Body) -> None:
    _address(fields, spec, "peerAddress")
    _address(fields, spec, "sourceAddress")
    _address(fields, spec, "routerID")
    for name in ("interface", "vrf"):
        text = fields.text(name)
        if text:
            spec[name] = text
        if not re.fullmatch(r"[^/\s]{0,15}", text):
            fields.refuse(f"spec.{name} {shown(text)!r} is no name of an interface")
    if "interface" in spec and spec.pop("sourceAddress", None) is not None:
        fields.note("sourceAddress is left out: a session on a link (interface) has the node's link-local address")
    if ("peerAddress" in spec) == ("interface" in spec):
        fields.refuse("it needs spec.peerAddress or spec.interface, one of them")
    own, theirs = spec.get("sourceAddress", ""), spec.get("peerAddress", "")
    if own and theirs and (":" in own) != (":" in theirs):
        fields.refuse("spec.sourceAddress and spec.peerAddress are not of one family")
    if spec.get("routerID") == "0.0.0.0" or ":" in spec.get("routerID", ""):
        fields.refuse("spec.routerID is no BGP identifier: write an IPv4 address other than 0.0.0.0")
    if "routerID" in spec:
        fields.note("routerID must differ from node to node: keep it only where one node has this peer")
    port = fields.number("peerPort")
    if port not in (None, 0, 179):
        spec["peerPort"] = port
    if port is not None and not 0 <= port <= 65535:
        fields.refuse("spec.peerPort is no port")


def _timers(fields: Fields, spec: Body) -> None:
    """Of hold time and keepalive time MetalLB makes the one that is missing of the other: a third."""
    hold, keepalive = _seconds(fields, "holdTime"), _seconds(fields, "keepaliveTime")
    if hold is None and keepalive is not None:
        hold = keepalive * 3
    if hold is not None and (hold in (1, 2) or hold > MOST_HOLD_SECONDS):
        fields.refuse("spec.holdTime is to be 0, or from 3 to 65535 seconds")
    if hold is not None and hold != DEFAULT_HOLD_SECONDS:
        spec["holdTimeSeconds"] = hold
    longest = (DEFAULT_HOLD_SECONDS if hold is None else hold) // 3
    if keepalive and hold != 0 and keepalive > longest:
        fields.note(f"keepaliveTime {keepalive} s is more than a third of the hold time, so it is left out: a third")
    elif keepalive and hold != 0 and keepalive < longest:
        spec["keepaliveTimeSeconds"] = keepalive
    connect = _seconds(fields, "connectTime")
    if connect:
        spec["connectRetrySeconds"] = connect
    if connect is not None and not 1 <= connect <= 65535:
        fields.refuse("spec.connectTime is not from 1 to 65535 seconds")


def _seconds(fields: Fields, name: str) -> int | None:
    """Whole seconds; None where it is not there."""
    text = fields.text(name)
    if not text:
        return None
    seconds = duration(text)
    if seconds is None:
        fields.refuse(f"spec.{name} {shown(text)!r} is no duration such as 90s")
        return None
    if seconds != int(seconds):
        fields.note(f"{name} {shown(text)} is rounded up to whole seconds")
    return int(seconds) + (seconds != int(seconds))


def _features(fields: Fields, spec: Body) -> None:
    if fields.flag("ebgpMultiHop"):
        if spec.get("peerASN") in ("Internal", spec.get("myASN")):
            fields.note("ebgpMultiHop says nothing of a peer in our own AS, so it is left out")
        elif "interface" in spec:
            fields.note("ebgpMultiHop is left out: a peer on a link (interface) is one hop away")
        else:
            spec["ebgpMultiHop"] = MOST_HOPS
    if fields.flag("enableGracefulRestart"):
        spec["gracefulRestart"] = {}
    if fields.flag("dualStackAddressFamily"):
        spec["families"] = ["IPv4", "IPv6"]
    fields.flag("disableMP")  # a session of ours has the family of its address, unless it says more
    if profile := fields.text("bfdProfile"):
        spec["bfdProfile"] = profile


def bfd_spec(fields: Fields) -> Body:
    """Echo has no equivalent."""
    spec: Body = {}
    _copied(fields, spec, "receiveInterval", "receiveIntervalMilliseconds", 10, 60000)
    _copied(fields, spec, "transmitInterval", "transmitIntervalMilliseconds", 10, 60000)
    _copied(fields, spec, "detectMultiplier", "detectMultiplier", 1, 255)
    _copied(fields, spec, "minimumTtl", "minimumTTL", 1, 254)
    if fields.flag("passiveMode"):
        spec["passive"] = True
    fields.number("echoInterval")
    if fields.flag("echoMode"):
        fields.refuse("spec.echoMode has no equivalent: set it to false; control packets at shorter intervals do it")
    return spec


def community_spec(fields: Fields) -> Body:
    """Aliases that ours can't have are left out: where they are used their values are written."""
    found: dict[str, str] = {}
    for one in fields.mappings("communities"):
        name, value = str(one.get("name", "")), str(one.get("value", ""))
        if not is_number(value):
            fields.refuse(f"community {shown(name)!r} is {shown(value)!r}, which is no number that fits")
        elif is_alias(name):
            found[name] = value
        else:
            fields.note(f"{shown(name)!r} is no name for ours: where it is used, {value} is written")
    if len(found) > 256:
        fields.refuse("it has more than 256 names: split it")
    return {"communities": [{"name": name, "value": value} for name, value in found.items()]}


def aliases_of(spec: Any) -> dict[str, str]:
    """All of a Community's, whatever they are named."""
    entries = spec.get("communities") if isinstance(spec, dict) else None
    pairs = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return {str(one.get("name")): str(one.get("value")) for one in pairs if is_number(str(one.get("value")))}
