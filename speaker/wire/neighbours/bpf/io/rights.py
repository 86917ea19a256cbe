"""Reads from /proc and /sys what may keep this process from loading and attaching programs."""

from __future__ import annotations

import os
import re

from speaker.wire.neighbours.bpf.refusal import Rights

_ALL_USERS = ["0", "0", "4294967295"]  # uid_map of the machine's own user namespace


def rights() -> Rights:
    """Of now. What can't be read is as if nothing forbade anything."""
    status = dict(re.findall(r"^(\w+):\t*(.*)$", _read("/proc/self/status"), re.MULTILINE))
    known = Rights(
        has_seccomp=status.get("Seccomp", "0") == "2",
        in_user_namespace=_read("/proc/self/uid_map").split() not in (_ALL_USERS, []),
        lockdown=(re.findall(r"\[(integrity|confidentiality)\]", _read("/sys/kernel/security/lockdown")) or [""])[0],
    )
    if "CapEff" in status:
        known = known._replace(capabilities=int(status["CapEff"], 16))
    if release := re.match(r"(\d+)\.(\d+)", os.uname().release):
        known = known._replace(release=(int(release[1]), int(release[2])))
    return known


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
