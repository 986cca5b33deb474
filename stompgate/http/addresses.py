"""Whose a request is, for limits per address: of IPv6 the network, so that nobody has many."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from fastapi import Request

from stompgate.access.addresses import Networks, forwarded_for

_OWN_NETWORK_BITS = 64
"""What one customer of a provider has of IPv6 at the least."""


def address_of(request: Request, proxies: Networks) -> str:
    """Return the address that a request counts for, "" if there is none."""
    peer = "" if request.client is None else request.client.host
    found = forwarded_for(request.headers.getlist("x-forwarded-for"), peer, proxies)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found.packed, _OWN_NETWORK_BITS), strict=False))
    return "" if found is None else str(found)
