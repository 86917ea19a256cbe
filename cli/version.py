"""`berth version`: what is installed."""

import argparse


def version() -> str:
    """Of the distribution `berth`."""
    from importlib import metadata  # on use: it takes 30 ms

    return metadata.version("berth")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `version` on the command line."""
    shown = commands.add_parser("version", help="print the version of this command")
    shown.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    print(f"berth {version()}")
    return 0
