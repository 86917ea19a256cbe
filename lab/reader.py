"""Reads objects from the lab's API server: what is asked again and again until something is so.

As kubectl would, without a process for each question. Writes nothing. What a person would type is kubectl's.
"""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kube import resource
from kube.resource import Resource
from lab.kubectl import Access
from lab.net.netns import CommandFailed

READ_SECONDS = 60.0
READY_SECONDS = 2.0
NAMESPACE = "default"

Object = dict[str, Any]
_RESOURCES = {
    name: each
    for each in vars(resource).values()
    if isinstance(each, Resource)
    for name in (each.plural, each.kind.lower())
}


@dataclass(frozen=True)
class Reader:
    """Kinds are named as for kubectl: `service`, `services`. Each read is a connection of its own."""

    access: Access

    def get(self, kind: str, name: str, namespace: str = NAMESPACE) -> Object | None:
        """None when there is none. Raises CommandFailed when the API server says anything else than that."""
        of = _named(kind)
        return self._read(of.path(name, namespace if of.namespaced else None))

    def list(self, kind: str) -> list[Object]:
        """Of all namespaces. Raises CommandFailed, also where the kind is not defined."""
        path = _named(kind).path()
        found = self._read(path)
        if found is None:
            raise CommandFailed(f"the API server has no {path}")
        items: list[Object] = found["items"]
        return items

    def is_ready(self) -> bool:
        """Whether the API server's /readyz is 200."""
        try:
            with self._open("/readyz", timeout_seconds=READY_SECONDS) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _read(self, path: str) -> Object | None:
        try:
            with self._open(path, timeout_seconds=READ_SECONDS) as answer:
                found: Object = json.load(answer)
                return found
        except urllib.error.HTTPError as refused:
            with refused:
                if refused.code == 404:
                    return None
                raise CommandFailed(f"GET {path}: {refused.code}: {refused.read().decode().strip()}") from refused
        except OSError as error:
            raise CommandFailed(f"GET {path}: {error}") from error

    def _open(self, path: str, *, timeout_seconds: float) -> Any:
        headers = {"Authorization": f"Bearer {self.access.token}", "Accept": "application/json"}
        request = urllib.request.Request(self.access.server + path, headers=headers)
        return self._opener.open(request, timeout=timeout_seconds)

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        context = ssl.create_default_context(cafile=str(self.access.certificate_authority))
        return urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )


def _named(kind: str) -> Resource:
    if kind not in _RESOURCES:
        raise ValueError(f"{kind} is not in kube/resource.py: ask kubectl")
    return _RESOURCES[kind]
