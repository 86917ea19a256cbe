"""What breaks in a lab's network on demand: cables pulled, switches broken, packets dropped; and all of it undone.

Faults of processes are lab.process.Process's, those of the API server lab.apiserver.faults's.
"""

from crds.names import HEARTBEAT_PORT
from lab.net import hosts
from lab.net.hosts import Topology
from lab.net.netns import HUB, NamespaceHandle

_FROM_API, _FROM_MEMBERS = "lab_from_api", "lab_from_members"
"""nftables' tables, one for each fault."""


class Faults:
    """Of a lab that is up. Each fault may be made again while it lasts, and undone without having been made."""

    def __init__(self, namespaces: NamespaceHandle, topology: Topology) -> None:
        self._namespaces = namespaces
        self._topology = topology

    def set_link(self, host: str, state: str) -> None:
        """`up` or `down`: the cable at the bridge's end. The host sees its carrier go."""
        self._namespaces.run(HUB, ["ip", "link", "set", host, state])

    def cut_off(self, host: str) -> None:
        """Take a host off the segment, as a broken switch would: its link stays up, and nothing arrives."""
        self._namespaces.run(HUB, ["ip", "link", "set", host, "nomaster"])

    def plug_in(self, host: str) -> None:
        """Undo `cut_off`."""
        is_far = any(one.is_far for one in self._topology.hosts if one.name == host)
        bridge = hosts.SECOND_BRIDGE if is_far else hosts.BRIDGE
        self._namespaces.run(HUB, ["ip", "link", "set", host, "master", bridge])

    def cut_from_api(self, node: str) -> None:
        """Drop all that this node sends to the API server: no answer, no refusal."""
        rule = f"ip daddr {self._topology.hub_ipv4} tcp dport {hosts.API_PORT} drop"
        self._drop(node, _FROM_API, {"output": rule})

    def restore_to_api(self, node: str) -> None:
        self._pass(node, _FROM_API)

    def cut_from_members(self, node: str) -> None:
        """Drop the heartbeats that this node sends and gets, as a firewall would."""
        rule = f"udp dport {HEARTBEAT_PORT} drop"
        self._drop(node, _FROM_MEMBERS, {"input": rule, "output": rule})

    def restore_to_members(self, node: str) -> None:
        self._pass(node, _FROM_MEMBERS)

    def heal(self, node: str) -> None:
        """Undo all of it."""
        self.set_link(node, "up")
        self.plug_in(node)
        self.restore_to_api(node)
        self.restore_to_members(node)

    def _drop(self, node: str, table: str, rules: dict[str, str]) -> None:
        chains = "\n".join(
            f" chain {hook} {{\n type filter hook {hook} priority 0;\n {rule}\n }}" for hook, rule in rules.items()
        )
        self._pass(node, table)
        self._namespaces.run(node, ["nft", "-f", "-"], stdin=f"table inet {table} {{\n{chains}\n}}\n")

    def _pass(self, node: str, table: str) -> None:
        self._namespaces.run(node, ["nft", "delete", "table", "inet", table], check=False)
