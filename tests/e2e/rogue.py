"""A machine on the lab's segment that is no part of the cluster, and takes addresses as it likes."""

from types import TracebackType
from typing import Self

from lab.cluster import Cluster
from lab.net.hosts import BRIDGE, interface_mac
from lab.net.netns import HUB

NAME = "rogue"


class Rogue:
    """`with Rogue(cluster) as rogue`: on the segment, without an address, until it is unplugged or the block ends."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __enter__(self) -> Self:
        run = self._cluster.run
        run(HUB, "ip", "netns", "add", NAME)
        run(HUB, "ip", "link", "add", NAME, "type", "veth", "peer", "name", "eth0", "netns", NAME)
        run(HUB, "ip", "link", "set", NAME, "master", BRIDGE, "up")
        run(NAME, "sh", "-ec", "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad")
        run(NAME, "ip", "link", "set", "eth0", "up")
        self.mac = interface_mac(self._cluster.namespaces, NAME)
        return self

    def take(self, address: str) -> None:
        """Have the address, as a machine that somebody gave it by mistake: its kernel answers whoever asks."""
        length = "64" if ":" in address else "24"
        self._cluster.run(NAME, "ip", "address", "replace", f"{address}/{length}", "dev", "eth0")

    def use(self, address: str, to: str) -> None:
        """Talk to somebody from the address, who is asked for anew first: that request claims it."""
        self._cluster.run(NAME, "ip", "neighbour", "flush", "dev", "eth0")
        self._cluster.run(NAME, "ping", "-c1", "-W1", "-I", address, to, check=False)

    def unplug(self) -> None:
        """Off the segment, from one moment to the next. Safe to repeat."""
        self._cluster.run(HUB, "ip", "link", "delete", NAME, check=False)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.unplug()
        self._cluster.run(HUB, "ip", "netns", "delete", NAME, check=False)
