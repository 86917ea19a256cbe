"""`python -m lab.apiserver`: the API server stand-in as a process of its own.

Prints its address when it serves, and ends on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from lab.apiserver.core import NODE_PORTS, SERVICE_NETWORKS, Settings
from lab.apiserver.server import ApiServer
from lab.apiserver.store import HISTORY_EVENTS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab.apiserver", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where admin.kubeconfig and ca.crt go")
    parser.add_argument("--listen", action="append", metavar="HOST:PORT", help="port 0 takes a free one; repeatable")
    parser.add_argument("--port-file", type=Path, help="where to write the port of the first listener")
    parser.add_argument("--no-tls", action="store_true", help="plain HTTP")
    parser.add_argument("--history-events", type=int, default=HISTORY_EVENTS)
    parser.add_argument("--bookmark-seconds", type=float, default=60.0)
    parser.add_argument("--service-network", action="append", metavar="CIDR", help=f"default {SERVICE_NETWORKS}")
    parser.add_argument("--node-ports", default="-".join(map(str, NODE_PORTS)), metavar="FIRST-LAST")
    parser.add_argument("--pod-logs", type=Path, metavar="DIR", help="where logs are, as POD_NAMESPACE_CONTAINER.log")
    return parser.parse_args()


def _settings(arguments: argparse.Namespace) -> Settings:
    first, _, last = arguments.node_ports.partition("-")
    return Settings(
        history_events=arguments.history_events,
        bookmark_seconds=arguments.bookmark_seconds,
        service_networks=tuple(arguments.service_network or SERVICE_NETWORKS),
        node_ports=(int(first), int(last)),
        pod_logs=arguments.pod_logs,
    )


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listen = arguments.listen or ["127.0.0.1:0"]
    async with ApiServer(arguments.dir, listen, settings=_settings(arguments), tls=not arguments.no_tls) as server:
        if arguments.port_file:
            arguments.port_file.write_text(f"{server.address.port}\n")
        print(server.url, flush=True)
        await stop.wait()


def main() -> None:
    asyncio.run(_serve(_arguments()))


if __name__ == "__main__":
    main()
