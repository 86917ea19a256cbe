"""What a refusal of the kernel's means when programs are loaded and attached, and what to do, as one sentence.

It asks the kernel nothing: what was tried, the errno, and what is known of the process's rights are given.
"""

from __future__ import annotations

import errno
from enum import Enum
from typing import NamedTuple

NET_ADMIN, SYS_ADMIN, BPF = 12, 21, 39  # linux/capability.h
_SUPPORTED = (5, 8)  # CAP_BPF, bpf_ktime_get_boot_ns
_WITH_TCX = (6, 6)
_UNCHARGED = (5, 11)  # maps are charged to the cgroup, no more against RLIMIT_MEMLOCK


class Tried(Enum):
    """The step that was refused."""

    MAP = "making a map"
    PROGRAM = "loading the program"
    LINK = "attaching by tcx"
    QDISC = "making the queueing discipline clsact"
    FILTER = "adding a filter at clsact"


_UNKNOWN = (errno.EINVAL, errno.E2BIG, errno.EOPNOTSUPP)
"""What a kernel says of a call that it does not know yet."""
_BY_BPF = (Tried.MAP, Tried.PROGRAM, Tried.LINK)


class Rights(NamedTuple):
    """What is known of the process and its kernel. What could not be read is as if nothing forbade anything."""

    capabilities: int = (1 << 64) - 1
    """CapEff of /proc/self/status."""
    has_seccomp: bool = False
    """A filter of system calls is in force for the process."""
    in_user_namespace: bool = False
    """Its capabilities count in a user namespace only: rootless nodes."""
    lockdown: str = ""
    """`integrity`, `confidentiality`, or empty."""
    release: tuple[int, int] = (99, 0)
    """Of the kernel, as (6, 6)."""


def sentence(tried: Tried, error: int, rights: Rights) -> str:
    """As "loading the program was refused (EPERM): the speaker lacks ...; do ...". Without a full stop."""
    name = errno.errorcode.get(error, f"errno {error}")
    return f"{tried.value} was refused ({name}): {why(tried, error, rights)}"


def why(tried: Tried, error: int, rights: Rights) -> str:
    """The second half of it."""
    if error in (errno.EPERM, errno.EACCES):
        return _forbidden(tried, rights)
    if error == errno.ENOSYS and tried in _BY_BPF:
        return _SECCOMP if rights.has_seccomp else "this kernel is built without bpf(2) (CONFIG_BPF_SYSCALL)"
    if error in (errno.ENODEV, errno.ENXIO):
        return "the interface is gone"
    if error in (errno.ENOMEM, errno.ENOBUFS):
        return "the kernel has no memory left for it"
    if tried in _BY_BPF and error in _UNKNOWN:
        if rights.release < _SUPPORTED:
            return f"kernel {_dotted(rights.release)} is too old, it takes 5.8 or later"
        if tried is Tried.LINK:
            return _NO_TCX if rights.release >= _WITH_TCX else _TCX_IS_YOUNGER
    return _OTHER.get((tried, error), "this is a fault of Berth's, please report it with the speaker's log")


def _forbidden(tried: Tried, rights: Rights) -> str:
    """What keeps it away, the likeliest first."""
    missing = _missing(tried, rights.capabilities)
    if missing:
        return f"the speaker lacks {missing}, which the chart gives it with speaker.kernelAnswers: auto"
    if rights.in_user_namespace:
        return "the speaker runs in a user namespace, where nobody may do so: its node has to run as root"
    if tried in _BY_BPF and rights.has_seccomp:
        return _SECCOMP
    if tried is Tried.MAP and rights.release < _UNCHARGED:
        return (
            "the limit of locked memory (RLIMIT_MEMLOCK) is too low on this kernel: raise it for the container runtime"
        )
    if rights.lockdown and tried in _BY_BPF:
        return (
            f"the kernel is locked down ({rights.lockdown}), and its distributor counts bpf(2) among what that forbids"
        )
    return (
        "a security module (SELinux, AppArmor) forbids it: look for it in the node's audit log, and see "
        "speaker.seLinuxOptions of the chart"
    )


def _missing(tried: Tried, capabilities: int) -> str:
    def has(*which: int) -> bool:
        return any(capabilities >> each & 1 for each in which)

    needed = {
        "BPF": tried not in _BY_BPF or has(BPF, SYS_ADMIN),
        "NET_ADMIN": tried is Tried.MAP or has(NET_ADMIN, *([SYS_ADMIN] if tried is Tried.PROGRAM else [])),
    }
    missing = [name for name, is_there in needed.items() if not is_there]
    return f"the capabilit{'ies' if len(missing) > 1 else 'y'} {' and '.join(missing)}" if missing else ""


def _dotted(release: tuple[int, int]) -> str:
    return f"{release[0]}.{release[1]}"


_SECCOMP = (
    "the container's seccomp profile forbids bpf(2): name one that allows it in speaker.seccompProfile of the chart"
)
_TCX_IS_YOUNGER = "this kernel has no tcx, which came with 6.6"
_NO_TCX = "this kernel is built without tcx (CONFIG_NET_XGRESS)"
_NO_CLSACT = "this kernel has no clsact (CONFIG_NET_SCH_INGRESS), or its module can't be loaded"
_NO_FILTER = "this kernel has no filters by programs (CONFIG_NET_CLS_BPF), or their module can't be loaded"
_OTHER = {
    (Tried.PROGRAM, errno.EINVAL): "the kernel's verifier does not take it; please report what the speaker logs of it",
    (Tried.PROGRAM, errno.E2BIG): "the kernel's verifier does not take it; please report what the speaker logs of it",
    (Tried.LINK, errno.ERANGE): "as many programs as there may be stand on the interface already",
    (Tried.LINK, errno.EEXIST): "this program is attached there already",
    (Tried.LINK, errno.EBUSY): "what stands on the interface changes too often",
    (Tried.QDISC, errno.ENOENT): _NO_CLSACT,
    (Tried.QDISC, errno.EOPNOTSUPP): _NO_CLSACT,
    (Tried.FILTER, errno.ENOENT): _NO_FILTER,
    (Tried.FILTER, errno.EOPNOTSUPP): _NO_FILTER,
    (Tried.FILTER, errno.EINVAL): "what stands at the interface's ingress already takes no program beside it",
    (Tried.FILTER, errno.ENOSPC): "more programs of Berth's stand there than one speaker has: end the other one",
    (Tried.FILTER, errno.EBUSY): "what stands there changes too often to be listed",
    (Tried.FILTER, errno.EIO): "the kernel does not answer",
    (Tried.FILTER, errno.EEXIST): "somebody else adds filters there at the same moment",
}
