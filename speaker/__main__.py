"""`python -m speaker`: the speaker of one node. Reads arguments and signals; speaker.supervisor runs it."""

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
import uuid

import structlog
from prometheus_client import CollectorRegistry

from crds.names import DEFAULT_NAMESPACE
from kube.client import Client
from speaker.agent import Options
from speaker.metrics import SpeakerMetrics
from speaker.supervisor import run_speaker

EXCLUDED = (
    "lo|(docker|br-[0-9a-f]{12}|cbr|virbr|lxc|lxdbr|dummy|veth|tun|vxlan|wg|"
    "cali|cilium|cni|flannel|kube-|nodelocaldns|ovn).*"
)
"""Bridges and virtual interfaces of containers and overlays: nobody outside the node could hear ARP there."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="speaker", description="Announces addresses of Services from this node.")
    parser.add_argument("--kubeconfig", help="default: the pod's service account")
    parser.add_argument("--node-name", default=os.environ.get("NODE_NAME", ""), help="default: $NODE_NAME")
    parser.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", DEFAULT_NAMESPACE))
    parser.add_argument("--lease-duration-seconds", type=int, default=6)
    parser.add_argument("--renew-seconds", type=float, default=2.0)
    parser.add_argument("--fence-after-seconds", type=int, default=60)
    parser.add_argument("--exclude-interfaces", default=EXCLUDED, metavar="REGEX", help="whole names, never used")
    parser.add_argument("--metrics-listen", default="127.0.0.1:7482", metavar="HOST:PORT", help="empty: none")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    given = parser.parse_args()
    if not given.node_name:
        parser.error("--node-name or $NODE_NAME is needed: whose speaker is this?")
    if not 0 < given.renew_seconds <= given.lease_duration_seconds / 3 or given.fence_after_seconds < 10:
        parser.error("a lease takes three renewals, and a fence at least 10 seconds")
    try:
        re.compile(given.exclude_interfaces)
    except re.error as error:
        parser.error(f"--exclude-interfaces: {error}")
    return given


def configure_logs(style: str, level: str) -> None:
    renderer = structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


async def run(given: argparse.Namespace) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = SpeakerMetrics(CollectorRegistry())
    options = Options(
        node=given.node_name,
        incarnation=str(uuid.uuid4()),
        namespace=given.namespace,
        lease_duration_seconds=given.lease_duration_seconds,
        renew_seconds=given.renew_seconds,
        fence_after_seconds=given.fence_after_seconds,
    )
    host, _, port = given.metrics_listen.rpartition(":")
    async with await Client.connect(given.kubeconfig, user_agent="berth-speaker", metrics=metrics) as client:
        await run_speaker(
            client,
            options,
            metrics,
            stop,
            exclude_interfaces=given.exclude_interfaces,
            listen=(host.strip("[]"), int(port)) if port else None,
        )


def main() -> int:
    given = arguments()
    configure_logs(given.log_format, given.log_level)
    try:
        asyncio.run(run(given))
    except Exception:
        structlog.get_logger().exception("the speaker ends; its addresses are silent")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
