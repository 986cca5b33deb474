"""The versions of STOMP and how one is chosen, in CONNECT and as a WebSocket subprotocol."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from types import MappingProxyType
from typing import Final


class Version(Enum):
    """A version of STOMP; the value is its name on the wire."""

    V1_0 = "1.0"
    V1_1 = "1.1"
    V1_2 = "1.2"

    # Versions are keys of tables that every frame passes; Enum's own hash is a Python function.
    __hash__ = object.__hash__


SUBPROTOCOLS: Final = MappingProxyType({"v12.stomp": Version.V1_2, "v11.stomp": Version.V1_1, "v10.stomp": Version.V1_0})
"""The registered WebSocket subprotocols, newest first."""

_NEWEST_FIRST: Final = (Version.V1_2, Version.V1_1, Version.V1_0)


def choose(accept_version: str | None) -> Version | None:
    """Return the highest version in the client's ``accept-version``, None if there is none in common.

    The order of the list means nothing, and spaces around its members are forgiven. A client that sends no such header
    speaks 1.0 (STOMP 1.2, Protocol Negotiation).
    """
    if accept_version is None:
        return Version.V1_0
    offered = {name.strip() for name in accept_version.split(",")}
    return next((version for version in _NEWEST_FIRST if version.value in offered), None)


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the first WebSocket subprotocol of the client's list that is STOMP, None if there is none (RFC 6455 4.2.2)."""
    return next((name for name in offered if name in SUBPROTOCOLS), None)
