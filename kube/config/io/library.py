"""The parts of the `kubernetes` package that Berth uses, and aiohttp, imported without what they do beside that.

`import kubernetes` runs an `__init__` that imports the synchronous client too, with requests, urllib3, websocket and
oauthlib: 11 MB of memory in each speaker on each node, and half of the import time, for nothing. So the two packages on
the way stand there unexecuted while our modules are imported, and are gone afterwards: a later `import kubernetes`
gets all of it, as usual. See docs/decisions/004-kubernetes-aio-raw.md.

aiohttp reads all certificate authorities of the system when it is imported: a tenth of a command's start, for
connections that Berth never makes, as all of ours come with a TLS context of their own. So they are read when somebody
connects with aiohttp's context. To that end aiohttp is imported here first, and from here.
"""

import contextlib
import importlib.util
import ssl
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["ApiClient", "ConfigException", "Configuration", "InClusterConfigLoader", "aiohttp", "load_kube_config"]


@contextlib.contextmanager
def _unexecuted(*packages: str) -> Iterator[None]:
    """Make packages importable from, parents first, without running their `__init__`; not those that ran already."""
    placed = []
    for name in packages:
        spec = importlib.util.find_spec(name) if name not in sys.modules else None
        if spec is not None:
            sys.modules[name] = importlib.util.module_from_spec(spec)
            placed.append(name)
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]


class _LateAuthorities(ssl.SSLContext):
    """Reads the system's certificate authorities before its first connection; asyncio makes them with wrap_bio."""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        self.__class__ = ssl.SSLContext  # type: ignore[assignment]
        self.set_default_verify_paths()
        return self.wrap_bio(*args, **kwargs)


@contextlib.contextmanager
def _authorities_read_late() -> Iterator[None]:
    """For contexts that are made meanwhile."""

    def later(self: ssl.SSLContext) -> None:
        self.__class__ = _LateAuthorities

    ssl.SSLContext.set_default_verify_paths = later  # type: ignore[method-assign]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # which is inherited


with _authorities_read_late():
    import aiohttp

with _unexecuted("kubernetes", "kubernetes.aio"):
    from kubernetes.aio.client.api_client import ApiClient
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.config.config_exception import ConfigException
    from kubernetes.aio.config.incluster_config import InClusterConfigLoader
    from kubernetes.aio.config.kube_config import load_kube_config
