"""`berth check`: reads the cluster, or files, and prints what is amiss, with codes."""

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cli.failure import Failed
from cli.options import WELL, WRONG, cluster_options
from cli.waiting import Look, add_wait, wait

if TYPE_CHECKING:
    from cli.check.codes import Found
    from kube.io.client import Client

EXAMPLES = """\
examples:
  berth check                  a cluster with Berth
  berth check --pre            a cluster before Berth is installed
  berth check --wait           after an installation: until there is no error any more, for 2 minutes at most
  berth check -f pools.yaml    files alone, as in CI: no cluster is asked

exit codes: 0 = nothing, or warnings only; 1 = errors, with --wait when the time is over; 2 = it could not be told (or
wrong usage)
docs/checks.md explains each code.
"""

EVERY_SECONDS = 2.0
MOST_NAMED = 4
"""Errors that the progress of --wait names; it counts the rest."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `check` on the command line."""
    command = commands.add_parser(
        "check",
        parents=[cluster_options(namespace=False)],
        help="whether a cluster, or files, are fit for Berth",
        description="Check a cluster before or after Berth is installed, or files with Berth's objects.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--pre", action="store_true", help="before Berth is installed")
    command.add_argument("-f", "--files", nargs="+", metavar="FILE", help="these files, and no cluster")
    add_wait(command, "there are no errors any more", "2m")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check it; gives the exit code."""
    for flag, is_given in (("--pre", options.pre), ("--wait", options.wait)):
        if options.files and is_given:
            raise Failed(f"{flag} asks a cluster, and --files asks none: name one of the two")
    found = _of_files(options.files) if options.files else _of_cluster(options)
    _show(found, options.output)
    return WRONG if errors(found) else WELL


def errors(found: Iterable["Found"]) -> list["Found"]:
    """Those of them that are no warnings."""
    from cli.check.codes import Severity

    return [one for one in found if one.code.severity is Severity.ERROR]


def _of_files(files: list[str]) -> list["Found"]:
    from cli.check.files import read_files
    from cli.check.rules import of_objects
    from cli.seen import World

    seen, found = read_files(files)
    return [*found, *of_objects(World(seen))]


def _of_cluster(options: argparse.Namespace) -> list["Found"]:
    from cli.reading import with_client

    most = options.timeout if options.wait else None
    return with_client(options, lambda client: checked(client, options.berth_namespace, options.pre, most))


async def checked(client: "Client", namespace: str, is_before: bool, most: float | None) -> list["Found"]:
    """What is amiss; with `most`, seconds, not before there are no errors, or that time is over. Raises ApiError."""
    from cli.check.read import check_cluster

    found: list[Found] = []

    async def look() -> Look:
        found.clear()
        found[:] = await check_cluster(client, namespace, is_before=is_before)
        wrong = errors(found)
        return Look(not wrong, f"{len(wrong)} {'error' if len(wrong) == 1 else 'errors'}: {_named(wrong)}")

    if most is None:
        await look()
    elif not (last := await wait(look, most, EVERY_SECONDS)).is_done and not found:
        raise Failed(f"{last.text}. Is the kubeconfig the right one?")
    return found


def _named(found: Iterable["Found"]) -> str:
    from crds.wording import listed

    return listed(list(dict.fromkeys(f"{one.code.number} {one.about}".rstrip() for one in found)), MOST_NAMED)


def _show(found: Iterable["Found"], output: str) -> None:
    from cli.printing import GREEN, RED, YELLOW, coloured, structured

    rows = [
        {"code": one.code.number, "severity": one.code.severity.value, "about": one.about, "message": one.message}
        for one in found
    ]
    if output != "table":
        print(structured(rows, output))
        return
    for row in rows:
        colour = RED if row["severity"] == "error" else YELLOW
        about = f" {row['about']}:" if row["about"] else ""
        print(f"{coloured(row['code'], colour)} {row['severity']}:{about} {row['message']}")
    if not rows:
        print(coloured("Nothing is amiss.", GREEN))
