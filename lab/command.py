"""`berth lab`: a cluster on this machine, by hand. The command `berth` finds it here when berth-lab is installed.

Starts the lab's supervisor in the background, and leads commands into the lab by what it recorded. Makes no namespace
and starts no part of the lab itself.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from lab.kubectl import Kubectl, kubectl_path
from lab.net.netns import HUB, Unsupported, lab_environment
from lab.net.shapes import Shape
from lab.record import MARKER_VARIABLE, Record, lab_directory, members, process_state, sweep
from lab.routers.base import ROUTERS
from lab.waiting import WaitExpired, wait_for

UP_SECONDS = 180.0
DOWN_SECONDS = 45.0
LOG_FILE = "supervisor.log"
HUB_NAME = "hub"
COMPANION_VARIABLE = "BERTH_LAB_WITH"
"""The process that a lab ends with, when --with says nothing: set by whoever starts labs in scripts or tests."""

DESCRIPTION = """\
A cluster on this machine, for trying Berth and for finding faults: nodes, a client and a router as network
namespaces on one bridge, an API server, Berth's own processes, and a pod with a backend on each node.
Nothing is added to the machine's own network. As an ordinary user it runs in a user namespace.

    berth lab up
    berth lab kubectl apply -f my-service.yaml
    berth lab exec client -- curl http://172.30.0.200/
    berth lab exec client -- berth arping 172.30.0.200
    berth lab down
"""


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `lab` and what is below it on the command line."""
    text = {"description": DESCRIPTION, "formatter_class": argparse.RawDescriptionHelpFormatter}
    top = commands.add_parser("lab", help="a cluster on this machine, to try Berth and to test it", **text)  # type: ignore[arg-type]
    usual = os.environ.get("BERTH_LAB") or "lab"
    which = "which lab, when there are several (default: $BERTH_LAB, or lab)"
    top.add_argument("--name", default=usual, help=which)
    name = argparse.ArgumentParser(add_help=False)
    name.add_argument("--name", default=argparse.SUPPRESS, help=which)
    actions = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    up = actions.add_parser("up", help="start a lab in the background", parents=[name])
    up.add_argument("--nodes", type=int, default=3, metavar="N", help="how many nodes (default: %(default)s)")
    up.add_argument(
        "--topology", choices=list(Shape), default=Shape.FLAT, help="what its network looks like (default: %(default)s)"
    )
    up.add_argument("--router", choices=ROUTERS, help="run a real one on the host `router`, for BGP")
    up.add_argument("--rootless", action="store_true", help="in a user namespace, even as root")
    up.add_argument(
        "--without-berth", action="store_true", help="leave out the allocators, the speakers and their CRDs"
    )
    up.add_argument(
        "--image", type=Path, metavar="ARCHIVE", help="run Berth's programs from this image, an OCI archive or layout"
    )
    up.add_argument(
        "--with",
        dest="companion",
        type=int,
        metavar="PID",
        default=os.environ.get(COMPANION_VARIABLE) or None,
        help=f"end it when that process ends, however it does (default: ${COMPANION_VARIABLE}, or until down)",
    )
    up.set_defaults(run=_up)

    down = actions.add_parser("down", help="end it, and clear up after one that was killed", parents=[name])
    down.set_defaults(run=_down)

    status = actions.add_parser("status", help="hosts, addresses, processes and their logs", parents=[name])
    status.set_defaults(run=_status)

    execute = actions.add_parser(
        "exec", help="run a command on one of its hosts", usage="berth lab exec HOST -- COMMAND", parents=[name]
    )
    execute.add_argument("host", metavar="HOST", help="node1, client, router, pod1, hub, ...")
    execute.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER)
    execute.set_defaults(run=_exec)

    kubectl = actions.add_parser(
        "kubectl", help="kubectl, as the lab's administrator", add_help=False, prefix_chars="\0"
    )  # no option is ours: all is taken as it is
    kubectl.add_argument("arguments", nargs=argparse.REMAINDER)
    kubectl.set_defaults(run=_kubectl)


def _up(options: argparse.Namespace) -> int:
    try:
        directory = lab_directory(options.name)
        if (record := Record.load(directory)) is not None:
            if record.is_alive:
                return _fail(f"lab {options.name} is up already")
            _clear_up(directory, record)
        directory.mkdir(mode=0o700)
        return _start(directory, options)
    except (Unsupported, FileExistsError) as refused:
        return _fail(str(refused))


