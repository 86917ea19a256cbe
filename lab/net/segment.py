"""One layer-2 segment on this machine: hosts in network namespaces of their own, on one bridge in another.

Nothing of it has a name or a process: namespaces live as long as the file descriptors that this process holds, so
whatever happens to it, nothing stays behind.
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

ETH_P_ARP, ETH_P_IPV6, ETH_P_ALL = 0x0806, 0x86DD, 0x0003


class Namespace:
    """A network namespace with its loopback up."""

    def __init__(self) -> None:
        made: list[int] = []
        thread = threading.Thread(target=lambda: made.append(_unshare()))
        thread.start()
        thread.join()
        if not made:
            raise PermissionError("this machine lets us make no network namespace")
        self._fd = made[0]
        self.path = f"/proc/{os.getpid()}/fd/{self._fd}"
        self.run("ip", "link", "set", "lo", "up")

    @property
    def prefix(self) -> list[str]:
        """Put before a command, runs it here; it execs, so the process id is the command's own."""
        return ["nsenter", f"--net={self.path}"]

    def run(self, *command: str) -> str:
        done = subprocess.run([*self.prefix, *command], capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside meanwhile. Sockets made there stay there."""
        with open("/proc/thread-self/ns/net", "rb") as home:
            _check(_libc.setns(self._fd, _CLONE_NEWNET))
            try:
                yield
            finally:
                _check(_libc.setns(home.fileno(), _CLONE_NEWNET))

    def packet_socket(self, interface: str = "eth0", protocol: int = ETH_P_ARP) -> socket.socket:
        with self.entered():
            packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            packets.setsockopt(socket.SOL_SOCKET, 33, 64 * 1024 * 1024)  # SO_RCVBUFFORCE
            packets.bind((interface, protocol))
        packets.settimeout(2)
        return packets

    def close(self) -> None:
        os.close(self._fd)


def _use_ipv6(namespace: Namespace, interface: str) -> None:
    scopes = ("all", "default", interface)
    namespace.run("sysctl", "-qw", *(f"net.ipv6.conf.{scope}.accept_dad=0" for scope in scopes))
    namespace.run("sysctl", "-qw", *(f"net.ipv6.conf.{scope}.disable_ipv6=0" for scope in scopes))


def _unshare() -> int:
    _check(_libc.unshare(_CLONE_NEWNET))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Host(Namespace):
    """A host on the segment with `eth0`, MAC 02:00:00:00:00:<number>, address 192.0.2.<number>/16 and no IPv6."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.mac = bytes([2, 0, 0, 0, 0, number])
        self.address = bytes([192, 0, 2, number])
        self.number = number

    def use_ipv6(self) -> None:
        """From now on eth0 has 2001:db8::<number>/64 and a link-local address."""
        _use_ipv6(self, "eth0")
        self.run("ip", "address", "add", f"2001:db8::{self.number}/64", "dev", "eth0", "nodad")


class Segment:
    """A bridge and the hosts on it."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._open = ExitStack()
        self.hub = Namespace()
        self._open.callback(self.hub.close)
        self.hub.run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self.hub.run("ip", "link", "set", "br0", "up")
        self.hosts = [self._attach(number) for number in numbers]

    def _attach(self, number: int) -> Host:
        host = Host(number)
        self._open.callback(host.close)
        self.plug(host, "eth0", f"02:00:00:00:00:{number:02x}", f"port{number}")
        host.run("ip", "address", "add", f"192.0.2.{number}/16", "dev", "eth0")
        return host

    def snoop(self) -> None:
        """Have the bridge deliver a multicast group's frames only where MLD reported it (RFC 4541), from now on."""
        _use_ipv6(self.hub, "br0")  # a querier needs an address
        settings = ["mcast_snooping", "1", "mcast_querier", "1", "mcast_query_response_interval", "50"]
        self.hub.run("ip", "link", "set", "br0", "type", "bridge", *settings)

    def plug(self, host: Namespace, interface: str, mac: str, port: str) -> None:
        """Give a host one more interface on this segment; `port` is its other end's name on the hub."""
        peer = ["peer", "name", interface, "netns", host.path, "address", mac]
        self.hub.run("ip", "link", "add", port, "type", "veth", *peer)
        self.hub.run("ip", "link", "set", port, "master", "br0", "up")
        host.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        host.run("ip", "link", "set", interface, "up")

    def __enter__(self) -> "Segment":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()
