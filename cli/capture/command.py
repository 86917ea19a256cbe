"""`berth capture`: writes one archive for whoever looks for a fault, and says what is in it and what is not."""

import argparse
import os
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from cli.failure import Failed
from cli.options import WELL, WRONG, cluster_options

if TYPE_CHECKING:
    from cli.capture.run import Capture
    from kube.io.client import Client

EXAMPLES = """\
examples:
  berth capture                        berth-capture-DATE.tar.gz in this directory
  berth capture -o fault.tar.gz        another name
  berth capture --node node1           of the speakers, the logs of node1 alone (again for several)
  berth capture --no-logs              objects and metrics alone

It takes Berth's objects, the Services, EndpointSlices, Nodes, Events and Leases that concern it, logs and metrics of
its pods, and what `berth status` and `berth check` say. Never Secrets. Look through it before you send it: it has names
and addresses of your cluster.

exit codes: 0 = done, 1 = something was refused, and the output says what, 2 = it could not be done (or wrong usage)
"""
LEFT_OUT = (
    "Secrets and ConfigMaps; managedFields; environment variables; values of annotations of other programs; sharing "
    "keys (a digest instead); in logs and messages, what looks like a password, a token or a private key"
)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `capture` on the command line."""
    command = commands.add_parser(
        "capture",
        parents=[cluster_options(namespace=False, formats=())],
        help="one file with all that is needed to look for a fault",
        description="Write an archive with Berth's objects, Events, logs and metrics; never Secrets.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("-o", "--output", metavar="FILE", help="default: berth-capture-DATE.tar.gz")
    command.add_argument("--node", action="append", default=[], metavar="NODE", help="of the speakers, this one's logs")
    command.add_argument("--no-logs", action="store_true", help="leave logs out")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Take it; gives the exit code. Nothing is left of a capture that failed."""
    path = Path(options.output or f"berth-capture-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    file = _opened(path)
    try:
        with file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            one = _captured(options, archive, path.name.removesuffix(".gz").removesuffix(".tgz").removesuffix(".tar"))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise Failed(f"{path} can't be written: {error.strerror}") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    print(_contents(one), end="")
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return WRONG if one.refused else WELL


def _opened(path: Path) -> BinaryIO:
    """For its owner alone. Raises Failed."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        raise Failed(f"{path} is there already: name another file by -o") from None
    except OSError as error:
        raise Failed(f"{path} can't be written: {error.strerror}") from error


def _captured(options: argparse.Namespace, archive: tarfile.TarFile, top: str) -> "Capture":
    from cli.capture.run import Capture, take
    from cli.reading import with_client

    async def work(client: "Client") -> "Capture":
        one = Capture(client, options.berth_namespace, archive, top)
        await take(one, with_logs=not options.no_logs, nodes=frozenset(options.node))
        one.put("contents.txt", _contents(one).encode())
        return one

    return with_client(options, work)


def _contents(one: "Capture") -> str:
    rows = [
        *(("took", name, what) for name, what in one.took),
        *(("missing", name, why) for name, why in one.missing),
        *(("refused", name, why) for name, why in one.refused),
    ]
    width = max(len(name) for _, name, _ in rows)
    lines = [f"{state:<8} {name:<{width}}  {what}" for state, name, what in rows]
    return "\n".join([*lines, f"left out {LEFT_OUT}", ""])
