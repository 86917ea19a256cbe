"""The `berth` command: reads the command line and hands over to one module for each subcommand.

Does nothing itself, and imports the module of the subcommand that was named and of no other: a start-up costs what is
used. Exit codes are in docs/cli.md: 2 = wrong usage, or it could not be done, and one line says why.
"""

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Container, Sequence
from pathlib import Path

from cli.failure import Failed

LAB = "lab.command"
"""The module of the subcommand `lab`, which is in the distribution berth-lab."""

COMMANDS = {
    "status": ("cli.status.command", "what is wrong; allocators, speakers, pools, addresses and peers"),
    "explain": ("cli.explain.command", "why a Service, an address, a node or a pool is as it is"),
    "check": ("cli.check.command", "whether a cluster, or files, are fit for Berth"),
    "migrate": ("cli.migrate.command", "from another load balancer to Berth"),
    "l2": ("cli.listing:add_l2", "who owns which address on layer 2"),
    "bgp": ("cli.listing:add_bgp", "BGP sessions and routes, node by node"),
    "move": ("cli.move.command", "move a Service to another address, pool or node"),
    "drain": ("cli.drain.command", "move addresses and routes off a node before maintenance"),
    "undrain": ("cli.drain.command:add_undrain", "let a drained node announce again"),
    "url": ("cli.listing:add_url", "where clients reach a Service, one URL a line"),
    "capture": ("cli.capture.command", "one file with all that is needed to look for a fault"),
    "uninstall": ("cli.uninstall.command", "whether Berth may go, and letting go of what it left behind"),
    "completion": ("cli.completion", "print what makes a shell complete this command"),
    "version": ("cli.version", "print the version of this command"),
    "arping": ("cli.arping", "who answers for an address on this segment"),
    "lab": (LAB, "a cluster on this machine, to try Berth and to test it"),
}
"""By name: the module, with the function that puts it on the command line where that is not `add_command`; and one line
of help."""

EPILOG = """\
examples:
  berth status                      what is wrong in the cluster
  berth explain svc/web             why the Service is reachable, or not
  berth arping 192.0.2.10           who answers for the address on this segment
  berth lab up                      a cluster on this machine

`berth COMMAND --help` has the flags and examples of each. The same command is `kubectl berth`.
"""
COLLECT_AFTER = 2_000_000
"""So many new objects. What is imported and what is read of a cluster stays: to look for rubbish in it takes a fifth of
an import, and a tenth of a list."""
INTERRUPTED = 130
FAILED = 2


def parser(named: str | None = None) -> argparse.ArgumentParser:
    """The whole command line, with the flags of the subcommand `named` alone."""
    return _parser({named} if named is not None else set())


def whole_parser() -> argparse.ArgumentParser:
    """With the flags of all of them."""
    return _parser(COMMANDS)


def _parser(loaded: Container[str]) -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog=_program(),
        description="Berth gives Kubernetes Services of type LoadBalancer an IP address on bare metal.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="store_true", help="print the version of this command")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name, (module, text) in COMMANDS.items():
        if name not in loaded:
            commands.add_parser(name, help=text, add_help=False)
        elif module == LAB:
            _add_lab(commands)
        else:
            _add(commands, module)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    gc.set_threshold(COLLECT_AFTER)
    given = list(sys.argv[1:] if arguments is None else arguments)
    named = next((one for one in given if not one.startswith("-")), None)
    top = parser(named)
    options = top.parse_args(given)
    if options.version:
        options = parser("version").parse_args(["version"])
    elif options.command is None:
        top.print_help()
        return 0
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except Failed as failed:
        print(f"berth: {failed}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read it has seen enough
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def _add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", place: str) -> None:
    """`place`: as in COMMANDS."""
    module, _, function = place.partition(":")
    getattr(importlib.import_module(module), function or "add_command")(commands)


def _program() -> str:
    """As it was called: kubectl calls a plugin by the name of its file."""
    return "kubectl berth" if Path(sys.argv[0]).name == "kubectl-berth" else "berth"


def _add_lab(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`lab` and what is below it; where berth-lab is not installed, a command that says so."""
    try:
        importlib.import_module(LAB).add_commands(commands)
    except ModuleNotFoundError as missing:
        if missing.name not in (LAB, LAB.partition(".")[0]):
            raise
        text = "a cluster on this machine (not installed: berth-lab)"
        absent = commands.add_parser(
            "lab", help=text, add_help=False, prefix_chars="\0"
        )  # so that all is taken as it is
        absent.add_argument("arguments", nargs="*")
        absent.set_defaults(run=_lab_is_absent)


def _lab_is_absent(options: argparse.Namespace) -> int:
    from cli.version import version

    print(
        f"berth: the lab is a package of its own: pip install berth-lab=={version()}, or from Berth's "
        "repository: pip install . ./packages/lab",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
