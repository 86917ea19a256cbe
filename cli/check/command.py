"""`berth check`: reads the cluster, or files, and prints what is amiss, with codes."""

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cli.options import WELL, WRONG, cluster_options

if TYPE_CHECKING:
    from cli.check.codes import Found

EXAMPLES = """\
examples:
  berth check                  a cluster with Berth
  berth check --pre            a cluster before Berth is installed
  berth check -f pools.yaml    files alone, as in CI: no cluster is asked

exit codes: 0 = nothing, or warnings only; 1 = errors; 2 = it could not be told (or wrong usage)
docs/checks.md explains each code.
"""


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
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check it; gives the exit code."""
    from cli.check.codes import Severity
    from cli.check.files import read_files
    from cli.check.rules import of_objects
    from cli.seen import World

    if options.files and options.pre:
        from cli.failure import Failed

        raise Failed("--pre asks a cluster, and --files asks none: name one of the two")
    if options.files:
        seen, found = read_files(options.files)
        found += of_objects(World(seen))
    else:
        from cli.check.read import check_cluster
        from cli.reading import with_client

        found = with_client(
            options, lambda client: check_cluster(client, options.berth_namespace, is_before=options.pre)
        )
    _show(found, options.output)
    return WRONG if any(one.code.severity is Severity.ERROR for one in found) else WELL


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
