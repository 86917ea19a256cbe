"""Which machine a speaker runs on, as text: so that a process can tell its dead predecessor from a machine that lives.

Two machines can come to have one node name: one is replaced and still powered, or cloned. A name in the abstract socket
namespace shows that no other speaker runs on the own machine, and nothing about others. So the Speaker says which
machine it is, by two things that differ:

* The boot id (/proc/sys/kernel/random/boot_id): of the running kernel, readable in any container. It is the same only
  on the same machine, unless that was copied while it ran; and after a reboot it is another one.
* A digest of machineID and systemUUID, which the kubelet writes into the Node (nodeInfo): the same after a reboot.
  They count only where nodeInfo has our own boot id; else another machine's kubelet wrote them, or the former boot's.
  The kubelet may write them long after the speaker has started.
"""

from hashlib import blake2b

from kube.objects import NodeSystemInfo

DIGEST_BYTES = 12


def machine_text(boot_id: str, told: NodeSystemInfo) -> str:
    """At most 64 characters; "" when nothing is known. `boot_id`: of the running kernel. `told`: by the own Node."""
    lasting = told.machine_id + told.system_uuid
    if not boot_id or told.boot_id != boot_id or not lasting:
        return boot_id[:36]
    return f"{boot_id[:36]} {blake2b(lasting.encode(), digest_size=DIGEST_BYTES).hexdigest()}"


def is_same_machine(one: str, other: str) -> bool:
    """Whether these texts are surely of one machine. Two that say nothing are: then nothing is ever known."""
    return one == other or not set(one.split()).isdisjoint(other.split())
