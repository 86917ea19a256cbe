"""The `berth` command: reads the command line and hands over to one module for each subcommand.

Does nothing itself. Exit codes: 0 = done, 1 = could not be done (the message says why), 2 = wrong usage; `lab exec` and
`lab kubectl` end with the code of what they ran, `arping` with what it found.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import version

from cli import arping

LAB = "lab.command"
"""The module of the subcommand `lab`, which is in the distribution berth-lab."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="berth",
        description="Berth gives Kubernetes Services of type LoadBalancer an IP address on bare metal.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    shown = commands.add_parser("version", help="print the version of this command")
    shown.set_defaults(run=_version)
    arping.add_command(commands)
    _add_lab(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    options = parser().parse_args(arguments)
    code: int = options.run(options)
    return code


def _version(options: argparse.Namespace) -> int:
    print(f"berth {version('berth')}")
    return 0


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
    print(
        f"berth: the lab is a package of its own: pip install berth-lab=={version('berth')}, or from Berth's "
        "repository: pip install . ./packages/lab",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
