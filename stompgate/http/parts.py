"""What the HTTP application is made of: the services it asks, and the settings that are its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from stompgate.access.addresses import Networks
from stompgate.access.origins import AllowedOrigins
from stompgate.chat.history import History
from stompgate.chat.inquiries import Inquiries
from stompgate.chat.rooms import Rooms
from stompgate.chat.wire import Wire
from stompgate.gateway.operating import Operating
from stompgate.ports.clock import Clock
from stompgate.ports.sessions import Sessions

from .measures import Sources

EVERYONE: Literal["*"] = "*"


@dataclass(frozen=True, slots=True)
class PartHealth:
    """How one part is. ``needed``: without it the server is down, not just degraded. ``reason`` is shown: no secrets."""

    name: str
    ok: bool
    reason: str = ""
    needed: bool = False


class Health(Protocol):
    """Who knows how the server is."""

    def live(self) -> bool:
        """False once the process can no longer help itself and should be restarted."""

    @property
    def draining_since(self) -> str:
        """When the server began to go down, "" while it does not."""

    async def parts(self) -> Sequence[PartHealth]:
        """Every part as it is now, within a few seconds. Never raises."""


@dataclass(frozen=True, slots=True)
class HttpParts:
    """The services behind the paths. ``server_id`` is the name of this server in its group; ``sources`` has the figures;
    ``stop`` has the server go down, as SIGTERM does."""

    server_id: str
    rooms: Rooms
    history: History
    inquiries: Inquiries
    sessions: Sessions
    wire: Wire
    clock: Clock
    health: Health
    sources: Callable[[], Sources]
    operating: Operating
    stop: Callable[[], None]


@dataclass(slots=True)
class HttpSettings:
    """How strict the paths are. ``operators``, ``operator_token`` and ``body_limit_bytes`` may be set anew while it serves.

    ``operators``: networks whose hosts see every room and session, ``"*"`` for everyone. ``history_needs_user``: a room's
    history is for its members. ``allowed_origins``: whose pages may call; the server's own origin needs no permission.
    ``page_messages`` is the size of a page of history where the request names none. ``proxies``: networks of proxies whose word
    about the peer counts where requests are limited. ``operator_token`` opens the paths below ``/operator`` to who shows it, ""
    to nobody. ``tail_limit_bytes`` may wait for a slow reader of a room's tail.
    """

    operators: Networks | Literal["*"] = ()
    history_needs_user: bool = True
    allowed_origins: AllowedOrigins = field(default_factory=lambda: AllowedOrigins(()))
    body_limit_bytes: int = 65_536
    page_messages: int = 50
    send_timeout_s: float = 30.0
    proxies: Networks = ()
    operator_token: str = field(default="", repr=False)
    tail_limit_bytes: int = 512 * 1024
