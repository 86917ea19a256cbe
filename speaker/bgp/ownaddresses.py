"""Which addresses the interfaces of this host have that others can reach, as the kernel tells (rtnetlink). Pure."""

from collections.abc import Mapping
from ipaddress import ip_interface

from crds.addresses import family_of
from speaker.bgp.surroundings import Addresses, OwnAddress
from speaker.wire import netlink

MOST_OF_A_FAMILY = 4
"""Of one interface: the first ones count. kube-proxy in IPVS mode has thousands on one."""
MOST_INTERFACES = 1024
_INET, _INET6 = 2, 10
_LENGTHS = {_INET: 4, _INET6: 16}
_SCOPE_LINK = 253  # RT_SCOPE_LINK; what is above stays on the host
_UNFIT_FOR_IPV6 = 0x01 | 0x08 | 0x20 | 0x40  # IFA_F_TEMPORARY, _DADFAILED, _DEPRECATED, _TENTATIVE (RFC 4862 §5.5.4)


class Reading:
    """One dump, taken in datagram by datagram. `names`: of the interfaces, by index."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names
        self._found: dict[str, list[OwnAddress]] = {}

    def take(self, datagram: bytes) -> bool:
        """Whether the dump ends here."""
        for kind, _, _, body in netlink.messages(datagram):
            if netlink.is_end(kind):
                return True
            if kind == netlink.NEW_ADDRESS and len(body) >= netlink.ADDRESS.size:
                self._take(body)
        return False

    def addresses(self) -> Addresses:
        """By interface, in the kernel's order."""
        return {name: tuple(found) for name, found in self._found.items()}

    def _take(self, body: bytes) -> None:
        family, length, flags, scope, index = netlink.ADDRESS.unpack_from(body)
        name = self._names.get(index)
        if name is None or scope >= _SCOPE_LINK or (family == _INET6 and flags & _UNFIT_FOR_IPV6):
            return
        values = dict(netlink.attributes(body[netlink.ADDRESS.size :]))
        packed = values.get(netlink.IFA_LOCAL) or values.get(netlink.IFA_ADDRESS, b"")
        if len(packed) != _LENGTHS.get(family) or length > 8 * len(packed):
            return
        address: OwnAddress = ip_interface((packed, length))
        known = self._found.setdefault(name, []) if len(self._found) < MOST_INTERFACES else []
        if sum(family_of(one.ip) is family_of(address.ip) for one in known) < MOST_OF_A_FAMILY:
            known.append(address)
