"""GoBGP: how gobgpd is run and asked by its own command line."""

import json
from typing import Any

from lab.routers.daemons import Daemons
from lab.waiting import wait_for

API = "127.0.0.1:50051"
START_SECONDS = 20.0


class GoBgpDaemon(Daemons):
    """gobgpd with any configuration."""

    def start(self, configuration: str) -> None:
        """Run it; returns when it can be asked."""
        self.site.run("ip", "link", "set", "lo", "up")  # its command line asks it there
        (self.site.directory / "gobgpd.toml").write_text(configuration)
        self.launch(self.site.name, ["gobgpd", "-f", self.site.path("gobgpd.toml"), f"--api-hosts={API}"])
        wait_for(
            "gobgpd answers",
            lambda: "error" not in self._answer("global") and self._answer("global") != {},
            timeout_seconds=START_SECONDS,
            meanwhile=self.require_running,
        )

    def ask(self, *words: str) -> Any:
        """A command of gobgp, as JSON; {} when there is no answer, or nothing."""
        answer = self._answer(*words)
        return {} if "error" in answer else answer  # it is busy

    def _answer(self, *words: str) -> Any:
        try:
            return json.loads(self.site.run("gobgp", "-j", *words, check=False)) or {}
        except ValueError:
            return {}
