"""Whose a request is, as far as a network address can say: for limits, never for rights.

What a proxy says is believed only of proxies in the settings: anyone may write the header.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from fastapi import Request

from .parts import Networks

_OWN_NETWORK_BITS = 64
"""What one customer of a provider has of IPv6 at the least."""


def address_of(request: Request, proxies: Networks) -> str:
    """Return the peer's address or, where that is a proxy of ours, the last one of ``X-Forwarded-For`` that is not.

    Of IPv6 it is the network, so that nobody has many. "" if there is none.
    """
    hops = [hop.strip() for line in request.headers.getlist("x-forwarded-for") for hop in line.split(",")]
    hops.append("" if request.client is None else request.client.host)
    found: IPv4Address | IPv6Address | None = None
    for hop in reversed(hops):
        address = _parsed(hop)
        if address is None:
            break
        found = address
        if not any(address in network for network in proxies):
            break
    match found:
        case None:
            return ""
        case IPv4Address():
            return str(found)
        case IPv6Address():
            return str(IPv6Network((found.packed, _OWN_NETWORK_BITS), strict=False))


def _parsed(hop: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(hop.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
