"""Who someone is, and what they may do."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Protocol

from stompgate.model.destinations import Destination
from stompgate.model.sessions import Identity


class Authenticator(Protocol):
    """Tells who a connecting client is."""

    def authenticate(self, connect_headers: Mapping[str, str]) -> Identity | Awaitable[Identity]:
        """Return the identity that the headers of CONNECT prove. Raises ``Refusal`` (never a driver's error) if none."""


class Authoriser(Protocol):
    """Decides on every SUBSCRIBE and every SEND, by the canonical destination, before anything else happens.

    Both return None when the answer was at hand, else an awaitable to wait for. Both raise ``Refusal`` to say no; a no is
    never given from memory alone.
    """

    def may_subscribe(self, identity: Identity, destination: Destination) -> Awaitable[None] | None:
        """Return if ``identity`` may receive what is sent to ``destination``, which may be a pattern."""

    def may_send(self, identity: Identity, destination: Destination) -> Awaitable[None] | None:
        """Return if ``identity`` may send to ``destination``."""
