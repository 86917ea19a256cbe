"""`berth migrate metallb`: reads flags, and hands over to the conversion, the check or the takeover."""

import argparse
import sys
from typing import TYPE_CHECKING

from cli.failure import Failed
from cli.options import WELL, WRONG, cluster_options

if TYPE_CHECKING:
    from cli.migrate.situation import Situation
    from cli.migrate.steps import Step
    from cli.migrate.told import Converted

EXAMPLES = """\
examples:
  berth migrate metallb                        what the cluster's MetalLB would be in Berth, as YAML
  berth migrate metallb -f metallb/ -f -       the same of files, folders and standard input; no cluster is asked
  berth migrate metallb --check                whether each Service would keep its addresses, or why not
  berth migrate metallb --takeover             the steps of a takeover, where it stands, and what each takes
  berth migrate metallb --takeover --yes       does them
  berth migrate metallb --takeover --back      the way back

exit codes: 0 = all of it; 1 = something has no equivalent, or a Service would not keep its addresses, and why is said;
2 = it could not be done (or wrong usage)
docs/migrate.md has the whole way.
"""

AFTER = """\
Done: Berth serves all Services. Remove MetalLB now (helm uninstall, or kubectl delete -f), and after it these labels:
  kubectl label nodes --all berth.dev/without-metallb- berth.dev/with-bgp-"""
AFTER_BACK = """\
Done: MetalLB serves all Services, and Berth holds none: it may be removed. Its allocator has no replicas; leave it so.
Install MetalLB anew from its chart or manifests, so that its DaemonSet is as before."""
_COUNTED = {
    "keeps": "keep their addresses",
    "waits": "have none yet",
    "loses": "would not keep theirs",
    "is not served": "are not served by Berth",
}


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
        parents=[cluster_options(formats=(), namespace=False)],
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
        "--check", action="store_true", help="compare statuses of Services with what Berth would do, and write nothing"
    )
    command.add_argument(
        "--takeover", action="store_true", help="the steps from MetalLB to Berth, and where they stand"
    )
    command.add_argument("--back", action="store_true", help="with --takeover: the way back")
    command.add_argument("--yes", action="store_true", help="with --takeover: do it")
    command.add_argument(
        "--timeout", type=float, default=120.0, metavar="SECONDS", help="for one step (default: %(default)g)"
    )
    command.add_argument(
        "--load-balancer-class", metavar="CLASS", help="that Berth serves (default: Services without a class)"
    )
    command.add_argument(
        "--metallb-namespace", metavar="NS", default="metallb-system", help="where MetalLB runs (default: %(default)s)"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; gives the exit code."""
    if (options.back or options.yes) and not options.takeover:
        raise Failed("--back and --yes go with --takeover")
    if options.takeover and (options.files or options.check):
        raise Failed("--takeover asks a cluster and checks by itself: leave --files and --check out")
    if options.takeover:
        return _take_over(options)
    if options.check:
        return _check(options)
    converted = _from_files(options) if options.files else _from_cluster(options)
    return _print(converted, options)


def _from_files(options: argparse.Namespace) -> "Converted":
    from cli.migrate.convert import convert
    from cli.migrate.documents import read_documents
    from cli.migrate.read import decoded_services, shared_by_several

    objects = read_documents(options.files)
    return convert(objects, shared_by_several(decoded_services(objects)))


def _from_cluster(options: argparse.Namespace) -> "Converted":
    from cli.migrate.read import read_converted
    from cli.reading import with_client

    return with_client(options, lambda client: read_converted(client, options.metallb_namespace))


def _print(converted: "Converted", options: argparse.Namespace) -> int:
    from cli.migrate.documents import written

    if _is_refused(converted, options):
        return WRONG
    print(written(converted, is_paused=options.paused), end="")
    return WELL


def _is_refused(converted: "Converted", options: argparse.Namespace) -> bool:
    """Whether something has no equivalent, and is not to be left out."""
    for one in converted.refused:
        print(f"{'left out' if options.skip else 'no equivalent'}: {one}", file=sys.stderr)
    if converted.refused and not options.skip:
        print("Nothing was written: change these objects, or leave them out with --skip", file=sys.stderr)
    return bool(converted.refused) and not options.skip


def _check(options: argparse.Namespace) -> int:
    from cli.migrate.services import Fate, judge, with_pools

    if options.files:
        from cli.migrate.documents import read_documents
        from cli.migrate.read import seen_in

        converted, seen = _from_files(options), seen_in(read_documents(options.files))
    else:
        from cli.migrate.read import read_both
        from cli.reading import with_client

        converted, seen = with_client(
            options, lambda client: read_both(client, options.metallb_namespace, options.berth_namespace)
        )
    is_refused = _is_refused(converted, options)
    judged = judge(with_pools(seen, converted.made, is_paused=True), options.load_balancer_class)
    for one in judged:
        if one.why or one.fate is not Fate.KEEPS:
            shown = ", ".join(map(str, one.shows)) or "no address"
            print(f"{one.fate.value:<14}{one.key} ({shown}){f': {one.why}' if one.why else ''}")
    counts = {fate: sum(one.fate is fate for one in judged) for fate in Fate}
    print(
        ", ".join(f"{count} {_COUNTED[fate.value]}" for fate, count in counts.items()) + f", of {len(judged)} Services"
    )
    return WRONG if is_refused or counts[Fate.LOSES] else WELL


def _take_over(options: argparse.Namespace) -> int:
    from cli.migrate.carry import Takeover, told
    from cli.migrate.takeover import back, forth
    from cli.reading import with_client
    from kube.io.client import Client

    def tell(line: str) -> None:
        print(line, flush=True)

    async def work(client: Client) -> int:
        takeover = Takeover(
            client, options.metallb_namespace, options.berth_namespace, options.load_balancer_class, options.timeout
        )
        now = await takeover.read()
        if _is_refused(now.converted, options):
            return WRONG

        def steps(now: "Situation") -> "list[Step]":
            return back(now) if options.back else forth(now, options.berth_namespace)

        if not options.yes:
            tell("\n".join(told(steps(now))))
            return WELL
        await takeover.go(steps, tell)
        tell(AFTER_BACK if options.back else AFTER)
        return WELL

    return with_client(options, work)
