"""User destinations: names that mean something else for each user or connection.

``/user/queue/x`` is one's own; ``/user/{name}/queue/x`` reaches every session of another user; ``/temp-queue/x``, which only
ever stands in a ``reply-to`` header, is a private destination that the server names. A user's name becomes part of a
destination only after it was escaped, so that none can look like a pattern or like somebody else's.
"""

from __future__ import annotations

import secrets
from typing import Final
from urllib.parse import quote, unquote

USER_PREFIX: Final = "/user/"
REPLY_PREFIX: Final = "/reply-queue/"
TEMPORARY_PREFIX: Final = "/temp-queue/"
ERRORS: Final = "/user/queue/errors"
"""Where the errors of a connection come that asked for ``errors:soft``."""

_OWN_FIRST: Final = frozenset({"queue", "topic"})


def is_own(segments: list[str]) -> bool:
    """Tell one's own destination from another user's, by the segments behind ``/user/``."""
    return segments[0] in _OWN_FIRST


def of_user(user: str, own: str) -> str:
    """Return the destination that reaches all sessions of ``user`` that subscribed to ``own``, which begins with ``/user/``."""
    return f"{USER_PREFIX}{quote(user, safe='')}/{own[len(USER_PREFIX) :]}"


def canonical(name: str, rest: str) -> str:
    """Return the destination of a user as ``of_user`` writes it.

    In ``name`` a slash is written ``%2F`` and a percent sign ``%25``; whoever is called queue or topic, ``%71ueue``.
    """
    return of_user(unquote(name), f"{USER_PREFIX}{rest}")


def shown(destination: str) -> str:
    """Return the name by which a subscriber knows a destination that was sent to."""
    if not destination.startswith(USER_PREFIX):
        return destination
    return USER_PREFIX + destination[len(USER_PREFIX) :].partition("/")[2]


def new_reply_destination() -> str:
    """Return a destination that nobody can guess."""
    return REPLY_PREFIX + secrets.token_urlsafe(16)
