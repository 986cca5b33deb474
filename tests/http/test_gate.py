"""Which pages may call, and what every answer carries."""

from __future__ import annotations

import pytest
from starlette.types import Message, Receive, Scope, Send

from stompgate.access.origins import AllowedOrigins, parse_origin
from stompgate.http.gate import Gate
from stompgate.http.parts import HttpSettings

from .conftest import LEGACY, House, code_of

LISTED = HttpSettings(allowed_origins=AllowedOrigins(("https://app.example", "http://localhost:3000", "same-origin")))
PREFLIGHT = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-auth-user"}

ADMITTED = [
    "http://chat.example",
    "https://app.example",
    "https://app.example:443",
    "HTTPS://APP.example",
    "http://localhost:3000",
]
REFUSED = [
    "http://app.example",
    "https://app.example:8443",
    "https://evil-app.example",
    "https://app.example.evil",
    "https://app.example.",
    "https://app.example/path",
    "https://user@app.example",
    "http://localhost",
    "http://chat.example:81",
    "null",
    "",
    "file://",
    "https://app.example:port",
    "https://[app.example",
]


@pytest.mark.parametrize("origin", ADMITTED)
async def test_a_listed_origin_may_call_with_credentials(house: House, origin: str) -> None:
    async with house.client(LISTED) as client:
        preflight = await client.options("/room/list", headers={"Origin": origin, **PREFLIGHT})
        assert preflight.status_code == 204
        assert "X-Auth-User" in preflight.headers["access-control-allow-headers"]
        call = await client.get("/chat/test", headers={"Origin": origin})
        for answer in (preflight, call):
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["access-control-allow-credentials"] == "true"
            assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("origin", REFUSED)
async def test_no_other_origin_may(house: House, origin: str) -> None:
    async with house.client(LISTED) as client:
        preflight = await client.options("/room/list", headers={"Origin": origin, **PREFLIGHT})
        assert (preflight.status_code, code_of(preflight)) == (403, "origin-refused")
        call = await client.get("/chat/test", headers={"Origin": origin})
        for answer in (preflight, call):
            assert "access-control-allow-origin" not in answer.headers


async def test_where_all_origins_may_call_none_may_use_credentials(house: House) -> None:
    async with house.client(LEGACY) as client:
        answer = await client.get("/chat/test", headers={"Origin": "https://anywhere.example"})
        assert answer.headers["access-control-allow-origin"] == "https://anywhere.example"
        assert "access-control-allow-credentials" not in answer.headers


async def test_an_options_request_that_is_no_preflight_is_a_wrong_method(house: House) -> None:
    async with house.client(LISTED) as client:
        assert code_of(await client.options("/room/list", headers={"Origin": ADMITTED[0]})) == "method-not-allowed"
        assert code_of(await client.options("/room/list")) == "method-not-allowed"


@pytest.mark.parametrize("path", ["/chat/test", "/nowhere", "/test/", "/health/live", "/openapi.json"])
async def test_every_answer_keeps_browsers_from_guessing_framing_and_storing(house: House, path: str) -> None:
    async with house.client() as client:
        headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "no-store" in headers["cache-control"]


def test_an_origin_is_scheme_host_and_port() -> None:
    assert parse_origin("https://[2001:DB8::1]:8443") == ("https", "2001:db8::1", 8443)
    assert not AllowedOrigins(["null", "nonsense"]).admit("null")


async def test_what_is_no_request_passes_the_gate_untouched() -> None:
    passed: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope["type"])

    async def unused(*_: object) -> Message:
        raise AssertionError

    await Gate(inner, AllowedOrigins(()))({"type": "lifespan"}, unused, unused)  # type: ignore[arg-type]
    assert passed == ["lifespan"]
