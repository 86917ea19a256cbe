"""`berth status`: reads the cluster, once or again and again, and prints its state."""

import argparse
import sys
from typing import TYPE_CHECKING

from cli.options import CODES, WELL, WRONG, cluster_options

if TYPE_CHECKING:
    from cli.status.state import State

EVERY_SECONDS = 2.0
EXAMPLES = """\
examples:
  berth status                 what is wrong first, then how much of each there is
  berth status -w              again every 2 seconds
  berth status -o json | jq .wrong
"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `status` on the command line."""
    command = commands.add_parser(
        "status",
        parents=[cluster_options(namespace=False)],
        help="what is wrong; allocators, speakers, pools, addresses and peers",
        description="Say what is wrong first, then how many allocators, speakers, addresses and peers there are.",
        epilog=f"{EXAMPLES}\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("-w", "--watch", action="store_true", help=f"again every {EVERY_SECONDS:.0f} seconds")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print it; gives the exit code of what was printed last."""
    import asyncio

    from cli.reading import read_cluster, with_client
    from cli.seen import World
    from cli.status.state import state_of
    from kube.io.client import Client

    async def work(client: Client) -> int:
        while True:
            state = state_of(World(await read_cluster(client, options.berth_namespace)))
            _show(state, options)
            if not options.watch:
                return WRONG if state.wrong else WELL
            await asyncio.sleep(EVERY_SECONDS)

    return with_client(options, work)


def _show(state: "State", options: argparse.Namespace) -> None:
    from cli.printing import structured
    from cli.status.print import rendered

    if options.watch and sys.stdout.isatty():
        sys.stdout.write("\x1b[H\x1b[J")
    text = rendered(state) if options.output == "table" else structured(state.to_wire(), options.output) + "\n"
    sys.stdout.write(text)
    sys.stdout.flush()
