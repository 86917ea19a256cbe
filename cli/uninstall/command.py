"""`berth uninstall`: says whether the chart may go; with --release, lets go of what it left behind."""

import argparse
from typing import TYPE_CHECKING

from cli.failure import Failed
from cli.options import WELL, WRONG, cluster_options

if TYPE_CHECKING:
    from allocator.ownership import Ownership
    from cli.seen import World
    from cli.uninstall.judge import Held
    from kube.io.client import Client

EXAMPLES = """\
examples:
  berth uninstall               before helm uninstall: whether any Service has an address of Berth's still
  berth uninstall --release     when Berth is gone: takes its finalizer, addresses and conditions off what it left, and
                                deletes its records

exit codes: 0 = nothing is held, or all was let go; 1 = something is held, and the output says what; 2 = refused, and
nothing was changed (or wrong usage)
"""
MOST_TOLD = 20


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `uninstall` on the command line."""
    command = commands.add_parser(
        "uninstall",
        parents=[cluster_options(namespace=False, formats=())],
        help="whether Berth may go, and letting go of what it left behind",
        description="Before Berth is removed: what it holds. After that: let it go.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--release", action="store_true", help="let go of it; refused while anything of Berth runs")
    command.add_argument("--finalizer", metavar="NAME", help="where the chart's value is another one than by default")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Gives the exit code. Raises Failed."""
    from cli.reading import with_client

    return with_client(options, lambda client: uninstalled(client, options))


async def uninstalled(client: "Client", options: argparse.Namespace) -> int:
    """Of `options`: berth_namespace, release, finalizer. Raises Failed, ApiError."""
    from allocator.options import Options
    from allocator.ownership import Ownership
    from cli.reading import read_cluster
    from cli.seen import World
    from cli.uninstall.judge import held

    ownership = Ownership(None, options.finalizer or Options.finalizer, Options.former_finalizers)
    world = World(await read_cluster(client, options.berth_namespace))
    _refuse_guesses(world, is_release=options.release)
    found = held(world, ownership)
    if options.release:
        return await _release(client, world, ownership, found)
    records = len(world.seen.observed.allocations)
    if not found and not records:
        print("Nothing is held: Berth may go.")
        return WELL
    _tell(found, records)
    return WRONG


def _counted(number: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{number} {what if number == 1 else plural}"


def _refuse_guesses(world: "World", *, is_release: bool) -> None:
    """Without definitions there are no records and no Speakers, and nothing that could be read of them."""
    needed = {"services", "ipallocations.berth.dev", "speakers.berth.dev"}
    gaps = [gap for gap in world.seen.gaps if gap.resource in needed and not gap.is_unknown]
    if gaps:
        raise Failed(f"it can't be told what is held without reading these: {'; '.join(map(str, gaps))}")
    if is_release and any(gap.resource == "speakers.berth.dev" for gap in world.seen.gaps):
        print("note: the definitions are gone, so it can't be told whether speakers run: look at the pods yourself")


def _tell(found: "list[Held]", records: int) -> None:
    print(
        f"Berth holds {_counted(len(found), 'Service')}, and {_counted(records, 'address')} in use or being released:"
    )
    for one in found[:MOST_TOLD]:
        print(f"  {one}")
    if len(found) > MOST_TOLD:
        print(f"  and {len(found) - MOST_TOLD} more")
    print(
        "Delete these Services, or change their type, and wait until there are no records any more:\n"
        "  kubectl get ipallocations.berth.dev\n"
        "Where Berth goes before that, no node announces their addresses any more, and a deleted Service hangs in\n"
        "Terminating until somebody runs: berth uninstall --release"
    )


async def _release(client: "Client", world: "World", ownership: "Ownership", found: "list[Held]") -> int:
    from cli.uninstall.judge import let_go, still_there
    from kube.errors import ApiError, NotFound
    from kube.resource import IPALLOCATIONS, SERVICES

    if there := list(still_there(world)):
        raise Failed("nothing was changed, since Berth may still run:\n  " + "\n  ".join(there))
    failed = 0
    for one in found:
        patch, key = let_go(one, world, ownership), one.key
        try:
            if patch is not None:
                await client.merge_patch(SERVICES, key.name, patch, namespace=key.namespace, subresource="status")
            print(f"{one} is let go")
        except NotFound:
            print(f"{one} is gone")
        except ApiError as error:
            failed += 1
            print(f"{one} was not changed: {error.message}")
    if failed:
        print(f"Berth still holds {_counted(failed, 'Service')}: run it again")
        return WRONG
    for stored in world.seen.observed.allocations.values():
        name = _record_name(stored.address)
        try:
            await client.delete(IPALLOCATIONS, name, uid=stored.uid)
        except NotFound:
            continue
        print(f"ipallocation.berth.dev/{name} is deleted")
    print("Nothing is held any more.")
    return WELL


def _record_name(address: object) -> str:
    from crds.names import allocation_name

    return allocation_name(str(address))
