"""The identity by header is the CONNECT header's, as it is, or none."""

from __future__ import annotations

import pytest

from stompgate.access.identities import USER_LIMIT_CHARS, HeaderAuthenticator
from stompgate.model.causes import Cause, Refusal
from stompgate.model.sessions import ANONYMOUS, Identity


def refused(authenticator: HeaderAuthenticator, headers: dict[str, str]) -> Cause:
    with pytest.raises(Refusal) as refusal:
        authenticator.authenticate(headers)
    return refusal.value.cause


@pytest.mark.parametrize("user", ["ann", "ann@example.org", "김철수", "a b", "x" * USER_LIMIT_CHARS])
@pytest.mark.parametrize("anonymous", [False, True])
def test_the_sender_is_the_user(user: str, anonymous: bool) -> None:
    assert HeaderAuthenticator(anonymous=anonymous).authenticate({"host": "x", "sender": user}) == Identity(user)


@pytest.mark.parametrize("headers", [{}, {"sender": ""}, {"login": "ann"}])
def test_without_a_sender_only_where_that_is_allowed(headers: dict[str, str]) -> None:
    assert HeaderAuthenticator(anonymous=True).authenticate(headers) is ANONYMOUS
    assert refused(HeaderAuthenticator(anonymous=False), headers) is Cause.IDENTITY_REQUIRED


@pytest.mark.parametrize("user", ["a\nb", "a\0", "\x7f", "a\u202eb", "x" * (USER_LIMIT_CHARS + 1)])
@pytest.mark.parametrize("anonymous", [False, True])
def test_a_sender_that_is_no_name_is_refused(user: str, anonymous: bool) -> None:
    assert refused(HeaderAuthenticator(anonymous=anonymous), {"sender": user}) is Cause.BAD_HEADER
