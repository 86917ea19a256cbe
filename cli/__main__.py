"""The `berth` command: reads the command line and hands over to one module for each subcommand.

Does nothing itself. Exit codes: 0 = done, 1 = could not be done (the message says why), 2 = wrong usage; `lab exec` and
`lab kubectl` end with the code of what they ran, `arping` with what it found.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from cli import arping, lab


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
    lab.add_commands(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    options = parser().parse_args(arguments)
    code: int = options.run(options)
    return code


def _version(options: argparse.Namespace) -> int:
    print(f"berth {version('berth')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
