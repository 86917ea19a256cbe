"""`python -m lab.demo`: brings a cluster up, tells the story on it, takes it down. Exit code 0 = all of it held."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from lab.cluster import Cluster, Settings
from lab.demo.narrator import Narrator, NotSeen
from lab.demo.story import Story
from lab.net.netns import CommandFailed, Unsupported
from lab.process import ProcessDied
from lab.waiting import WaitExpired

FAILURES = (NotSeen, WaitExpired, ProcessDied, CommandFailed)
LOG_LINES = 8


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.demo", description="Berth's main job, told as it happens.")
    parser.add_argument("--rootless", action="store_true", help="in a user namespace, even as root")
    parser.add_argument("--keep", action="store_true", help="keep logs and keys also when all held")
    parser.add_argument("--image", type=Path, metavar="ARCHIVE", help="run Berth's programs from this image, as root")
    options = parser.parse_args()
    narrator = Narrator()
    directory = Path(tempfile.mkdtemp(prefix="berth-demo-"))
    settings = Settings(directory, name="demo", rootless=options.rootless or None, image=options.image)
    cluster = Cluster(settings, tell=narrator.saw)
    try:
        narrator.step("A cluster on this machine: three nodes, a client and a router in network namespaces")
        with cluster:
            Story(cluster, narrator).tell()
    except Unsupported as refused:
        narrator.failed(f"the lab can't run here: {refused}")
        return 1
    except FAILURES as failure:
        narrator.failed(str(failure))
        _show_logs(cluster, narrator)
        narrator.say(f"logs of all processes: {directory}")
        return 1
    narrator.summary()
    if not options.keep:
        shutil.rmtree(directory)
    return 0


def _show_logs(cluster: Cluster, narrator: Narrator) -> None:
    for process in cluster.processes.values():
        if process.name.startswith(("allocator", "speaker", "workload", "apiserver")):
            narrator.say(f"last words of {process.name}:")
            for line in process.tail(LOG_LINES).splitlines():
                narrator.say(f"    {line}")


if __name__ == "__main__":
    sys.exit(main())
