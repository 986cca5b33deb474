"""What a request says about itself: who asks, whether an operator asks, and its body.

It trusts the gateway's header about the user, and nothing that a proxy or client claims about the peer.
"""

import unicodedata
from collections.abc import Callable
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address
from typing import Annotated

from fastapi import Header, Request

from stompgate.model.causes import Cause, Refusal

from .addresses import address_of
from .parts import EVERYONE, HttpSettings

USER_HEADER = "X-Auth-User"
USER_LIMIT_CHARS = 255
OPERATOR_PREFIX = "/operator"

_FORWARDING = frozenset({b"forwarded", b"x-real-ip", b"via", b"true-client-ip", b"cf-connecting-ip"})
_FORWARDING_PREFIX = b"x-forwarded-"


def check_text(value: str, what: str, limit_chars: int = USER_LIMIT_CHARS) -> str:
    """Return ``value`` if it is 1 to ``limit_chars`` characters, none of them a control. Raises ``Refusal`` (BAD_REQUEST)."""
    if not value.strip() or len(value) > limit_chars:
        raise Refusal(Cause.BAD_REQUEST, f"{what} must have 1 to {limit_chars} characters.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise Refusal(Cause.BAD_REQUEST, f"{what} must not contain control characters.")
    return value


async def auth_user(
    request: Request,
    _documented: Annotated[
        str | None, Header(alias=USER_HEADER, description="The user id that the gateway has authenticated, in UTF-8.")
    ] = None,
) -> str:
    """Return the user that the gateway names. Raises ``Refusal`` (BAD_REQUEST) without exactly one usable header."""
    # The bytes, not the framework's Latin-1 reading of them: user ids may be Korean.
    name = USER_HEADER.lower().encode()
    values = [value for header, value in request.headers.raw if header == name]
    if len(values) != 1:
        raise Refusal(Cause.BAD_REQUEST, f"The header {USER_HEADER} is required, once.")
    try:
        user = values[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(Cause.BAD_REQUEST, f"The header {USER_HEADER} must be UTF-8.") from error
    return check_text(user, f"The header {USER_HEADER}")


def operators_only(settings: HttpSettings) -> Callable[[Request], None]:
    """Return the dependency that refuses everyone who is no operator (OPERATORS_ONLY)."""

    def check(request: Request) -> None:
        if settings.operators != EVERYONE and not _is_operator(request, settings):
            raise Refusal(Cause.OPERATORS_ONLY)

    return check


def _is_operator(request: Request, settings: HttpSettings) -> bool:
    # Whoever speaks through a proxy is not its host: else a proxy on this machine would make operators of all.
    for name, _ in request.headers.raw:
        if name in _FORWARDING or name.startswith(_FORWARDING_PREFIX):
            return False
    if request.client is None:
        return False
    try:
        peer = ip_address(request.client.host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return any(peer in network for network in settings.operators if not isinstance(network, str))


def token_only(settings: HttpSettings) -> Callable[[Request], None]:
    """Return the dependency that refuses who does not show the operator's token (TOKEN_REQUIRED); without one, everyone."""

    def check(request: Request) -> None:
        token = settings.operator_token
        if not token:
            raise Refusal(
                Cause.OPERATORS_ONLY, "By HTTP this needs operator.token in the settings; the operator's socket does not."
            )
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # As bytes, and whatever the scheme: how long it takes says nothing of how much was right.
        is_right = compare_digest(given.strip().encode(), token.encode())
        if not is_right or scheme.lower() != "bearer":
            # Who tries tokens is to be seen in the log.
            detail = f"not the token, from {address_of(request, settings.proxies)}" if given else ""
            raise Refusal(
                Cause.TOKEN_REQUIRED, "Expected Authorization: Bearer and the token of operator.token.", detail=detail
            )

    return check


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the body. Raises ``Refusal`` (BODY_TOO_LONG) before more than ``limit_bytes`` are held."""
    too_long = Refusal(Cause.BODY_TOO_LONG, f"The body may have {limit_bytes} bytes.")
    claimed = request.headers.get("content-length", "")
    if claimed.isdecimal() and int(claimed[:20]) > limit_bytes:
        raise too_long
    pieces = bytearray()
    async for piece in request.stream():
        if len(pieces) + len(piece) > limit_bytes:
            raise too_long
        pieces += piece
    return bytes(pieces)
