"""A session as the JSON object that other programs read, over HTTP and in Redis: texts only, names and order are fixed.

Other programs write such objects too, so reading one never raises.
"""

from __future__ import annotations

from datetime import datetime, tzinfo

import orjson
from typing_extensions import TypedDict

from stompgate.model.sessions import Session

from .wire import Wire


class SessionObject(TypedDict):
    userId: str
    sessionId: str
    serverId: str
    serverHost: str
    serverPort: str
    serverUrl: str
    connectTime: str
    lastActiveTime: str


def session_object(session: Session, wire: Wire) -> SessionObject:
    """Return the object; of one session it is the same each time."""
    return {
        "userId": session.user,
        "sessionId": session.id,
        "serverId": session.server_id,
        "serverHost": session.server_host,
        "serverPort": str(session.server_port),
        "serverUrl": session.server_url,
        "connectTime": wire.timestamp(session.connected_at_us),
        "lastActiveTime": wire.timestamp(session.last_active_at_us),
    }


class SessionTexts:
    """Writes sessions as JSON texts and reads them. ``zone`` is the time zone of their times, None for the system's."""

    __slots__ = ("_wire", "_zone")

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone
        self._wire = Wire(zone)

    def write(self, session: Session) -> bytes:
        """The session's text."""
        return orjson.dumps(session_object(session, self._wire))

    def read(self, text: bytes) -> Session | None:
        """The session behind a text, None if it is not such a text. Nanoseconds are cut to microseconds."""
        try:
            fields = orjson.loads(text)
            return Session(
                id=str(fields["sessionId"]),
                user=str(fields["userId"]),
                server_id=str(fields["serverId"]),
                server_host=str(fields["serverHost"]),
                server_port=int(fields["serverPort"]),
                connected_at_us=self._us(fields["connectTime"]),
                last_active_at_us=self._us(fields["lastActiveTime"]),
            )
        except (ValueError, TypeError, KeyError, OverflowError):
            return None

    def _us(self, text: str) -> int:
        # Where clocks are set back, an hour stands for two moments. Either is written as the same text again.
        moment = datetime.fromisoformat(text).replace(tzinfo=self._zone)
        return round(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond
