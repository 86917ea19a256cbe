"""A step of the demo: a Service with an address of each family, found by the client's kernel by ARP and by NDP.

The other steps are in story.py.
"""

from ipaddress import ip_address

from crds.names import allocation_name
from lab import observe
from lab.cluster import Cluster
from lab.demo.narrator import Narrator, expect
from lab.net.hosts import CLIENT
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
    narrator.command("kubectl", "apply", "-f", "-", stdin=MANIFEST, printed=cluster.kubectl.apply(MANIFEST))
    for address in wait_for("it has two addresses", lambda: _addresses(cluster), timeout_seconds=SETTLE_SECONDS):
        _reach(cluster, narrator, address)
    arguments = ("delete", "service", SERVICE, "--timeout=20s")
    narrator.command("kubectl", *arguments, printed=cluster.kubectl(*arguments))


def _addresses(cluster: Cluster) -> list[str] | None:
    found = observe.ingress(cluster.kubectl.json("get", "service", SERVICE))
    versions = sorted(ip_address(each).version for each in found)
    return found if versions == [4, 6] else None


def _reach(cluster: Cluster, narrator: Narrator, address: str) -> None:
    """The client asks for it, finds the node that says it announces it, and is served."""
    nodes = wait_for(f"{address} has an owner", lambda: _announced_by(cluster, address), timeout_seconds=SETTLE_SECONDS)
    host = f"[{address}]" if ":" in address else address
    url = f"http://{host}:{PORT}/"

    def body() -> str | None:
        got = cluster.fetch(url, timeout_seconds=1).get("body")
        return str(got) if got else None

    narrator.say(f"{CLIENT} fetches {url}: {wait_for('a backend answers', body, timeout_seconds=SETTLE_SECONDS)}")
    command = ("ip", "neighbour", "show", "to", address)
    narrator.command(*command, prompt=f"{CLIENT}$", printed=cluster.run(CLIENT, *command))
    entry = cluster.neighbour(address)
    node = cluster.node_of_mac(entry.mac) if entry else None
    expect(nodes == [node], f"{address} is at the MAC of the node that announces it", (nodes, entry))
    how = "NDP" if ":" in address else "ARP"
    narrator.saw(f"{address} is answered by {node} ({how}), and its IPAllocation says so too")


def _announced_by(cluster: Cluster, address: str) -> list[str] | None:
    """Once somebody does."""
    found = cluster.kubectl.json("get", "ipallocation", allocation_name(address))
    return found.get("status", {}).get("announcedBy") or None
