"""The flags that all commands share which read a cluster, and where its kubeconfig is. Opens no connection."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from cli.failure import Failed
from cli.printing import TABLE

WELL, WRONG, FAILED = 0, 1, 2
"""Exit codes: nothing is wrong; something is, and the output says what; the command could not tell, or wrong usage."""
CODES = """\
exit codes: 0 = nothing is wrong, 1 = something is wrong, and the output says what, 2 = it could not be told (or wrong
usage)
"""
FORMATS = (TABLE, "json", "yaml")
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def cluster_options(*, formats: Sequence[str] = FORMATS, namespace: bool = True) -> argparse.ArgumentParser:
    """A parent parser. `formats`: of --output, the first by default; empty = without. `namespace`: with --namespace."""
    shared = argparse.ArgumentParser(add_help=False)
    group = shared.add_argument_group("cluster")
    group.add_argument("--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, ~/.kube/config, or the pod's own")
    group.add_argument("--context", metavar="NAME", help="of the kubeconfig (default: its current one)")
    group.add_argument("--as", dest="acts_as", metavar="USER", help="act as this user, as kubectl does")
    if namespace:
        group.add_argument("-n", "--namespace", metavar="NS", help="of Services (default: the context's, or default)")
    group.add_argument(
        "--berth-namespace", metavar="NS", default="berth-system", help="where Berth runs (default: %(default)s)"
    )
    if formats:
        group.add_argument("-o", "--output", choices=formats, default=formats[0], help=f"default: {formats[0]}")
    return shared


def kubeconfig_of(options: argparse.Namespace) -> str | None:
    """Paths joined as in $KUBECONFIG; None = the pod's service account. Raises Failed where there is none."""
    given = options.kubeconfig or os.environ.get("KUBECONFIG", "")
    if given:
        return str(given)
    usual = Path.home() / ".kube" / "config"
    if usual.is_file():
        return str(usual)
    if SERVICE_ACCOUNT.is_file():
        return None
    raise Failed("there is no kubeconfig: name one by --kubeconfig or $KUBECONFIG")
