"""The parts of the `kubernetes` package that Berth uses, imported without the rest of it.

`import kubernetes` runs an `__init__` that imports the synchronous client too, with requests, urllib3, websocket and
oauthlib: 11 MB of memory in each speaker on each node, and half of the import time, for nothing. So the two packages on
the way stand there unexecuted while our modules are imported, and are gone afterwards: a later `import kubernetes`
gets all of it, as usual. See docs/decisions/004-kubernetes-aio-raw.md.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator

__all__ = ["ApiClient", "ConfigException", "Configuration", "InClusterConfigLoader", "load_kube_config"]


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


with _unexecuted("kubernetes", "kubernetes.aio"):
    from kubernetes.aio.client.api_client import ApiClient
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.config.config_exception import ConfigException
    from kubernetes.aio.config.incluster_config import InClusterConfigLoader
    from kubernetes.aio.config.kube_config import load_kube_config
