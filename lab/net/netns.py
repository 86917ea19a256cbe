"""Network namespaces that vanish with the process that asked for them.

A lab lives in a *sandbox*: one mount and one network namespace (rootless: inside a user namespace of their own),
held open by one small process. Hosts are named network namespaces within it, so `ip netns` works inside, no name
leaves it, and when the holder dies the kernel takes all of it away. Knows nothing of addresses: see hosts.py.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HUB: None = None
"""Where the bridge and the API server are: the sandbox's own network namespace."""

NEEDED_COMMANDS = {"ip": "iproute2", "nft": "nftables", "unshare": "util-linux", "nsenter": "util-linux"}
SYSTEM_PATH = ("/usr/sbin", "/sbin")
"""Debian keeps `ip` and `nft` here, and leaves it out of an ordinary user's PATH."""

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
START_SECONDS = 10.0

# A private /run, so that `ip netns add` leaves nothing behind on the machine. The last line becomes the holder.
# The parent may have died before PR_SET_PDEATHSIG took effect: hence the look at $PPID.
_SETUP = """
set -e
test "$PPID" = "$0"
mount -t tmpfs berth-lab /run
mkdir /run/netns
ip link set lo up
echo ready
exec sleep infinity
"""


class Unsupported(RuntimeError):
    """This machine does not let us build a lab; the message says what to do about it."""


class CommandFailed(RuntimeError):
    """A command inside the lab ended with an error; the message carries what it said."""


@dataclass(frozen=True)
class NamespaceHandle:
    """How to get into a running sandbox from outside, by the holder's process id. Plain values: it can be saved."""

    holder_pid: int
    rootless: bool

    def enter(self, host: str | None = HUB) -> list[str]:
        """The words to put before a command so that it runs on `host` (or in the hub), with / as its directory."""
        prefix = ["nsenter", f"--target={self.holder_pid}"]
        if self.rootless:
            prefix += ["--user", "--preserve-credentials"]
        network = "--net" if host is HUB else f"--net=/proc/{self.holder_pid}/root/run/netns/{host}"
        return [*prefix, "--mount", network]

    def run(
        self,
        host: str | None,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        check: bool = True,
        timeout_seconds: float = 30.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host to its end. With `check`, a failure raises CommandFailed with what it printed."""
        where = "the hub" if host is HUB else host
        return run_in(self.enter(host), argv, where, stdin=stdin, check=check, timeout_seconds=timeout_seconds)


class Sandbox:
    """The namespaces of one lab. `open` makes them, `close` (or our death) ends them."""

    def __init__(self, holder: subprocess.Popen[str], *, rootless: bool) -> None:
        self._holder = holder
        self.namespaces = NamespaceHandle(holder.pid, rootless)

    @classmethod
    def open(cls, *, rootless: bool | None = None, extra_environment: Mapping[str, str] | None = None) -> "Sandbox":
        """Make the namespaces. `rootless` None = only when we are not root. Raises Unsupported with the reason."""
        if rootless is None:
            rootless = os.geteuid() != 0
        if not rootless and os.geteuid() != 0:
            raise Unsupported("only root makes namespaces directly: run as root, or rootless")
        require_commands()
        user = ["--user", "--map-root-user"] if rootless else []
        unshare = ["unshare", *user, "--net", "--mount", "--propagation=private"]
        holder = subprocess.Popen(
            [*unshare, "setpriv", "--pdeathsig=KILL", "sh", "-c", _SETUP, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C in the terminal is for the lab's owner, not for its holder
            env=lab_environment(extra_environment),
        )
        assert holder.stdout is not None
        if holder.stdout.readline().strip() != "ready":
            _, said = holder.communicate(timeout=START_SECONDS)
            raise Unsupported(explain_refusal(said.strip(), rootless=rootless))
        return cls(holder, rootless=rootless)

    def add_host(self, name: str) -> None:
        """A new, empty network namespace, called `name` inside the lab."""
        self.namespaces.run(HUB, ["ip", "netns", "add", name])

    def delete_host(self, name: str) -> None:
        self.namespaces.run(HUB, ["ip", "netns", "delete", name])

    def close(self) -> None:
        """End the holder. Namespaces go when the last process in them has gone. Safe to repeat."""
        if self._holder.poll() is None:
            self._holder.kill()
        self._holder.wait()
        for pipe in (self._holder.stdout, self._holder.stderr):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_in(
    enter: Sequence[str],
    argv: Sequence[str],
    where: str,
    *,
    stdin: str | None = None,
    check: bool = True,
    timeout_seconds: float = 30.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end where the words `enter` lead. `where` names that place in CommandFailed."""
    done = subprocess.run(
        [*enter, *argv],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        env=lab_environment(),
        check=False,
    )
    if check and done.returncode != 0:
        raise CommandFailed(f"on {where}: {' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done


def lab_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without proxies (the lab's addresses are not on the internet), with the system's commands."""
    environment = {k: v for k, v in os.environ.items() if k.lower() not in PROXY_VARIABLES}
    path = environment.get("PATH", os.defpath).split(os.pathsep)
    environment["PATH"] = os.pathsep.join([*path, *(p for p in SYSTEM_PATH if p not in path)])
    return environment | dict(extra or {})


def require_commands() -> None:
    path = lab_environment()["PATH"]
    missing = sorted({package for name, package in NEEDED_COMMANDS.items() if shutil.which(name, path=path) is None})
    if missing:
        raise Unsupported(f"missing Debian packages: {' '.join(missing)} (apt install {' '.join(missing)})")


def explain_refusal(said: str, *, rootless: bool) -> str:
    """Turn what unshare printed into what an operator can do."""
    if not rootless:
        return f"making network namespaces failed: {said}. A container needs CAP_SYS_ADMIN and CAP_NET_ADMIN for it"
    advice = "this kernel does not let an ordinary user make a user namespace; run as root instead"
    for setting, refusing_value in (
        ("kernel/unprivileged_userns_clone", "0"),
        ("user/max_user_namespaces", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ):
        try:
            value = Path("/proc/sys", setting).read_text().strip()
        except OSError:
            continue
        if value == refusing_value:
            advice += f", or change the sysctl {setting.replace('/', '.')} (it is {value})"
    return f"{advice}. unshare said: {said}"
