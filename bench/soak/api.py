"""Requests of the administrator, cheaper than kubectl's: on a busy machine acts would come too seldom by that."""

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from kube.resource import SERVICES, Resource
from lab.kubectl import read_token

REQUEST_SECONDS = 10.0


class Api:
    """Each request is a connection of its own."""

    def __init__(self, kubeconfig: Path) -> None:
        cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        self._server: str = cluster["server"]
        self._token = read_token(kubeconfig)
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        no_proxy, https = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        self._opener = urllib.request.build_opener(no_proxy, https)

    def ask(self, method: str, path: str, body: object = None, kind: str = "application/json") -> tuple[int, Any]:
        """Code and answer. Raises OSError when there is none."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        text = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data=text, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=REQUEST_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code, None

    def patch(self, path: str, body: object) -> bool:
        """A merge patch; whether it was done."""
        return self.ask("PATCH", path, body, "application/merge-patch+json")[0] == 200

    def items(self, resource: Resource) -> list[dict[str, Any]]:
        """All of them. Raises OSError when they are not told."""
        code, answer = self.ask("GET", resource.path())
        if code != 200:
            raise OSError(f"{resource.plural}: {code}")
        found: list[dict[str, Any]] = answer["items"]
        return found


def service_path(name: str) -> str:
    return SERVICES.path(name, "default")
