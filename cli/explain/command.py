"""`berth explain`: reads the cluster, has it explained, and prints it."""

import argparse
import sys

from cli.options import CODES, FAILED, WELL, WRONG, cluster_options

EXAMPLES = """\
examples:
  berth explain svc/web                 why the Service is reachable, or not; the true cause comes first
  berth explain svc/web -n shop         in another namespace
  berth explain 192.0.2.10              an address: who has it, who announces it
  berth explain node/node1              what keeps a node from announcing
  berth explain pool/edge               how full a pool is, and what is wrong with it
"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `explain` on the command line."""
    command = commands.add_parser(
        "explain",
        parents=[cluster_options()],
        help="why a Service, an address, a node or a pool is as it is",
        description="Say why something is as it is, by the same functions that decide: the true cause first.",
        epilog=f"{EXAMPLES}\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("subject", metavar="SUBJECT", help="svc/NAME, an address, node/NAME or pool/NAME")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Explain it; gives the exit code."""
    from cli.explain.print import rendered
    from cli.explain.read import explained
    from cli.explain.service import NOT_READ
    from cli.explain.subject import subject
    from cli.printing import structured

    told = explained(options, subject(options.subject))
    if options.output == "table":
        sys.stdout.write(rendered(told))
    else:
        print(structured(told.to_wire(), options.output))
    if told.causes and told.causes[0].reason == NOT_READ:
        return FAILED
    return WRONG if told.causes else WELL
