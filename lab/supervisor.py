"""Keeps a lab up in the background for `berth lab`: up, ended processes started again, down on SIGTERM.

As a kubelet would, it waits a little before it starts a process again. What a lab is made of is in cluster.py.
"""

import argparse
import contextlib
import os
import select
import signal
import threading
import time
from pathlib import Path
from types import FrameType

from lab.cluster import Cluster, Settings
from lab.net.shapes import Shape
from lab.routers.base import ROUTERS, RouterSettings

POLL_SECONDS = 0.5
RESTART_SECONDS = 2.0
"""A kubelet's first back-off is 10 s. Shorter here: somebody is watching."""


def main() -> None:
    options = _parse()
    settings = Settings(
        directory=options.directory,
        name=options.name,
        node_count=options.nodes,
        rootless=True if options.rootless else None,
        with_berth=not options.without_berth,
        shape=options.topology,
        image=options.image,
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)
    if options.companion:
        _end_with(options.companion)
    cluster = Cluster(settings, tell=_tell)
    try:
        cluster.up()
        cluster.show_berth_running()
        if options.router:
            _start_router(cluster, options.router)
        _tell("ready")
        while True:
            time.sleep(POLL_SECONDS)
            _start_ended_again(cluster)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        cluster.down()
        _tell("down")


def _start_router(cluster: Cluster, kind: str) -> None:
    """With routes in its own table, so that its host reaches the addresses by them."""
    settings = RouterSettings(installs=True)
    cluster.start_router(kind, settings=settings)
    cluster.save_record(ready=True)
    spec = f"myASN: {settings.node_asn}, peerASN: {settings.asn}, peerAddress: {cluster.topology.router.ipv4}"
    _tell(f"{kind} runs on router, and takes sessions of all nodes: write a BGPAdvertisement and a BGPPeer with")
    _tell(f"  spec: {{{spec}}}")


def _start_ended_again(cluster: Cluster) -> None:
    ended = cluster.ended()
    if not ended:
        return
    for process in ended:
        _tell(f"{process.name} ended with {process.returncode}; it starts again in {RESTART_SECONDS:g} s")
    time.sleep(RESTART_SECONDS)
    for process in ended:
        process.start()
    cluster.save_record(ready=True)


def _end_with(companion: int) -> None:
    """SIGTERM to ourselves when that process ends, or has ended already: also while the lab comes up."""

    def wait() -> None:
        with contextlib.suppress(ProcessLookupError):
            select.select([os.pidfd_open(companion)], [], [])
        _tell(f"process {companion} has ended, and the lab ends with it")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _tell(line: str) -> None:
    print(line, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab.supervisor", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--topology", type=Shape, default=Shape.FLAT)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--router", choices=ROUTERS)
    parser.add_argument("--with", dest="companion", type=int)
    parser.add_argument("--rootless", action="store_true")
    parser.add_argument("--without-berth", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
