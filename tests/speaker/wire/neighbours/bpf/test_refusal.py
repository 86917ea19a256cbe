"""What refusals mean: one sentence, which names what is missing and what to do."""

import errno
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.neighbours.bpf.io.rights import rights
from speaker.wire.neighbours.bpf.refusal import BPF, NET_ADMIN, SYS_ADMIN, Rights, Tried, sentence

MEANT: list[tuple[Tried, int, Rights, str]] = [
    (Tried.MAP, errno.EPERM, Rights(capabilities=1 << NET_ADMIN), r"lacks the capability BPF, .*kernelAnswers: auto"),
    (Tried.PROGRAM, errno.EPERM, Rights(capabilities=1 << BPF), r"lacks the capability NET_ADMIN"),
    (Tried.PROGRAM, errno.EPERM, Rights(capabilities=0), r"lacks the capabilities BPF and NET_ADMIN"),
    (Tried.QDISC, errno.EPERM, Rights(capabilities=1 << BPF), r"lacks the capability NET_ADMIN"),
    (Tried.PROGRAM, errno.EPERM, Rights(1 << SYS_ADMIN, lockdown="integrity"), r"locked down \(integrity\)"),
    (Tried.MAP, errno.EPERM, Rights(has_seccomp=True), r"seccomp profile forbids .*speaker\.seccompProfile"),
    (Tried.MAP, errno.ENOSYS, Rights(has_seccomp=True), r"seccomp profile forbids"),
    (Tried.MAP, errno.ENOSYS, Rights(), r"built without bpf\(2\)"),
    (Tried.MAP, errno.EPERM, Rights(in_user_namespace=True, has_seccomp=True), r"in a user namespace"),
    (Tried.MAP, errno.EPERM, Rights(release=(5, 10)), r"RLIMIT_MEMLOCK"),
    (Tried.MAP, errno.EPERM, Rights(release=(5, 15)), r"SELinux.*audit log.*speaker\.seLinuxOptions"),
    (Tried.PROGRAM, errno.EACCES, Rights(), r"SELinux"),
    (Tried.QDISC, errno.EPERM, Rights(has_seccomp=True), r"SELinux"),  # that is no call of bpf(2)
    (Tried.PROGRAM, errno.EINVAL, Rights(release=(5, 4)), r"kernel 5\.4 is too old, it takes 5\.8"),
    (Tried.PROGRAM, errno.EINVAL, Rights(release=(6, 1)), r"verifier"),
    (Tried.LINK, errno.EINVAL, Rights(release=(6, 1)), r"no tcx, which came with 6\.6"),
    (Tried.LINK, errno.EINVAL, Rights(release=(6, 8)), r"CONFIG_NET_XGRESS"),
    (Tried.LINK, errno.ENODEV, Rights(), r"interface is gone"),
    (Tried.LINK, errno.ERANGE, Rights(), r"as many programs as there may be"),
    (Tried.QDISC, errno.ENOENT, Rights(), r"CONFIG_NET_SCH_INGRESS"),
    (Tried.FILTER, errno.ENOENT, Rights(), r"CONFIG_NET_CLS_BPF"),
    (Tried.FILTER, errno.EINVAL, Rights(), r"takes no program beside it"),
    (Tried.FILTER, errno.ENOMEM, Rights(), r"no memory"),
]  # fmt: skip


@pytest.mark.parametrize(("tried", "error", "known", "meaning"), MEANT)
def test_a_refusal_names_its_cause_and_what_to_do(tried: Tried, error: int, known: Rights, meaning: str) -> None:
    said = sentence(tried, error, known)
    assert re.search(meaning, said)
    assert said.startswith(f"{tried.value} was refused ({errno.errorcode[error]}): ")


@given(
    st.sampled_from(Tried),
    st.integers(0, 4095),
    st.builds(
        Rights,
        st.integers(0, (1 << 64) - 1),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["", "integrity", "confidentiality"]),
        st.tuples(st.integers(3, 7), st.integers(0, 20)),
    ),
)
def test_whatever_is_refused_is_one_short_sentence(tried: Tried, error: int, known: Rights) -> None:
    said = sentence(tried, error, known)
    assert len(said) < 300
    assert "\n" not in said
    assert not said.endswith(".")


def test_what_is_known_of_this_process_is_read() -> None:
    known = rights()
    assert known.release > (3, 0)
    assert known.capabilities >> 41 == 0  # linux/capability.h knows 41
    assert not known.lockdown or known.lockdown in ("integrity", "confidentiality")
