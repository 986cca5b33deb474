"""Identity by header: CONNECT's ``sender`` is the user, as a gateway in front has made sure."""

from __future__ import annotations

from collections.abc import Mapping

from stompgate.model.causes import Cause, Refusal
from stompgate.model.sessions import ANONYMOUS, Identity

USER_LIMIT_CHARS = 255


class HeaderAuthenticator:
    """The ports' ``Authenticator`` for auth mode ``header``. ``anonymous``: whether a CONNECT without ``sender`` is let in."""

    def __init__(self, *, anonymous: bool) -> None:
        self._anonymous = anonymous

    def authenticate(self, connect_headers: Mapping[str, str]) -> Identity:
        """Return the identity. Raises ``Refusal`` (IDENTITY_REQUIRED, BAD_HEADER)."""
        user = connect_headers.get("sender", "")
        if not user:
            if self._anonymous:
                return ANONYMOUS
            raise Refusal(Cause.IDENTITY_REQUIRED, "CONNECT must have the header sender: the id of the user.")
        if len(user) > USER_LIMIT_CHARS or not user.isprintable():
            raise Refusal(Cause.BAD_HEADER, f"The header sender takes 1 to {USER_LIMIT_CHARS} printable characters.")
        return Identity(user)
