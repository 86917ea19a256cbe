"""`make bench`: all benchmarks, each in a process of its own, one JSON object a line on stdout.

`python -m bench [NAME...]` runs some of them. Progress goes to stderr. Exit code 1 when one of them failed.
"""

import subprocess
import sys

BENCHMARKS = (
    "allocator_core",
    "allocator_burst",
    "arp",
    "ndp",
    "arp_load",
    "bfd",
    "bgp",
    "bgp_services",
    "stages",
    "heartbeat",
    "speaker_rest",
    "failover",
    "starved",
    "scale",
    "apiserver",
    "cli",
    "takeover",
    "installed",
)


def main() -> int:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    failed = []
    for name in names:
        print(f"bench: {name}", file=sys.stderr, flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
