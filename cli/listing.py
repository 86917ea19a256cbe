"""`berth l2 owners`, `berth bgp peers` and `berth bgp routes`, as tables, JSON or YAML; and `berth url`."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
    text = "each route that a node has sent, with its attributes, and to which peers"
    example = "  berth bgp routes --node node1\n  berth bgp routes --router-view\n"
    routes = _command(actions, "routes", text, example)
    routes.add_argument("--node", metavar="NODE", help="of this node alone")
    text = "by session: what was sent in it, and what was withdrawn and is not acknowledged"
    routes.add_argument("--router-view", action="store_true", help=text)
    routes.set_defaults(run=_run_routes)


def add_url(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `url` on the command line."""
    text = "where clients reach a Service, one URL a line"
    url = _command(commands, "url", text, "  curl $(berth url svc/web)\n", namespace=True, formats=())
    url.add_argument("subject", metavar="SERVICE", help="svc/NAME")
    url.set_defaults(run=_url)


def _run(options: argparse.Namespace) -> int:
    from cli.listings import owners, peers
    from cli.reading import read_cluster, with_client
    from cli.seen import World
    from kube.io.client import Client

    async def work(client: Client) -> "World":
        return World(await read_cluster(client, options.berth_namespace))

    world = with_client(options, work)
    _tell_gaps(world)
    rows = (owners if options.rows == "owners" else peers)(world)
    _print(rows, options.output)
    is_down = options.rows == "peers" and any(row["state"] != "Established" for row in rows)
    return WRONG if is_down or world.seen.gaps else WELL


def _run_routes(options: argparse.Namespace) -> int:
    from cli.reading import read_cluster, with_client
    from cli.routes import SENT, router_view, routes
    from cli.seen import World
    from kube.io.client import Client

    async def work(client: Client) -> "World":
        return World(await read_cluster(client, options.berth_namespace, with_routes=True))

    world = with_client(options, work)
    _tell_gaps(world)
    rows = (router_view if options.router_view else routes)(world, world.seen.routes, options.node)
    _print(rows, options.output, _ONLY_IF_ANY)
    is_kept = options.router_view and any(row["state"] != SENT for row in rows)
    return WRONG if is_kept or world.seen.gaps else WELL


_ONLY_IF_ANY = ("local pref", "med", "prepends", "communities", "bandwidth")


def _print(rows: "list[dict[str, Any]]", output: str, only_if_any: Sequence[str] = ()) -> None:
    """`only_if_any`: columns that a table leaves out where they are empty."""
    from cli.printing import structured, table

    if output != "table":
        print(structured(rows, output))
    elif rows:
        names = [name for name in rows[0] if name not in only_if_any or any(row[name] != "" for row in rows)]
        print(table([name.upper() for name in names], [[str(row[name]) for name in names] for row in rows]))
    else:
        print("none")


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
