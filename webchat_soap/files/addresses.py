"""Which IP addresses are public, by a table of our own.

`ipaddress.is_global` is no guard: it answers True for NAT64 of loopback, ::127.0.0.1, multicast and fec0::/10 (and for
more on Python 3.11). The table follows the IANA registries "IPv4 Special-Purpose Address Space" and "IPv6
Special-Purpose Address Space" (RFC 6890 and its updates), the IPv6 address space registry, and what clouds put on
addresses that look public. For IPv6 the rule is the other way round: nothing is public but 2000::/3 without its
special parts, since nothing else has ever been given out.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

_NOT_PUBLIC_4 = tuple(
    IPv4Network(cidr)
    for cidr in (
        "0.0.0.0/8",  # "this network", RFC 791; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",  # private use, RFC 1918
        "100.64.0.0/10",  # shared by carriers behind their NAT, RFC 6598; also one cloud's metadata, 100.100.100.200
        "127.0.0.0/8",  # loopback, RFC 1122
        "168.63.129.16/32",  # a cloud's platform endpoint, reachable only from its own machines
        "169.254.0.0/16",  # link-local, RFC 3927; 169.254.169.254 is the clouds' metadata service
        "172.16.0.0/12",  # private use, RFC 1918
        "192.0.0.0/24",  # IETF protocol assignments, RFC 6890; also one cloud's metadata, 192.0.0.192
        "192.0.2.0/24",  # documentation (TEST-NET-1), RFC 5737
        "192.31.196.0/24",  # AS112 sinks for reverse lookups of private space, RFC 7535
        "192.52.193.0/24",  # automatic multicast tunnelling, RFC 7450
        "192.88.99.0/24",  # 6to4 relay anycast, withdrawn, RFC 7526
        "192.168.0.0/16",  # private use, RFC 1918
        "192.175.48.0/24",  # AS112 sinks, RFC 7534
        "198.18.0.0/15",  # benchmarking of network gear, RFC 2544
        "198.51.100.0/24",  # documentation (TEST-NET-2), RFC 5737
        "203.0.113.0/24",  # documentation (TEST-NET-3), RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, RFC 1112; and 255.255.255.255, limited broadcast, RFC 919
    )
)

_GIVEN_OUT_6 = IPv6Network("2000::/3")  # global unicast as far as it was ever given to registries, RFC 4291
# Outside of it, and so never public: :: and ::1, ::/96 (IPv4-compatible), ::ffff:0:0/96 (IPv4-mapped), 64:ff9b:1::/48
# (local NAT64, RFC 8215), 100::/64 (discard, RFC 6666), 5f00::/16 (segment routing, RFC 9602), fc00::/7 (unique local,
# RFC 4193; fd00:ec2::254 is a cloud's metadata), fe80::/10 (link-local), fec0::/10 (site-local), ff00::/8 (multicast).

_NOT_PUBLIC_6 = tuple(
    IPv6Network(cidr)
    for cidr in (
        "2001::/23",  # IETF protocol assignments, RFC 2928: Teredo 2001::/32, benchmarking, ORCHID, anycast services
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056: carries any IPv4 address within, so also the inner ones
        "2620:4f:8000::/48",  # AS112 sinks, RFC 7534
        "3ffe::/16",  # the 6bone, returned, RFC 3701
        "3fff::/20",  # documentation, RFC 9637
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 address in the last 32 bits, on networks that speak IPv6 only
_ISATAP_INTERFACES = frozenset({0x0000_5EFE, 0x0200_5EFE})  # RFC 5214: an IPv4 address follows, under any prefix


def is_public(address: IpAddress) -> bool:
    """Whether anybody's file may stand there: a unicast address of the public internet, hiding no other one.

    An address behind the well-known NAT64 prefix is as public as the IPv4 address in it: on a network without IPv4
    every public IPv4 host is reached that way.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address not in _GIVEN_OUT_6 or any(address in network for network in _NOT_PUBLIC_6):
        return False
    return (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP_INTERFACES


def parse_address(text: str) -> IpAddress:
    """An address in its usual notation (four decimal numbers, or IPv6 without brackets). ValueError for others."""
    return ip_address(text)


def parse_network(text: str) -> IpNetwork:
    """A network as CIDR. ValueError, also where bits beyond the prefix are set."""
    return ip_network(text)
