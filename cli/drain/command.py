"""`berth drain` and `berth undrain`: say what moves and what can't, set or take off the label, and wait."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cli.failure import Failed
from cli.options import FORMATS, WELL, WRONG, cluster_options
from cli.printing import TABLE, structured
from cli.waiting import Look, add_wait, outcome, result, wait

if TYPE_CHECKING:
    from cli.drain.judge import Drain
    from kube.io.client import Client

DRAIN = """\
examples:
  berth drain node1 --dry-run       what would move, and what no other node could announce
  berth drain node1 --wait          until node1 announces nothing; then kubectl drain node1, and the maintenance
  berth drain node1 --force         also addresses that nobody announces then
  berth undrain node1               when the maintenance is over

It sets the label berth.dev/drained on the Node, which lasts until berth undrain, whatever starts anew.

exit codes: 0 = done, 1 = written, and not done when the time of --wait was over, 2 = refused, and nothing was changed
(or wrong usage)
"""
UNDRAIN = """\
examples:
  berth undrain node1               its addresses and routes come back at once

exit codes: 0 = done, or it was not drained, 2 = it could not be done (or wrong usage)
"""
MOST_TOLD = 20
"""Addresses that can't move, each with its reason; more are counted."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `drain` on the command line."""
    text = "Move layer-2 addresses and BGP routes off a node before maintenance. Other nodes announce them first."
    command = _command(
        commands, "drain", "move addresses and routes off a node before maintenance", text, DRAIN, FORMATS
    )
    command.add_argument("--dry-run", action="store_true", help="write nothing")
    command.add_argument("--force", action="store_true", help="also when that takes addresses off the network")
    add_wait(command, "the node announces nothing", "2m")
    command.set_defaults(run=_drain)


def add_undrain(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `undrain` on the command line."""
    text = "Let a node announce again that berth drain took out of use."
    command = _command(commands, "undrain", "let a drained node announce again", text, UNDRAIN)
    command.set_defaults(run=_undrain)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    description: str,
    epilog: str,
    formats: Sequence[str] = (),
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        parents=[cluster_options(namespace=False, formats=formats)],
        help=text,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("node", metavar="NODE", help="its name, or node/NAME")
    return command


def _drain(options: argparse.Namespace) -> int:
    from cli.reading import with_client

    options.node = options.node.removeprefix("node/")
    return with_client(options, lambda client: drained(client, options))


async def drained(client: "Client", options: argparse.Namespace) -> int:
    """Of `options`: berth_namespace, node, dry_run, force, wait, timeout. Raises Failed, ApiError."""
    from cli.drain.run import Watched, judged, label

    world, asked = await judged(client, options.berth_namespace, options.node)
    is_table = options.output == TABLE
    if is_table:
        _tell(asked)
    if asked.stays and not asked.is_set and not options.force:
        raise Failed(_refusal(asked))
    if not options.dry_run:
        await label(client, asked)
        if is_table:
            was = "was drained before" if asked.is_set else "is labelled berth.dev/drained"
            print(f"{asked.node} {was}", flush=True)
    waits = options.wait and not options.dry_run
    watched = Watched(client, options.berth_namespace, world, asked)
    last = await wait(watched.look, options.timeout) if waits else None
    if not is_table:
        print(structured(_report(asked, last, is_done=not options.dry_run), options.output))
    elif last is not None:
        print(outcome(last, options.timeout))
    return WELL if last is None or last.is_done else WRONG


def _report(asked: "Drain", last: Look | None, *, is_done: bool) -> dict[str, Any]:
    """As docs/cli.md has it."""
    return {
        "node": asked.node,
        "drained": asked.is_set or is_done,
        "moves": list(asked.moves),
        "stays": [one._asdict() for one in asked.stays],
        "onlySessionOf": list(asked.peers),
        "trouble": asked.trouble,
        **result(last),
    }


def _tell(asked: "Drain") -> None:
    if asked.trouble:
        print(f"note: the speaker of {asked.node} {asked.trouble}")
    count = len(asked.moves) + len(asked.stays)
    print(f"{asked.node} announces {count} {'address' if count == 1 else 'addresses'}; {len(asked.moves)} can move")
    for address, services, why in asked.stays[:MOST_TOLD]:
        print(f"  {address} of {', '.join(services)} can't: {why}")
    if len(asked.stays) > MOST_TOLD:
        print(f"  and {len(asked.stays) - MOST_TOLD} more can't")
    for peer in asked.peers:
        print(f"note: no other node has a session with BGPPeer {peer}, so that router loses its routes")


def _refusal(asked: "Drain") -> str:
    return (
        f"nobody would announce {len(asked.stays)} of the addresses, so nothing was changed: where their Pods are on "
        f"{asked.node} alone, move these first (kubectl drain {asked.node}; the addresses follow), or say --force"
    )


def _undrain(options: argparse.Namespace) -> int:
    from cli.drain.run import unlabel
    from cli.reading import with_client

    node = options.node.removeprefix("node/")
    was_drained = with_client(options, lambda client: unlabel(client, options.berth_namespace, node))
    print(f"{node} takes traffic again" if was_drained else f"{node} was not drained: nothing is changed")
    return WELL
