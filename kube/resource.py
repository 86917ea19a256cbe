"""The resources Berth talks about, and their paths on an API server.

Names only: nothing here performs a request or knows what an object looks like.
"""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Resource:
    """One REST resource: `group` is "" for the core API; `namespaced` says where its objects live."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """As written in an object's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """As kubectl and a CustomResourceDefinition name it: ippools.berth.dev."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, name: str | None = None, namespace: str | None = None, subresource: str | None = None) -> str:
        """The path of one object, or of the collection when `name` is None.

        A namespaced collection without `namespace` is that of all namespaces; one object needs both.
        """
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        elif self.namespaced and name is not None:
            raise ValueError(f"{self.kind} {name} is namespaced: its path needs the namespace")
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


SERVICES = Resource("", "v1", "services", "Service", True)
NODES = Resource("", "v1", "nodes", "Node", False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False)
SECRETS = Resource("", "v1", "secrets", "Secret", True)
EVENTS = Resource("", "v1", "events", "Event", True)
ENDPOINTSLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", True)
SERVICECIDRS = Resource("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", True)


def _own(plural: str, kind: str) -> Resource:
    return Resource("berth.dev", "v1beta1", plural, kind, False)


IPPOOLS = _own("ippools", "IPPool")
IPALLOCATIONS = _own("ipallocations", "IPAllocation")
L2ADVERTISEMENTS = _own("l2advertisements", "L2Advertisement")
BGPADVERTISEMENTS = _own("bgpadvertisements", "BGPAdvertisement")
BGPPEERS = _own("bgppeers", "BGPPeer")
BFDPROFILES = _own("bfdprofiles", "BFDProfile")
COMMUNITIES = _own("communities", "Community")
SPEAKERS = _own("speakers", "Speaker")
RELEASECONFIRMATIONS = _own("releaseconfirmations", "ReleaseConfirmation")
SPEAKERREPORTS = _own("speakerreports", "SpeakerReport")
DEPARTEDSPEAKERS = _own("departedspeakers", "DepartedSpeaker")
