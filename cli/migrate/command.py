"""`berth migrate metallb`: reads flags, and hands over to the conversion, the check or the takeover."""

import argparse
import sys
from typing import TYPE_CHECKING

from cli.options import WELL, WRONG, cluster_options

if TYPE_CHECKING:
    from cli.migrate.told import Converted

EXAMPLES = """\
examples:
  berth migrate metallb                        what the cluster's MetalLB would be in Berth, as YAML
  berth migrate metallb -f metallb/ -f -       the same of files, folders and standard input; no cluster is asked

exit codes: 0 = all of it; 1 = something has no equivalent, and why is said; 2 = it could not be done (or wrong usage)
docs/migrate.md has the whole way.
"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `migrate` on the command line, and what is below it."""
    migrate = commands.add_parser(
        "migrate",
        help="from another load balancer to Berth",
        description="From another load balancer to Berth, with all addresses of Services.",
    )
    sources = migrate.add_subparsers(metavar="FROM", dest="source", required=True)
    command = sources.add_parser(
        "metallb",
        parents=[cluster_options(formats=False, namespace=False)],
        help="from MetalLB",
        description="Convert MetalLB's configuration, and take its Services over.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "-f", "--files", action="append", metavar="FILE", help="a file, a folder, or - ; no cluster is asked"
    )
    command.add_argument("--skip", action="store_true", help="leave out what has no equivalent, and go on")
    command.add_argument("--paused", action="store_true", help="have the pools give out nothing new yet")
    command.add_argument(
        "--metallb-namespace", metavar="NS", default="metallb-system", help="where MetalLB runs (default: %(default)s)"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; gives the exit code."""
    converted = _from_files(options) if options.files else _from_cluster(options)
    return _print(converted, options)


def _from_files(options: argparse.Namespace) -> "Converted":
    from cli.migrate.convert import convert
    from cli.migrate.documents import read_documents
    from cli.migrate.read import decoded_services, shared_by_several

    objects = read_documents(options.files)
    return convert(objects, shared_by_several(decoded_services(objects)))


def _from_cluster(options: argparse.Namespace) -> "Converted":
    from cli.migrate.convert import convert
    from cli.migrate.read import read_metallb, read_services, shared_by_several
    from cli.reading import with_client
    from kube.io.client import Client

    async def read(client: Client) -> "Converted":
        objects = await read_metallb(client, options.metallb_namespace)
        return convert(objects, shared_by_several(await read_services(client)))

    return with_client(options, read)


def _print(converted: "Converted", options: argparse.Namespace) -> int:
    from cli.migrate.documents import written

    for one in converted.refused:
        print(f"{'left out' if options.skip else 'no equivalent'}: {one}", file=sys.stderr)
    if converted.refused and not options.skip:
        print("Nothing was written: change these objects, or leave them out with --skip", file=sys.stderr)
        return WRONG
    print(written(converted, is_paused=options.paused), end="")
    return WELL
