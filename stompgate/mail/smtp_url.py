"""What a URL ``smtp://`` or ``smtps://`` means: ``smtp://[user:password@]host[:port]``. It connects to nothing.

The ports are those for handing in mail: 587 for smtp (RFC 6409), 465 for smtps, which is TLS from the first byte (RFC 8314).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from stompgate.ports.clock import Clock
from stompgate.ports.part import SetupError

from .letter import is_plain_address, sender_of
from .smtp import SmtpMail
from .smtp_options import Access, Security, SmtpOptions

_EXPECTED: Final = "mail: expected smtp://host:587 or smtps://host:465, user:password@ before the host if need be"
_PORTS: Final = {"smtp": 587, "smtps": 465}
_STARTTLS: Final = {
    "required": Security.STARTTLS,
    "offered": Security.STARTTLS_IF_OFFERED,
    "never": Security.NONE,
}


def from_url(url: str, *, clock: Clock, options: Mapping[str, Any], **_others: object) -> SmtpMail:
    """Return mail through the server that the settings mean, not opened yet. Raises ``SetupError`` if they make no sense."""
    chosen = SmtpOptions(**options)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
    except ValueError as error:
        raise SetupError(_EXPECTED) from error
    if not host or not host.isascii() or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise SetupError(_EXPECTED)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise SetupError("mail: expected both a user and a password before the host, or neither")
    security = Security.TLS if parts.scheme == "smtps" else _STARTTLS[chosen.starttls]
    if user and security is Security.NONE:
        raise SetupError('mail: with smtp.starttls = "never" the password would be sent in clear text')
    sender = sender_of(chosen.sender)
    if sender is None:
        raise SetupError('smtp.sender: expected an address like "chat@example.org" or "Chat <chat@example.org>"')
    if not is_plain_address(chosen.support_address):
        raise SetupError('smtp.support_address: expected an address like "support@example.org"')
    access = Access(
        host=host,
        port=port,
        user=user,
        password=password,
        security=security,
        trust=_trust(chosen.tls_ca),
        sender=sender,
        support_address=chosen.support_address,
        answer_timeout_s=chosen.answer_timeout_s,
        attempt_timeout_s=chosen.attempt_timeout_s,
        check_every_s=chosen.check_every_s,
    )
    return SmtpMail(access, clock)


def _trust(tls_ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=tls_ca or None)
    except OSError as error:  # ssl.SSLError too
        raise SetupError(f"smtp.tls_ca: {tls_ca} cannot be read: {error}") from error
