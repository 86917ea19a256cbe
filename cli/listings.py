"""Who announces what, and by which sessions, as rows: from the records and the speakers' reports. Pure."""

from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from cli.seen import World
from kube.objects import Service, ServicePort

Row = dict[str, Any]

SCHEMES = {"https": "https", "http": "http", "http2": "http", "h2c": "http", "grpc": "grpc", "ws": "ws", "wss": "wss"}
"""By port name, its part before a dash, or appProtocol (KEP-1422), in lower case."""


def owners(world: World) -> list[Row]:
    """Each address that is announced on layer 2, by whom and where."""
    return list(_owners(world))


def _owners(world: World) -> Iterator[Row]:
    for stored in sorted(world.seen.observed.allocations.values(), key=lambda one: order(str(one.address))):
        for node, one in sorted(world.announcers(stored.address).items()):
            if "Layer2" in one.protocols:
                yield {
                    "address": str(stored.address),
                    "node": node,
                    "interfaces": ",".join(one.interfaces),
                    "services": ",".join(str(holder.key) for holder in stored.claim.holders),
                }


def peers(world: World) -> list[Row]:
    """Each session: of which node, with which peer, in what state and since when."""
    return sorted(_peers(world), key=lambda row: (row["node"], row["peer"]))


def _peers(world: World) -> Iterator[Row]:
    for report in world.seen.reports.values():
        speaker = next((one for key, one in world.seen.observed.speakers.items() if key.name == report.node), None)
        if speaker is None or speaker.goodbye:
            continue
        bfd = {one.peer: one.state for one in report.status.bfd_sessions or ()}
        for one in report.status.bgp_sessions or ():
            yield {
                "node": report.node,
                "peer": one.peer,
                "address": one.address or "",
                "state": "Silent" if report.node in world.silent else one.state,
                "for": _age(one.since, world.seen.now),
                "routes": one.routes_sent,
                "acknowledged by": one.withdrawals_acknowledged_by or "",
                "bfd": bfd.get(one.peer, ""),
                "error": one.last_error if one.state != "Established" else "",
            }


def order(address: str) -> tuple[int, int]:
    """To sort addresses by; what is none comes last."""
    try:
        found = ip_address(address)
    except ValueError:
        return (9, 0)
    return (found.version, int(found))


def _age(since: str | None, now: datetime) -> str:
    try:
        seconds = int((now - datetime.fromisoformat(since or "")).total_seconds())
    except (ValueError, TypeError):
        return ""
    days, rest = divmod(max(0, seconds), 86400)
    hours, rest = divmod(rest, 3600)
    return f"{days}d{hours}h" if days else f"{hours}h{rest // 60}m" if hours else f"{rest // 60}m{rest % 60}s"


def urls(service: Service) -> list[str]:
    """One for each address in its status and each port."""
    hosts = [one.ip or one.hostname for one in service.status.load_balancer.ingress]
    return [_url(host, port) for host in hosts for port in service.spec.ports]


def _url(host: str, port: ServicePort) -> str:
    scheme = _scheme(port)
    usual = {"http": 80, "https": 443, "ws": 80, "wss": 443}.get(scheme)
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" if port.port == usual else f"{scheme}://{shown}:{port.port}"


def _scheme(port: ServicePort) -> str:
    for text in (port.app_protocol.rpartition("/")[2], port.name, port.name.partition("-")[0]):
        if text.lower() in SCHEMES:
            return SCHEMES[text.lower()]
    if port.protocol != "TCP":
        return port.protocol.lower()
    return {443: "https", 8443: "https", 80: "http", 8080: "http"}.get(port.port, "tcp")
