"""The operator's socket of this server: opened once it serves, closed before another may serve in its name.

Nobody is kept from chatting for the sake of whoever looks in: where the place was chosen and cannot be had, that is a warning.
Where the settings name it, it is a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from stompgate.ports.part import SetupError
from stompgate.transports.http_side import HttpSide
from stompgate.transports.local_socket import LocalSocket

from .operator_place import chosen, objection
from .settings import NO_SOCKET, Settings

_log = structlog.get_logger(__name__)


class OperatorDoor:
    """The socket, and the requests that come by it."""

    def __init__(self, http: HttpSide, settings: Settings, environment: Mapping[str, str]) -> None:
        self.http = http
        named = settings.operator.socket
        self._is_wanted = named != NO_SOCKET
        self._is_named = bool(named)
        self._socket = LocalSocket(Path(named) if named else chosen(settings.server_id, environment))
        self.address = ""

    async def open(self) -> None:
        """Let operators in. Raises ``SetupError`` if that cannot be at the place that the settings name."""
        if not self._is_wanted:
            return
        try:
            if reason := objection(self._socket.path):
                raise SetupError(reason)
            await self._socket.open(lambda: self.http.protocol_for(b""))
        except SetupError as error:
            if self._is_named:
                raise SetupError(f"operator.socket: {error}") from error
            _log.warning("operators have no socket here", reason=str(error))
        else:
            self.address = str(self._socket.path)

    def close(self) -> None:
        """Let nobody in any more. Who is inside stays until ``http`` is closed."""
        self._socket.close()
