"""A step of the demo: a Service with an address of each family, found by the client's kernel by ARP and by NDP.

The other steps are in story.py.
"""

from ipaddress import ip_address

from lab import observe
from lab.cluster import Cluster
from lab.demo.narrator import Narrator, expect
from lab.demo.shown import ShownKubectl
from lab.demo.watchedaddress import WatchedAddress
from lab.waiting import wait_for

SERVICE = "dual-stack-service"
PORT = 8765
MANIFEST = f"""\
apiVersion: v1
kind: Service
metadata:
  name: {SERVICE}
spec:
  ipFamilyPolicy: RequireDualStack
  selector:
    app: example
  ports:
    - port: {PORT}
      targetPort: 9376
  type: LoadBalancer
"""
SETTLE_SECONDS = 20.0


def tell(cluster: Cluster, narrator: Narrator) -> None:
    """From the Service's creation to its end."""
    narrator.step("A dual-stack Service: an IPv4 and an IPv6 address")
    kubectl = ShownKubectl(cluster.kubectl, narrator)
    kubectl.apply(MANIFEST)
    for address in wait_for("it has two addresses", lambda: _addresses(cluster), timeout_seconds=SETTLE_SECONDS):
        _reach(cluster, narrator, address)
    kubectl("delete", "service", SERVICE, "--timeout=20s")


def _addresses(cluster: Cluster) -> list[str] | None:
    found = observe.ingress(cluster.kubectl.json("get", "service", SERVICE))
    versions = sorted(ip_address(each).version for each in found)
    return found if versions == [4, 6] else None


def _reach(cluster: Cluster, narrator: Narrator, address: str) -> None:
    """The client asks for it, finds the node that says it announces it, and is served."""
    vip = WatchedAddress(cluster, narrator, address, PORT)
    nodes = wait_for(f"{vip} has an owner", lambda: vip.announced_by() or None, timeout_seconds=SETTLE_SECONDS)
    vip.fetch()
    vip.show_neighbour()
    node = vip.node_on_the_wire()
    expect(nodes == [node], f"{vip} is at the MAC of the node that announces it", (nodes, node))
    how = "NDP" if ":" in address else "ARP"
    narrator.saw(f"{vip} is answered by {node} ({how}), and its IPAllocation says so too")
