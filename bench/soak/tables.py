"""A router's table asked again and again, for routers whose log does not say when a route came and went."""

import threading
import time
from contextlib import suppress
from subprocess import SubprocessError

from bench.soak.verdict import Sighting
from lab.net.netns import CommandFailed
from lab.routers.base import Router

EVERY_SECONDS = 1.0
FAILURES = (CommandFailed, OSError, SubprocessError, ValueError, KeyError, AttributeError)
"""Of a question to a router that is killed or frozen just now."""


class TablePoller:
    """In a thread of its own, from `start` to `stop`. Each sighting is a route that the router had when it was asked:
    `at` is when that question began, `until` when it was answered."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._found: list[Sighting] = []
        self._lock = threading.Lock()

    @property
    def sightings(self) -> list[Sighting]:
        with self._lock:
            return list(self._found)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            with suppress(*FAILURES):
                self._ask()

    def _ask(self) -> None:
        began = time.monotonic()
        prefixes = self._router.prefixes()
        ended = time.monotonic()
        routes = [
            Sighting(node, prefix.split("/")[0], began, ended)
            for node, has in prefixes.items()
            for prefix in has
            if prefix.endswith(("/32", "/128"))
        ]
        with self._lock:
            self._found += routes
