"""`python -m allocator`: arguments, logging, signals and garbage collection. The work is in allocator.io.controller."""

import argparse
import asyncio
import gc
import os
import signal
import sys
import uuid

import structlog

from allocator.io.controller import Controller
from allocator.io.metrics import AllocatorMetrics
from allocator.options import Options
from crds.names import DEFAULT_NAMESPACE
from kube.config.io.credentials import CredentialsError
from kube.io.client import Client
from kube.process.io.listener import Listener
from kube.process.io.logs import configure_logs
from kube.process.listening import add_arguments, cannot_listen, listening_of


def parse_arguments() -> argparse.Namespace:
    """The command line, with the defaults of allocator.options."""
    parser = argparse.ArgumentParser(prog="allocator", description="Gives Services of type LoadBalancer an address.")
    parser.add_argument("--kubeconfig", help="default: the pod's service account")
    parser.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", DEFAULT_NAMESPACE))
    parser.add_argument("--identity", default=os.environ.get("POD_NAME", "allocator"), help="shown as the leader")
    parser.add_argument("--load-balancer-class", help="serve this class only; default: Services without one")
    parser.add_argument("--finalizer", default=Options.finalizer)
    parser.add_argument(
        "--former-finalizers",
        default=",".join(Options.former_finalizers),
        help="names that the finalizer may have had before, comma-separated: where it was ours, it is replaced",
    )
    parser.add_argument("--fence-after-seconds", type=float, default=Options.fence_after_seconds)
    parser.add_argument(
        "--lease-duration-seconds", "--lease-duration", type=float, default=Options.lease_duration_seconds
    )
    parser.add_argument("--no-speakers", action="store_true", help="another program announces: nothing is said of it")
    parser.add_argument("--heartbeat-secret", default="", metavar="NAME", help="made when missing; empty: none")
    add_arguments(parser, metrics="127.0.0.1:7472")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    return parser.parse_args()


async def run(given: argparse.Namespace) -> None:
    """Until SIGTERM or SIGINT; then the lease is given up, so that the standby takes over at once."""
    metrics = AllocatorMetrics()
    options = Options(
        namespace=given.namespace,
        identity=f"{given.identity}_{uuid.uuid4()}",
        load_balancer_class=given.load_balancer_class,
        finalizer=given.finalizer,
        former_finalizers=tuple(name for name in given.former_finalizers.split(",") if name),
        fence_after_seconds=given.fence_after_seconds,
        lease_duration_seconds=given.lease_duration_seconds,
        heartbeat_secret=given.heartbeat_secret,
        has_speakers=not given.no_speakers,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await Client.connect(
        given.kubeconfig, user_agent="berth-allocator", max_connections=72, metrics=metrics.kube
    ) as client:
        controller = Controller(client, options, metrics)
        # A standby is ready as well: it could lead at once.
        listener = Listener(
            why_not_ready=controller.why_not_ready,
            metrics=lambda: metrics.page(controller.snapshot()),
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(controller.run())]
            if (listening := listening_of(given)).is_wanted:
                running.append(tasks.create_task(listener.serve(listening, client)))
            await stop.wait()
            for task in running:
                task.cancel()


def main() -> int:
    """The program; returns its exit code: 2 when there is no way to the API server, or no port to listen on."""
    given = parse_arguments()
    configure_logs(given.log_format, given.log_level)
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        asyncio.run(run(given))
    except CredentialsError as error:
        structlog.get_logger().error("no way to the API server: see --kubeconfig", error=str(error))
        return 2
    except Exception as error:
        if (fault := cannot_listen(error)) is None:
            raise
        structlog.get_logger().error(str(fault))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
