"""Whose a connection is, as far as a network address can say: for limits and for the log, never for rights.

What a proxy says is believed only of proxies in the settings: anyone may write the header.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Networks = tuple[IPv4Network | IPv6Network, ...]


def forwarded_for(lines: Iterable[str], peer: str, proxies: Networks) -> IPv4Address | IPv6Address | None:
    """Return the peer's address or, where that is a proxy of ours, the last one of ``X-Forwarded-For`` that is not.

    ``lines``: the values of that header. None if the peer has no address.
    """
    hops = [hop.strip() for line in lines for hop in line.split(",")]
    found: IPv4Address | IPv6Address | None = None
    for hop in (peer, *reversed(hops)):
        address = _parsed(hop)
        if address is None:
            break
        found = address
        if not any(address in network for network in proxies):
            break
    return found


def _parsed(hop: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(hop.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
