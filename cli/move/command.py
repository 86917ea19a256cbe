"""`berth move`: asks whether a Service can move, writes the annotation that asks for it, and waits."""

import argparse
from typing import TYPE_CHECKING, Any

from cli.failure import Failed
from cli.options import WELL, WRONG, cluster_options
from cli.printing import TABLE, structured
from cli.waiting import Look, add_wait, outcome, result, wait

if TYPE_CHECKING:
    from cli.move.judge import Move
    from kube.io.client import Client
    from kube.objects import ServiceKey

EXAMPLES = """\
examples:
  berth move svc/web --to 192.0.2.20               to this address
  berth move svc/web --to 192.0.2.20,2001:db8::20  to these, one of each family
  berth move svc/web --to inner --wait             to any address of pool inner, until the old one is given back
  berth move svc/web --to node2                    to this node, on layer 2; the addresses stay the same
  berth move svc/web --to node2 --dry-run          only say whether it can be, and what would be written

It writes the annotations berth.dev/ips, berth.dev/pool or berth.dev/node: write them in your manifests, too, where
these are applied again. `kubectl annotate svc web berth.dev/node-` ends what a move to a node asked for.

exit codes: 0 = done, 1 = written, and not done when the time of --wait was over, 2 = refused, and nothing was changed
(or wrong usage)
"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `move` on the command line."""
    command = commands.add_parser(
        "move",
        parents=[cluster_options()],
        help="move a Service to another address, pool or node",
        description="Move a Service to another address, pool or (on layer 2) node. It serves at the new place first.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("subject", metavar="SERVICE", help="svc/NAME")
    command.add_argument(
        "--to", metavar="WHERE", required=True, help="an address (or several: A,B), a pool or a node; or pool/P, node/N"
    )
    command.add_argument("--dry-run", action="store_true", help="write nothing")
    add_wait(command, "it is announced there, and what it had is given back", "2m")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Move it; gives the exit code."""
    from cli.explain.subject import subject
    from cli.namespaces import namespace_of
    from cli.reading import with_client
    from kube.objects import ServiceKey

    of = subject(options.subject)
    if of.kind != "svc":
        raise Failed(f"{options.subject} can't be moved: write svc/NAME")
    key = ServiceKey(namespace_of(options), of.name)
    return with_client(options, lambda client: moved(client, options, key))


async def moved(client: "Client", options: argparse.Namespace, key: "ServiceKey") -> int:
    """Of `options`: berth_namespace, to, dry_run, wait, timeout. Raises Failed, ApiError."""
    from cli.move.run import Watched, carry_out, judged

    world, asked = await judged(client, options.berth_namespace, key, options.to)
    is_done, is_table = not options.dry_run, options.output == TABLE
    if is_table:
        for note in asked.notes:
            print(f"note: {note}")
    if is_done:
        await carry_out(client, key, asked)
    if is_table:
        print(_told(key, asked, is_done=is_done), flush=True)
    waits = options.wait and is_done
    last = await wait(Watched(client, world, key, asked).look, options.timeout) if waits else None
    if not is_table:
        print(structured(_report(key, asked, last, is_done=is_done), options.output))
    elif last is not None:
        print(outcome(last, options.timeout))
    return WELL if last is None or last.is_done else WRONG


def _report(key: "ServiceKey", asked: "Move", last: Look | None, *, is_done: bool) -> dict[str, Any]:
    """As docs/cli.md has it. An annotation that goes is null."""
    return {
        "service": str(key),
        "written": is_done,
        "annotations": dict(asked.change.annotations),
        "gets": [{"address": str(one.address), "pool": one.pool} for one in asked.grants],
        "givesBack": [str(one) for one in asked.leaving],
        "node": asked.wanted.node,
        "notes": list(asked.notes),
        **result(last),
    }


def _told(key: "ServiceKey", asked: "Move", *, is_done: bool) -> str:
    change = asked.change.told(is_done=is_done)
    what = f"svc/{key}: {change or 'asks for that already'}"
    if asked.wanted.node or not (change or asked.leaving):
        return what
    gets = ", ".join(f"{one.address} of pool {one.pool}" for one in asked.grants)
    gives = f", and gives back {', '.join(map(str, asked.leaving))}" if asked.leaving else ""
    chosen = " (or another free one)" if asked.wanted.pool and asked.leaving else ""
    return f"{what}. It gets {gets}{chosen}{gives}"