def _start(directory: Path, options: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "lab.supervisor", f"--directory={directory}", f"--name={options.name}"]
    command += [f"--nodes={options.nodes}", f"--topology={options.topology}"]
    command += [f"--router={options.router}"] * bool(options.router)
    command += [f"--with={options.companion}"] * bool(options.companion)
    command += [f"--image={options.image.resolve()}"] if options.image else []
    command += ["--rootless"] * options.rootless + ["--without-berth"] * options.without_berth
    log_path = directory / LOG_FILE
    with log_path.open("wb") as log:
        supervisor = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    shown = 0
    deadline = time.monotonic() + UP_SECONDS
    while time.monotonic() < deadline:
        lines = whole_lines(log_path.read_text())
        for line in lines[shown:]:
            if line == "ready\n":
                print(f"\nThe lab is up. Logs and keys: {directory}")
                print(f"export KUBECONFIG={directory / 'admin.kubeconfig'}")
                return 0
            sys.stdout.write(line)
        shown = len(lines)
        sys.stdout.flush()
        if supervisor.poll() is not None:
            return _fail(f"it did not come up; what it left is in {directory}")
        time.sleep(0.1)
    supervisor.terminate()
    return _fail(f"it did not come up in {UP_SECONDS:g} s; see {log_path}")


def whole_lines(text: str) -> list[str]:
    """With their ends. The last one may still be under way: a part of it that is shown would hide the rest."""
    return text[: text.rfind("\n") + 1].splitlines(keepends=True)


def _down(options: argparse.Namespace) -> int:
    directory = lab_directory(options.name)
    record = Record.load(directory)
    if record is None:
        print(f"there is no lab {options.name}")
        return 0
    if record.is_alive:
        os.kill(record.owner_pid, signal.SIGTERM)
        try:
            wait_for("the lab ends", lambda: not record.is_alive, timeout_seconds=DOWN_SECONDS)
        except WaitExpired as late:
            print(f"berth: {late}; it is killed", file=sys.stderr)
    _clear_up(directory, record)
    print(f"lab {options.name} is down")
    return 0


def _clear_up(directory: Path, record: Record) -> None:
    killed = sweep(record.marker)
    if killed:
        print(f"{killed} processes were left and have been killed")
    if any(True for _ in members(record.marker)):
        raise Unsupported(f"processes of lab {record.name} can't be killed; is one of them another user's?")
    shutil.rmtree(directory)


def _status(options: argparse.Namespace) -> int:
    directory = lab_directory(options.name)
    record = Record.load(directory)
    if record is None:
        return _fail(f"there is no lab {options.name}: berth lab up")
    if not record.is_alive:
        return _fail(f"lab {options.name} was killed: berth lab down clears up after it")
    state = "up" if record.ready else "coming up"
    print(f"lab {record.name}: {state}{', rootless' if record.rootless else ''}, {directory}\n")
    print(_table(["HOST", "ADDRESSES"], [[h.name, " ".join(h.addresses)] for h in record.hosts]))
    processes = [[p.name, p.host, str(p.pid), process_state(p.pid), p.log] for p in record.processes]
    print()
    print(_table(["PROCESS", "HOST", "PID", "STATE", "LOG"], processes))
    return 0


def _exec(options: argparse.Namespace) -> int:
    record = _running(options.name)
    if record is None:
        return 1
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        return _fail("no command: berth lab exec HOST -- COMMAND", code=2)
    known = [host.name for host in record.hosts]
    if options.host not in known:
        return _fail(f"no host {options.host}; there are {', '.join(known)}", code=2)
    enter = record.namespaces.enter(HUB if options.host == HUB_NAME else options.host)
    inside = lab_directory(options.name) / "inside.kubeconfig"
    environment = lab_environment({MARKER_VARIABLE: record.marker, "KUBECONFIG": str(inside)})
    environment["PATH"] += os.pathsep + str(Path(sys.executable).parent)  # where `berth` itself is
    return _become([*enter, "env", f"--chdir={Path.cwd()}", *command], environment)


def _kubectl(options: argparse.Namespace) -> int:
    if _running(options.name) is None:
        return 1
    kubectl = Kubectl(lab_directory(options.name) / "admin.kubeconfig")
    return _become([kubectl_path(), *options.arguments], kubectl.environment())


def _running(name: str) -> Record | None:
    record = Record.load(lab_directory(name))
    if record is not None and record.is_alive:
        return record
    _fail(f"there is no lab {name}: berth lab up")
    return None


def _become(argv: list[str], environment: dict[str, str]) -> NoReturn:
    """Replace this process, so that terminals, signals and exit codes are the command's own."""
    os.execvpe(argv[0], argv, environment)


def _table(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows])
    return "\n".join(line.rstrip() for line in lines)


def _fail(message: str, *, code: int = 1) -> int:
    print(f"berth: {message}", file=sys.stderr)
    return code
