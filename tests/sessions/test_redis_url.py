"""URLs that choose Redis, and those that make no sense."""

from __future__ import annotations

import pytest

from stompgate.ports.part import SetupError
from stompgate.sessions.redis_url import from_url
from stompgate.settings import Redis
from tests.fakes import FakeClock


def made(url: str) -> dict[str, object]:
    presence = from_url(url, server_id="one", clock=FakeClock(), zone=None, options=Redis().model_dump())
    connection = presence._write_line._make()
    found = {name: getattr(connection, name) for name in ("host", "port", "db", "username", "password")}
    return found | {"prefix": presence._prefix, "kind": type(connection).__name__}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", {"host": "h", "port": 6379, "db": 0, "kind": "Connection", "prefix": ""}),
        ("redis://h:7/3?prefix=a%3A", {"host": "h", "port": 7, "db": 3, "prefix": "a:"}),
        ("redis://us%40er:p%2Fw@h/?prefix=a", {"username": "us@er", "password": "p/w", "prefix": "a", "db": 0}),
        ("redis://:pw@[::1]:7/0", {"host": "::1", "username": None, "password": "pw"}),
        ("rediss://h:7/0?ssl_cert_reqs=none", {"kind": "SSLConnection", "host": "h"}),
    ],
)
def test_a_url_is_read_to_the_letter(url: str, expected: dict[str, object]) -> None:
    found = made(url)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "url", ["redis:", "redis:///0", "redis://h:x/0", "redis://h/zero", "redis://h/0?what=ever", "redis://h/1/2"]
)
def test_a_url_that_makes_no_sense_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SetupError) as refused:
        made(url.replace("//h", "//user:secret@h"))
    assert "redis://host:6379/0" in str(refused.value)
    assert "secret" not in str(refused.value)
