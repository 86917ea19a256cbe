"""`berth status`: reads the cluster, once or again and again, and prints its state."""

import argparse
import sys
from typing import TYPE_CHECKING

from cli.options import CODES, FORMATS, WELL, WRONG, cluster_options

if TYPE_CHECKING:
    from cli.seen import World
    from cli.status.state import State

EVERY_SECONDS = 2.0
EXAMPLES = """\
examples:
  berth status                 what is wrong first, then how much of each there is
  berth status -w              again every 2 seconds
  berth status -o json | jq .wrong
  berth status -o html > status.html     one page, with a picture: who announces what
"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `status` on the command line."""
    command = commands.add_parser(
        "status",
        parents=[cluster_options(namespace=False, formats=(*FORMATS, "html"))],
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
            world = World(await read_cluster(client, options.berth_namespace))
            state = state_of(world)
            _show(state, world, options)
            if not options.watch:
                return WRONG if state.wrong else WELL
            await asyncio.sleep(EVERY_SECONDS)

    return with_client(options, work)


def _show(state: "State", world: "World", options: argparse.Namespace) -> None:
    if options.watch and sys.stdout.isatty():
        sys.stdout.write("\x1b[H\x1b[J")
    sys.stdout.write(_text(state, world, options.output))
    sys.stdout.flush()


def _text(state: "State", world: "World", output: str) -> str:
    if output == "html":
        from cli.status.page import page

        return page(state, world)
    from cli.printing import structured
    from cli.status.print import rendered

    return rendered(state) if output == "table" else structured(state.to_wire(), output) + "\n"
