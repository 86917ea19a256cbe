"""Runs a program in a root file system of its own, as a container runtime does: what it sees, who it is, what it may.

Run by path, as root, with nothing but the standard library. It makes a mount namespace of its own, and becomes the
program: process id, network and output stay. There is no process namespace and no seccomp filter.
"""

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

CAPABILITIES = {
    "chown": 0, "dac_override": 1, "net_bind_service": 10, "net_admin": 12, "net_raw": 13, "sys_nice": 23, "bpf": 39,
}  # fmt: skip
"""Their numbers (linux/capability.h): those that a chart of ours may name."""
LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")
CLONE_NEWNS = 0x20000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
DEVICES = ("full", "null", "random", "urandom", "zero")

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments}: {os.strerror(number)}")


def mount(source: str, target: Path, kind: str | None, flags: int, options: str = "") -> None:
    kind_bytes = kind.encode() if kind else None
    call("mount", source.encode(), str(target).encode(), kind_bytes, ctypes.c_ulong(flags), options.encode() or None)


def bind(source: str, target: Path, *, read_only: bool = True) -> None:
    if Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.touch()
    mount(source, target, None, MS_BIND)
    if read_only:
        mount("", target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def enter(root: Path, given: argparse.Namespace) -> None:
    """Make the root file system what the program is to see, and go in."""
    call("unshare", CLONE_NEWNS)
    mount("", Path("/"), None, MS_REC | MS_PRIVATE)
    mount(str(root), root, None, MS_BIND)
    for path in ("proc", "sys", "dev", *given.memory):
        (root / path.strip("/")).mkdir(parents=True, exist_ok=True)
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", root / "sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", root / "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k")
    for device in DEVICES:
        bind(f"/dev/{device}", root / "dev" / device, read_only=False)
    for path in given.memory:
        mount("tmpfs", root / path.strip("/"), "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=16m")
    for each in given.mount:
        source, _, target = each.partition(":")
        bind(source, root / target.strip("/"))
    if given.read_only:
        mount("", root, None, MS_REMOUNT | MS_BIND | MS_RDONLY)
    os.chroot(root)
    os.chdir("/")


def confine(given: argparse.Namespace, last_capability: int) -> None:
    """Take away what the program may not, and become its user. User 0 keeps what the bounding set has left."""
    if given.capabilities is not None:
        kept = {CAPABILITIES[name] for name in given.capabilities.split(",") if name}
        for number in set(range(last_capability + 1)) - kept:
            call("prctl", PR_CAPBSET_DROP, number, 0, 0, 0)
    if given.no_new_privileges:
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(given.group)
    os.setuid(given.user)
    call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)  # a change of users has cleared it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--user", type=int, required=True)
    parser.add_argument("--group", type=int, required=True)
    parser.add_argument("--capabilities", help="those that stay, with commas; without it, all")
    parser.add_argument("--no-new-privileges", action="store_true")
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--memory", action="append", default=[], help="a folder in memory")
    parser.add_argument("--mount", action="append", default=[], help="SOURCE:TARGET, read-only")
    parser.add_argument("--environment", action="append", default=[], help="NAME=VALUE; there is no other")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    last_capability = int(LAST_CAPABILITY.read_text())
    environment = dict(each.split("=", 1) for each in given.environment)
    enter(given.root, given)
    confine(given, last_capability)
    os.execvpe(given.command[0], given.command, environment)


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"contained: {error}")
