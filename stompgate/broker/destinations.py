"""Reading destinations: a text from a frame becomes the one checked form that authorisation and routing both use.

What is not plainly one of our destinations is refused here, so that nothing downstream sees two spellings of one place.
"""

from __future__ import annotations

from functools import lru_cache

from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Destination, Kind

from . import users
from .patterns import Pattern, has_wildcard

LENGTH_LIMIT_BYTES = 255
ROOM_PREFIX = "/sub/chat/room/"
_INTAKE_PREFIX, _INTAKE_SUFFIX = "/pub/room/", "/message"
QUEUE_PREFIX = "/queue/"
_BROADCAST_PREFIXES = ("/topic/", "/sub/")
_EXPECTED = (
    "Expected /pub/room/{roomUUID}/message to send to a room, /sub/chat/room/{roomUUID} to subscribe to one, "
    "or a destination below /topic/, /queue/, /sub/ or /user/."
)


def room_destination(room: str) -> str:
    """The destination of a room's messages."""
    return ROOM_PREFIX + room


def read_bare(text: str) -> Destination:
    """As ``read_destination``, but a name that does not begin with ``/`` is that of a queue."""
    return read_destination(text if text.startswith("/") else QUEUE_PREFIX + text)


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
    if text.startswith(QUEUE_PREFIX) and not has_wildcard(text):
        return Destination(text, Kind.QUEUE)
    if text.startswith(users.USER_PREFIX):
        return _read_user(text)
    if text.startswith(users.REPLY_PREFIX) and "/" not in text[len(users.REPLY_PREFIX) :]:
        return Destination(text, Kind.REPLY)
    if text.startswith(users.TEMPORARY_PREFIX):
        raise Refusal(Cause.BAD_DESTINATION, "A destination below /temp-queue/ stands in the reply-to header of a SEND only.")
    raise Refusal(Cause.BAD_DESTINATION, _EXPECTED)


def _read_user(text: str) -> Destination:
    segments = text[len(users.USER_PREFIX) :].split("/")
    if users.is_own(segments) and len(segments) > 1 and not has_wildcard(text):
        return Destination(text, Kind.OWN, is_servers=text == users.ERRORS)
    if len(segments) > 2 and users.is_own(segments[1:]) and not has_wildcard("/".join(segments[1:])):
        name = users.canonical(segments[0], "/".join(segments[1:]))
        return Destination(name, Kind.USER, is_servers=users.shown(name) == users.ERRORS)
    raise Refusal(
        Cause.BAD_DESTINATION, "Expected /user/queue/… or /user/topic/… for oneself, /user/{name}/queue/… for another user."
    )


def _check_spelling(text: str) -> None:
    if len(text) > LENGTH_LIMIT_BYTES or len(text.encode(errors="replace")) > LENGTH_LIMIT_BYTES:
        raise Refusal(Cause.BAD_DESTINATION, f"A destination has at most {LENGTH_LIMIT_BYTES} bytes.")
    is_user = text.startswith(users.USER_PREFIX)  # in a user's name a slash is written so
    if not text.isprintable() or "\\" in text or ("%2f" in text.lower() and not is_user):
        raise Refusal(Cause.BAD_DESTINATION, "A destination has no control characters, backslashes or encoded slashes.")
    if not text.startswith("/"):
        raise Refusal(Cause.BAD_DESTINATION, _EXPECTED)
    if any(segment in ("", ".", "..") for segment in text[1:].split("/")):
        raise Refusal(Cause.BAD_DESTINATION, "A destination has no empty segments and none that are . or ..")


def _checked_room(room: str) -> str:
    if not room or "/" in room or has_wildcard(room):
        raise Refusal(Cause.BAD_DESTINATION, "A room's destination ends in the room's UUID, which is no pattern.")
    return room
