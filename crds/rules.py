"""Texts with a meaning (addresses, ranges, names, communities), and the rules the API server holds them to.

The rules are CEL, with the functions that Kubernetes adds (isIP, isCIDR, ip, cidr; Kubernetes 1.31). They stop mistakes
at `kubectl apply`; they are no substitute for reading a value with care, since an object may be older than a rule.

The API server estimates what a rule costs at worst and refuses a CRD with rules that cost too much. It knows the size
of a field with a maxLength and of a substring of one, but not of an item of `split`: no text function runs on these.
"""

from typing import Annotated

from crds.markers import IntOrString, Items, ListSet, Rule, Text

OBJECT_NAME_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

ObjectName = Annotated[str, Text(min_length=1, max_length=253, pattern=OBJECT_NAME_PATTERN)]
NodeName = ObjectName
Namespace = Annotated[str, Text(min_length=1, max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
PoolNames = Annotated[tuple[ObjectName, ...], Items(maximum=256), ListSet()]

# Addresses

ADDRESS_LENGTH = 45
"""The longest text of an IPv6 address."""

AddressText = Annotated[str, Text(max_length=ADDRESS_LENGTH)]
"""An address that Berth writes: not checked again."""

Address = Annotated[
    str,
    Text(max_length=ADDRESS_LENGTH),
    Rule("isIP(self)", "write one IP address without a prefix length, such as 192.0.2.1 or 2001:db8::1"),
]

IPv4Text = Annotated[
    str,
    Text(max_length=15),
    Rule(
        "isIP(self) && ip(self).family() == 4 && self != '0.0.0.0'",
        "write an IPv4 address other than 0.0.0.0, such as 192.0.2.1",
    ),
]

_FIRST = "self.substring(0, self.indexOf('-'))"
_LAST = "self.substring(self.indexOf('-') + 1)"
_IS_RANGE = f"self.contains('-') && isIP({_FIRST}) && isIP({_LAST})"


def _ipv4_number(octets: str) -> str:
    return f"int({octets}[0]) * 16777216 + int({octets}[1]) * 65536 + int({octets}[2]) * 256 + int({octets}[3])"


AddressRange = Annotated[
    str,
    Text(min_length=1, max_length=2 * ADDRESS_LENGTH + 1),
    Rule(
        f"isIP(self) || isCIDR(self) || ({_IS_RANGE})",
        "write a network (192.0.2.0/24, 2001:db8::/64), a range from first to last without spaces "
        "(192.0.2.10-192.0.2.20), or one address (192.0.2.10)",
    ),
    Rule(
        "!isCIDR(self) || cidr(self) == cidr(self).masked()",
        "the address has bits set beyond the prefix length: write the network's first address (192.0.2.0/24, not "
        "192.0.2.7/24), or one address without a prefix length (192.0.2.7)",
    ),
    Rule(
        f"!({_IS_RANGE}) || ip({_FIRST}).family() == ip({_LAST}).family()",
        "the range starts in one address family and ends in the other: write both ends as IPv4 or both as IPv6",
    ),
    # CEL has no order of IP addresses; IPv4 can be put into numbers. An inverted IPv6 range is found by the allocator.
    Rule(
        f"!({_IS_RANGE}) || ip({_FIRST}).family() != 4 || ip({_LAST}).family() != 4"
        # A list of one item and `all` name a value; CEL in Kubernetes has no other binding.
        f" || [{_FIRST}.split('.')].all(first, [{_LAST}.split('.')].all(last,"
        f" {_ipv4_number('first')} <= {_ipv4_number('last')}))",
        "the range ends before it starts: write the lower address first (192.0.2.10-192.0.2.20)",
    ),
]

_OCTETS = "self.split('.')"
_SINGLE_IS_SOMEBODYS = (
    f"ip(self).isGlobalUnicast() && (ip(self).family() != 4 || (int({_OCTETS}[0]) >= 1 && int({_OCTETS}[0]) <= 223))"
)
# Of two networks that meet, one contains the other: so the first address says whether it lies in one of these, and the
# first addresses of these whether it contains one. An IPv6 network that contains ::1 begins with :: or is ::1/128.
_NETWORK_IS_SOMEBODYS = (
    f"cidr(self).ip().isGlobalUnicast() && (cidr(self).ip().family() != 4 || (int({_OCTETS}[0]) >= 1"
    f" && int({_OCTETS}[0]) <= 223)) && "
    + " && ".join(
        f"!cidr(self).containsIP('{first}')" for first in ("127.0.0.0", "169.254.0.0", "224.0.0.0", "fe80::", "ff00::")
    )
)
# 2851995648 to 2852061183 is 169.254.0.0/16. What lies between two IPv6 addresses is looked at by the allocator.
_RANGE_IS_SOMEBODYS = (
    f"ip({_FIRST}).isGlobalUnicast() && ip({_LAST}).isGlobalUnicast()"
    f" && (ip({_FIRST}).family() != 4 || ip({_LAST}).family() != 4"
    f" || [{_FIRST}.split('.')].all(first, [{_LAST}.split('.')].all(last,"
    " int(first[0]) >= 1 && int(last[0]) <= 223 && (int(first[0]) > 127 || int(last[0]) < 127)"
    f" && ({_ipv4_number('first')} > 2852061183 || {_ipv4_number('last')} < 2851995648))))"
)

PoolAddresses = Annotated[
    AddressRange,
    Rule(
        f"(!isIP(self) || ({_SINGLE_IS_SOMEBODYS})) && (!isCIDR(self) || ({_NETWORK_IS_SOMEBODYS}))"
        f" && (!({_IS_RANGE}) || ({_RANGE_IS_SOMEBODYS}))",
        "it is, or contains, what no Service can have: an unspecified (0.0.0.0/8, ::), loopback (127.0.0.0/8, ::1), "
        "link-local (169.254.0.0/16, fe80::/10), multicast (224.0.0.0/4, ff00::/8), reserved or broadcast address "
        "(240.0.0.0/4): write addresses that routers and hosts of your network take for those of one host",
    ),
]
"""What a pool lists. See also allocator.space.nobodys, for objects that are older than this rule."""

# Interfaces

InterfaceName = Annotated[str, Text(min_length=1, max_length=15, pattern=r"^[^/\s]+$")]
"""As Linux takes it: at most 15 bytes, no slash, no white space."""

InterfacePattern = Annotated[
    str,
    Text(min_length=1, max_length=64),
    Rule(
        "!self.contains('/')",
        "regular expressions are not taken: write an interface's name (eth0), or a pattern as in a shell "
        "(ens*, eth?, bond[0-9], [!v]*)",
    ),
    Rule(
        r"self.matches('^([^][\\s]|\\[[^][\\s]+\\])+$') && (self.matches('[*?\\[]') || size(self) <= 15)",
        "write an interface's name (eth0; at most 15 bytes), or a pattern as in a shell: * stands for any characters, "
        "? for one, [a-c0-9] for one of these, [!v] for one that is none of these",
    ),
]
"""See speaker.layer2.glob."""

# BGP

WELL_KNOWN_COMMUNITIES = (
    "blackhole",
    "graceful-shutdown",
    "no-advertise",
    "no-export",
    "no-export-subconfed",
    "no-peer",
)
"""RFC 1997, RFC 3765, RFC 7999, RFC 8326; by the names of IANA's registry, in lower case with hyphens."""

_IS_STANDARD = "self.matches('^[0-9]{1,5}:[0-9]{1,5}$')"
_IS_LARGE = "self.matches('^large:[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}$')"
_IS_NAME = "self.matches('^[a-zA-Z][-._a-zA-Z0-9]*$')"
_WRITE_COMMUNITY = "write a community as 64512:100 (both numbers at most 65535) or large:64512:1:2"

_PARTS_FIT = (
    Rule(
        f"!{_IS_STANDARD} || self.split(':').all(part, int(part) <= 65535)",
        "both numbers of a standard community are at most 65535; for larger ones write large:64512:1:2 (RFC 8092)",
    ),
    Rule(
        f"!{_IS_LARGE} || self.substring(6).split(':').all(part, int(part) <= 4294967295)",
        "the numbers of a large community are at most 4294967295",
    ),
)

CommunityNumber = Annotated[
    str, Text(max_length=64), Rule(f"{_IS_STANDARD} || {_IS_LARGE}", _WRITE_COMMUNITY), *_PARTS_FIT
]
CommunityValue = Annotated[
    str,
    Text(max_length=64),
    Rule(
        f"{_IS_STANDARD} || {_IS_LARGE} || {_IS_NAME}",
        f"{_WRITE_COMMUNITY}, as a well-known name such as no-export, or as a name from a Community object",
    ),
    *_PARTS_FIT,
]
CommunityName = Annotated[
    str,
    Text(max_length=64),
    Rule(_IS_NAME, "a name starts with a letter and holds letters, digits, dots, underscores and hyphens only"),
    Rule(
        f"!(self in [{', '.join(repr(name) for name in WELL_KNOWN_COMMUNITIES)}])",
        "this is the name of a well-known community, which every BGPAdvertisement may use: choose another name",
    ),
]

PeerASN = Annotated[
    int | str,
    IntOrString(),
    Rule(
        "type(self) == int ? self >= 1 && self <= 4294967295 : self == 'External' || self == 'Internal'",
        "write the peer's AS number (1 to 4294967295), External, or Internal",
    ),
]

QualifiedName = Annotated[
    str,
    Text(
        min_length=1,
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$",
    ),
]
"""The key of a label or annotation: a name of at most 63 characters, mostly behind a domain and a slash."""
