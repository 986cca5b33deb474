"""Reading destinations: a text from a frame becomes the one checked form that authorisation and routing both use.

What is not plainly one of our destinations is refused here, so that nothing downstream sees two spellings of one place.
"""

from __future__ import annotations

from functools import lru_cache

from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Destination, Kind

from .patterns import Pattern, has_wildcard

LENGTH_LIMIT_BYTES = 255
ROOM_PREFIX = "/sub/chat/room/"
_INTAKE_PREFIX, _INTAKE_SUFFIX = "/pub/room/", "/message"
_BROADCAST_PREFIXES = ("/topic/", "/sub/")
_EXPECTED = (
    "Expected /pub/room/{roomUUID}/message to send to a room, /sub/chat/room/{roomUUID} to subscribe to one, "
    "or a destination below /topic/ or /sub/."
)


def room_destination(room: str) -> str:
    """The destination of a room's messages."""
    return ROOM_PREFIX + room


@lru_cache(maxsize=4096)
def read_destination(text: str) -> Destination:
    """Read the ``destination`` header of SEND or SUBSCRIBE. Raises ``Refusal`` (BAD_DESTINATION) saying what was expected."""
    _check_spelling(text)
    if text.startswith(_INTAKE_PREFIX) and text.endswith(_INTAKE_SUFFIX):
        room = text[len(_INTAKE_PREFIX) : -len(_INTAKE_SUFFIX)]
        return Destination(text, Kind.INTAKE, _checked_room(room))
    if text.startswith(ROOM_PREFIX):
        return Destination(text, Kind.ROOM, _checked_room(text[len(ROOM_PREFIX) :]))
    if text.startswith(_BROADCAST_PREFIXES):
        pattern = has_wildcard(text)
        if pattern:
            Pattern(text)  # refused here, once, if it is not well formed
        return Destination(text, Kind.BROADCAST, is_pattern=pattern)
    raise Refusal(Cause.BAD_DESTINATION, _EXPECTED)


def _check_spelling(text: str) -> None:
    if len(text) > LENGTH_LIMIT_BYTES or len(text.encode(errors="replace")) > LENGTH_LIMIT_BYTES:
        raise Refusal(Cause.BAD_DESTINATION, f"A destination has at most {LENGTH_LIMIT_BYTES} bytes.")
    if not text.isprintable() or "\\" in text or "%2f" in text.lower():
        raise Refusal(Cause.BAD_DESTINATION, "A destination has no control characters, backslashes or encoded slashes.")
    if not text.startswith("/"):
        raise Refusal(Cause.BAD_DESTINATION, _EXPECTED)
    if any(segment in ("", ".", "..") for segment in text[1:].split("/")):
        raise Refusal(Cause.BAD_DESTINATION, "A destination has no empty segments and none that are . or ..")


def _checked_room(room: str) -> str:
    if not room or "/" in room or has_wildcard(room):
        raise Refusal(Cause.BAD_DESTINATION, "A room's destination ends in the room's UUID, which is no pattern.")
    return room
