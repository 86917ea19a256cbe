"""What is killed is silent."""

from crds.names import ALLOCATOR_LEASE
from tests.sim.cluster import Cluster, surroundings
from tests.sim.machines import NAMESPACE


def test_a_leader_that_is_killed_does_not_give_its_lease_back() -> None:
    with surroundings(1):
        cluster = Cluster(1)
        cluster.install()
        cluster.start_allocators()
        cluster.world.run_until(3.0)
        leader = next(one for one in cluster.allocators if one.leads)
        leader.kill()
        cluster.world.run_until(5.0)
        lease = cluster.api.get("leases", ALLOCATOR_LEASE, NAMESPACE)
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == f"{leader.name}.1"
        cluster.world.run_until(20.0)
        assert any(one.leads for one in cluster.allocators)
        cluster.end()
