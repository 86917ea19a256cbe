"""`python -m speaker`: arguments, logging and signals of one node's speaker. The work is in speaker.io.supervisor."""

import argparse
import asyncio
import gc
import os
import re
import signal
import sys
import uuid
from pathlib import Path

import structlog

from crds.names import DEFAULT_NAMESPACE, LABEL_EXCLUDE_NODE
from kube.config.io.credentials import CredentialsError
from kube.io.client import Client
from kube.process.io.logs import configure_logs
from kube.process.listening import add_arguments, cannot_listen, listening_of
from speaker.io.agent import NoGoodbye
from speaker.io.metrics import SpeakerMetrics
from speaker.io.supervisor import EXCLUDED_INTERFACES, Surroundings, run_speaker
from speaker.members.heartbeats import HeartbeatOptions
from speaker.options import Options

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression of the command line. Raises ArgumentTypeError, which argparse tells in a line."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="speaker", description="Announces addresses of Services from this node.")
    parser.add_argument("--kubeconfig", help="default: the pod's service account")
    parser.add_argument("--node-name", default=os.environ.get("NODE_NAME", ""), help="default: $NODE_NAME")
    parser.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", DEFAULT_NAMESPACE))
    parser.add_argument("--lease-duration-seconds", type=int, default=Options.lease_duration_seconds)
    parser.add_argument("--renew-seconds", type=float, default=Options.renew_seconds)
    parser.add_argument("--fence-after-seconds", type=int, default=Options.fence_after_seconds)
    parser.add_argument("--failback-after-seconds", type=float, default=Options.failback_seconds)
    parser.add_argument("--bgp-drain-seconds", type=float, default=Options.bgp_drain_seconds)
    parser.add_argument("--no-blackhole-routes", action="store_true", help="for aggregates that BGP advertises")
    parser.add_argument(
        "--heartbeat-key-dir", default=HeartbeatOptions.key_directory, metavar="DIRECTORY", help="empty: no heartbeats"
    )
    parser.add_argument("--heartbeat-port", type=int, default=HeartbeatOptions.port, help="UDP, the same on all nodes")
    parser.add_argument("--heartbeat-interval-milliseconds", type=int, default=HeartbeatOptions.interval_milliseconds)
    parser.add_argument("--exclude-interfaces", default=EXCLUDED_INTERFACES, type=pattern, metavar="REGEX")
    parser.add_argument("--extra-exclude-interfaces", type=pattern, metavar="REGEX", help="besides these")
    parser.add_argument(
        "--ignore-exclude-label", action="store_true", help=f"announce also where the Node has {LABEL_EXCLUDE_NODE}"
    )
    parser.add_argument(
        "--drain-when-cordoned", action="store_true", help="take a cordoned Node for one that is drained"
    )
    parser.add_argument("--kernel-answers", choices=("auto", "off"), default="off", help="ARP and NDP, where it can")
    add_arguments(parser, metrics="127.0.0.1:7482")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    given = parser.parse_args()
    given.options = Options(
        node=given.node_name,
        incarnation=str(uuid.uuid4()),
        namespace=given.namespace,
        lease_duration_seconds=given.lease_duration_seconds,
        renew_seconds=given.renew_seconds,
        fence_after_seconds=given.fence_after_seconds,
        failback_seconds=given.failback_after_seconds,
        bgp_drain_seconds=given.bgp_drain_seconds,
        has_blackhole_routes=not given.no_blackhole_routes,
        ignores_exclude_label=given.ignore_exclude_label,
        drains_when_cordoned=given.drain_when_cordoned,
        boot_id=BOOT_ID.read_text().strip(),
        heartbeats=HeartbeatOptions(
            given.heartbeat_key_dir, given.heartbeat_port, given.heartbeat_interval_milliseconds
        ),
    )
    if fault := given.options.fault():
        parser.error(fault)
    return given


def is_no_more_than(error: Exception, kind: type[Exception]) -> bool:
    """Whether it is one of these, or a group of these alone."""
    return error.split(kind)[1] is None if isinstance(error, ExceptionGroup) else isinstance(error, kind)


def excluded(given: argparse.Namespace) -> str:
    """One expression for all interfaces that are not to be used."""
    extra: re.Pattern[str] | None = given.extra_exclude_interfaces
    pattern: str = given.exclude_interfaces.pattern
    return pattern if extra is None else "|".join(f"(?:{one})" for one in (pattern, extra.pattern) if one)


async def run(given: argparse.Namespace) -> None:
    stop, metrics = asyncio.Event(), SpeakerMetrics()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    surroundings = Surroundings(excluded(given), listening_of(given), given.kernel_answers)
    async with await Client.connect(given.kubeconfig, user_agent="berth-speaker", metrics=metrics.kube) as client:
        await run_speaker(client, given.options, surroundings, metrics, stop)


def main() -> int:
    given = parse_arguments()
    configure_logs(given.log_format, given.log_level)
    gc.freeze()  # what the imports made is never garbage
    try:
        asyncio.run(run(given))
    except CredentialsError as error:
        structlog.get_logger().error("no way to the API server: see --kubeconfig", error=str(error))
        return 2
    except Exception as error:
        if (fault := cannot_listen(error)) is not None:
            structlog.get_logger().error(str(fault))
            return 2
        if is_no_more_than(error, NoGoodbye):
            return 1  # the log has it
        structlog.get_logger().exception("the speaker ends; its addresses are silent")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
