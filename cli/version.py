"""`berth version`: what is installed."""

import argparse

VERSION = "0.1.0"
"""Written by tools/version."""


def version() -> str:
    """Of the distribution `berth`, as its metadata says; to ask these takes a fifth of a start-up."""
    return VERSION


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `version` on the command line."""
    shown = commands.add_parser("version", help="print the version of this command")
    shown.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    print(f"berth {version()}")
    return 0
