"""Texts with a meaning (addresses, ranges, names, communities), and the rules the API server holds them to.

The rules are CEL, with the functions that Kubernetes adds (isIP, isCIDR, ip, cidr). They stop mistakes at
`kubectl apply`; they are no substitute for reading a value with care, since an object may be older than a rule.
"""

from typing import Annotated

from crds.markers import IntOrString, Items, ListSet, Text

NAME_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

ObjectName = Annotated[str, Text(min_length=1, max_length=253, pattern=NAME_PATTERN)]
NodeName = ObjectName
Namespace = Annotated[str, Text(min_length=1, max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
PoolNames = Annotated[tuple[ObjectName, ...], Items(maximum=256), ListSet()]

AddressText = Annotated[str, Text(max_length=45)]
Address = Annotated[str, Text(max_length=45)]
IPv4Text = Annotated[str, Text(max_length=15)]
AddressRange = Annotated[str, Text(min_length=1, max_length=100)]

InterfaceName = Annotated[str, Text(min_length=1, max_length=15)]
InterfacePattern = Annotated[str, Text(min_length=1, max_length=128)]

CommunityName = Annotated[str, Text(min_length=1, max_length=63)]
CommunityNumber = Annotated[str, Text(min_length=3, max_length=40)]
CommunityValue = Annotated[str, Text(min_length=1, max_length=63)]

PeerASN = Annotated[int | str, IntOrString()]
