"""kubectl, and the kubeconfig files that it and Berth's own processes use in the lab.

The real kubectl (berth-lab brings one); nothing here speaks to the API server itself.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.net.netns import CommandFailed, Unsupported, lab_environment

KUBECTL_SECONDS = 60.0


@dataclass(frozen=True)
class Access:
    """Where an API server is and how to be let in: what a kubeconfig says."""

    server: str
    certificate_authority: Path
    token: str

    def at(self, server: str) -> "Access":
        """The same rights by another way in."""
        return Access(server, self.certificate_authority, self.token)

    def as_user(self, token: str) -> "Access":
        return Access(self.server, self.certificate_authority, token)

    def write(self, path: Path) -> Path:
        """As a kubeconfig file that only we can read."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "lab",
                    "cluster": {"server": self.server, "certificate-authority": str(self.certificate_authority)},
                }
            ],
            "users": [{"name": "lab", "user": {"token": self.token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "current-context": "lab",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path


@dataclass(frozen=True)
class Kubectl:
    """kubectl with a kubeconfig. Called like the command: `kubectl("get", "services")` gives what it printed."""

    kubeconfig: Path

    def __call__(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = KUBECTL_SECONDS) -> str:
        """Its standard output. Raises CommandFailed with its standard error when it fails."""
        done = self.run(*arguments, stdin=stdin, timeout_seconds=timeout_seconds)
        if done.returncode != 0:
            raise CommandFailed(f"kubectl {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def run(
        self, *arguments: str, stdin: str | None = None, timeout_seconds: float = KUBECTL_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """To its end, whatever that is."""
        return subprocess.run(
            [kubectl_path(), *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            env=self.environment(),
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """In the background, both outputs in one pipe: for `get -w` and for commands that wait."""
        return subprocess.Popen(
            [kubectl_path(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment(),
        )

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--output=json"))

    def apply(self, *objects: Mapping[str, Any] | str) -> str:
        """Objects as dicts or as YAML text."""
        documents = [each if isinstance(each, str) else json.dumps(each) for each in objects]
        # Each one is announced: kubectl 1.32, for one, takes what begins with a brace for JSON to its end.
        return self("apply", "--filename=-", stdin="".join(f"---\n{each}\n" for each in documents))

    def environment(self) -> dict[str, str]:
        """Its caches lie beside the kubeconfig: another lab on the same port is another cluster."""
        return lab_environment({"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self._cache)})

    def forget_kinds(self) -> None:
        """What it remembers for hours of the kinds that there are: `kubectl get berth`, which names none of them, does
        not look for new ones by itself."""
        shutil.rmtree(self._cache / "discovery", ignore_errors=True)

    @property
    def _cache(self) -> Path:
        return self.kubeconfig.parent / "kubectl-cache"


def kubectl_path() -> str:
    """The one beside our Python, or the first in PATH."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("kubectl")
    if found is None:
        raise Unsupported("no kubectl: install one, or berth-lab with what it needs (pip install berth-lab)")
    return found


def read_token(kubeconfig: Path) -> str:
    """The bearer token of a kubeconfig's first user."""
    return str(yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"])
