"""Which HTTP proxy the environment asks for, by the rules of Go's net/http that other Kubernetes clients follow.

Reads no environment itself, and knows nothing of the kubeconfig's `proxy-url`, which goes before the environment.
"""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """HTTPS_PROXY or HTTP_PROXY (also in lower case) unless NO_PROXY, or being on this host, exempts the URL."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    proxy = _lookup(environ, f"{parts.scheme}_proxy")
    if not proxy or _is_exempt(host, parts.port, _lookup(environ, "no_proxy")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _lookup(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper(), "") or environ.get(name, "")


def _is_exempt(host: str, port: int | None, no_proxy: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    entries = [entry.strip().lower() for entry in no_proxy.split(",") if entry.strip()]
    return any(_matches(entry, host, port) for entry in entries)


def _matches(entry: str, host: str, port: int | None) -> bool:
    """An entry is `*`, a CIDR, an address, or a domain, for itself and all below it; with a leading dot only for those.

    Addresses and domains may carry a port.
    """
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        pass
    name, _, entry_port = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
    if entry_port and entry_port != str(port):
        return False
    name = name.removeprefix("*")
    return host == name or host.endswith(name if name.startswith(".") else f".{name}")
