"""`berth l2 owners`, `berth bgp peers` and `berth bgp routes`, as tables, JSON or YAML; and `berth url`."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli.options import CODES, FORMATS, WELL, WRONG, cluster_options

if TYPE_CHECKING:
    from cli.seen import World


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    example: str,
    *,
    namespace: bool = False,
    formats: Sequence[str] = FORMATS,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        parents=[cluster_options(namespace=namespace, formats=formats)],
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"examples:\n{example}\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_l2(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `l2` on the command line."""
    top = commands.add_parser("l2", help="who owns which address on layer 2")
    actions = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    owners = _command(actions, "owners", "each address, its owner, and on which interfaces", "  berth l2 owners\n")
    owners.set_defaults(run=_run, rows="owners")


def add_bgp(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `bgp` on the command line."""
    top = commands.add_parser("bgp", help="BGP sessions and routes, node by node")
    actions = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    text = "each session: node, peer, state, since when, routes sent"
    peers = _command(actions, "peers", text, "  berth bgp peers\n  berth bgp peers -o json\n")
    peers.set_defaults(run=_run, rows="peers")
    text = "each route that a node has sent, and to which peers"
    routes = _command(actions, "routes", text, "  berth bgp routes --node node1\n")
    routes.add_argument("--node", metavar="NODE", help="of this node alone")
    routes.set_defaults(run=_run, rows="routes")


def add_url(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `url` on the command line."""
    text = "where clients reach a Service, one URL a line"
    url = _command(commands, "url", text, "  curl $(berth url svc/web)\n", namespace=True, formats=())
    url.add_argument("subject", metavar="SERVICE", help="svc/NAME")
    url.set_defaults(run=_url)


def _run(options: argparse.Namespace) -> int:
    from cli.listings import owners, peers, routes
    from cli.printing import structured, table
    from cli.reading import read_cluster, with_client
    from cli.seen import World
    from kube.io.client import Client

    async def work(client: Client) -> "World":
        return World(await read_cluster(client, options.berth_namespace))

    world = with_client(options, work)
    _tell_gaps(world)
    if options.rows == "routes":
        rows = routes(world, options.node)
    else:
        rows = (owners if options.rows == "owners" else peers)(world)
    if options.output != "table":
        print(structured(rows, options.output))
    elif rows:
        print(table([name.upper() for name in rows[0]], [[str(value) for value in row.values()] for row in rows]))
    else:
        print("none")
    is_down = options.rows == "peers" and any(row["state"] != "Established" for row in rows)
    return WRONG if is_down or world.seen.gaps else WELL


def _tell_gaps(world: "World") -> None:
    import sys

    for gap in world.seen.gaps:
        print(f"berth: what is shown may be incomplete: {gap}", file=sys.stderr)


def _url(options: argparse.Namespace) -> int:
    from cli.explain.subject import subject
    from cli.failure import Failed
    from cli.listings import urls
    from cli.namespaces import namespace_of
    from cli.reading import with_client
    from kube.errors import NotFound
    from kube.io.client import Client
    from kube.objects import Service, decode_service
    from kube.resource import SERVICES

    about = subject(options.subject)
    if about.kind != "svc":
        raise Failed(f"{options.subject} is no Service: write svc/NAME")
    namespace = namespace_of(options)

    async def work(client: Client) -> Service:
        try:
            return decode_service(await client.get(SERVICES, about.name, namespace))
        except NotFound:
            raise Failed(f"there is no Service {about.name} in namespace {namespace}") from None

    found = urls(with_client(options, work))
    if not found:
        raise Failed(f"Service {about.name} has no address: berth explain svc/{about.name} -n {namespace} says why")
    print("\n".join(found))
    return WELL
