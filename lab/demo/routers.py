"""A step of the demo: a router learns a Service's address from every node by BGP, and forgets it in time.

The other steps are in story.py.
"""

import time

from lab import observe
from lab.cluster import Cluster
from lab.demo.narrator import Narrator, expect, milliseconds
from lab.demo.shown import ShownKubectl
from lab.net.hosts import ROUTER
from lab.net.netns import Unsupported
from lab.routers.base import RouterSettings, require_commands
from lab.routers.bird import Bird
from lab.waiting import wait_for

POOL = """\
apiVersion: berth.dev/v1beta1
kind: IPPool
metadata: {name: routed}
spec:
  addresses: ["192.0.2.10-192.0.2.19"]
  autoAssign: false
"""
PEER = """\
apiVersion: berth.dev/v1beta1
kind: BGPPeer
metadata: {{name: top-of-rack}}
spec:
  myASN: {node_asn}
  peerASN: {asn}
  peerAddress: {address}
"""
ADVERTISEMENT = """\
apiVersion: berth.dev/v1beta1
kind: BGPAdvertisement
metadata: {name: routed}
spec:
  ipPools: [routed]
"""
SERVICE = "routed-service"
PORT = 8765
MANIFEST = f"""\
apiVersion: v1
kind: Service
metadata:
  name: {SERVICE}
  annotations:
    berth.dev/pool: routed
spec:
  selector:
    app: example
  ports:
    - port: {PORT}
      targetPort: 9376
  type: LoadBalancer
"""
EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
GRACEFUL_SHUTDOWN = (65535, 0)
SETTLE_SECONDS = 30.0


def tell(cluster: Cluster, narrator: Narrator, *, spare: str) -> None:
    """From the router's first session to the Service's end. The node `spare` keeps its traffic."""
    narrator.step("A router (BIRD) learns an address from all nodes by BGP, and forgets it in time")
    try:
        require_commands(Bird.commands)
    except Unsupported as refused:
        narrator.say(f"left out: {refused}")
        return
    router = cluster.start_router("bird", settings=RouterSettings(installs=True))
    assert isinstance(router, Bird)
    kubectl = ShownKubectl(cluster.kubectl, narrator)
    peer = PEER.format(address=cluster.topology.router.ipv4, asn=router.settings.asn, node_asn=router.settings.node_asn)
    for manifest in (POOL, ADVERTISEMENT, peer, MANIFEST):
        kubectl.apply(manifest)
    address = observe.wait_for_address(cluster, SERVICE)
    nodes = {node.name for node in cluster.topology.nodes}
    _until(router, address, nodes)
    prefix = f"{address}/32"
    narrator.command("birdc", "show", "route", prefix, prompt=f"{ROUTER}$", printed=router.ask(f"show route {prefix}"))
    narrator.saw(f"{prefix} leads to {', '.join(sorted(nodes))}")
    kubectl("get", "bgppeers.berth.dev")
    url = f"http://{address}:{PORT}/"
    fetched = wait_for("a backend answers", lambda: cluster.fetch(url).get("body"), timeout_seconds=SETTLE_SECONDS)
    narrator.saw(f"the client, behind the router, fetches {url}: {fetched}")
    _drain(cluster, narrator, router, address, min(nodes - {spare}))
    deleted = time.time()
    kubectl("delete", "service", SERVICE, "--timeout=30s")
    left = router.nodes_with(address)
    expect(not left, f"no route to {address} when the Service is gone", left)
    last = max(event.at for event in router.route_events(since=deleted) if event.removed and event.prefix == prefix)
    narrator.measured("Service deleted until the router had no route to it", milliseconds(last - deleted))
    cluster.kubectl(
        "delete", "bgppeer.berth.dev/top-of-rack", "bgpadvertisement.berth.dev/routed", "ippool.berth.dev/routed"
    )


def _drain(cluster: Cluster, narrator: Narrator, router: Bird, address: str, node: str) -> None:
    """The node is to take no traffic: its route is marked, goes, and comes back with the label's end."""
    kubectl = ShownKubectl(cluster.kubectl, narrator)
    others = {each.name for each in cluster.topology.nodes} - {node}
    kubectl("label", "node", node, f"{EXCLUDE}=")
    wait_for(
        f"{node} asks the router to use other ways",
        lambda: GRACEFUL_SHUTDOWN in _communities(router, address, node),
        timeout_seconds=SETTLE_SECONDS,
    )
    narrator.saw(f"{node}'s route carries GRACEFUL_SHUTDOWN (RFC 8326): the router is to use the others'")
    _until(router, address, others)
    narrator.saw(f"then it is withdrawn; {' and '.join(sorted(others))} are left")
    kubectl("label", "node", node, f"{EXCLUDE}-")
    _until(router, address, others | {node})


def _communities(router: Bird, address: str, node: str) -> frozenset[tuple[int, int]]:
    route = router.routes(f"{address}/32").get(node)
    return route.communities if route else frozenset()


def _until(router: Bird, address: str, nodes: set[str]) -> None:
    what = f"the router has {address} from {', '.join(sorted(nodes))}"
    wait_for(what, lambda: router.nodes_with(address) == nodes, timeout_seconds=SETTLE_SECONDS)
