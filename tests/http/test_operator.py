"""Who may be an operator by HTTP: whoever shows the token, wherever they come from, and no page of any origin."""

from __future__ import annotations

import pytest

from stompgate.access.origins import AllowedOrigins
from stompgate.http.app import build_operator_app
from stompgate.http.parts import EVERYONE, HttpSettings

from .conftest import House, code_of

TOKEN = "a-token-of-the-test"
EVERYTHING = HttpSettings(operators=EVERYONE, allowed_origins=AllowedOrigins("*"), operator_token=TOKEN)
PATHS = {
    "/operator/sessions": {"get"},
    "/operator/presence": {"get"},
    "/operator/rooms": {"get"},
    "/operator/rooms/{roomUUID}/messages": {"get", "post"},
    "/operator/publish": {"post"},
    "/operator/drain": {"get", "post"},
}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", PATHS)
async def test_nobody_comes_in_without_the_token(house: House, path: str) -> None:
    async with house.client(EVERYTHING) as client:
        for method in PATHS[path]:
            for headers in (
                {},
                bearer("another-token-of-a-test"),
                bearer(""),
                {"Authorization": TOKEN},
                {"Cookie": f"token={TOKEN}"},
            ):
                answer = await client.request(method, path, headers=headers)
                assert (answer.status_code, code_of(answer)) == (401, "token-required")
                assert answer.headers["www-authenticate"] == "Bearer"
                assert TOKEN not in answer.text


async def test_whoever_shows_it_comes_in(house: House) -> None:
    async with house.client(EVERYTHING, peer="192.0.2.1") as client:
        for headers in (bearer(TOKEN), {"Authorization": f"bearer {TOKEN}"}):
            assert (await client.get("/operator/presence", headers=headers)).status_code == 200


@pytest.mark.parametrize("peer", ["127.0.0.1", "192.0.2.1"])
async def test_without_a_token_in_the_settings_nobody_does_whatever_their_address(house: House, peer: str) -> None:
    async with house.client(HttpSettings(operators=EVERYONE), peer) as client:
        for headers in ({}, bearer(""), bearer(TOKEN)):
            answer = await client.get("/operator/presence", headers=headers)
            assert (answer.status_code, code_of(answer)) == (403, "operators-only")


async def test_a_token_set_anew_holds_from_the_next_request_on(house: House) -> None:
    settings = HttpSettings(operator_token=TOKEN)
    async with house.client(settings) as client:
        settings.operator_token = "the-next-token-of-it"
        assert (await client.get("/operator/presence", headers=bearer(TOKEN))).status_code == 401
        assert (await client.get("/operator/presence", headers=bearer("the-next-token-of-it"))).status_code == 200


@pytest.mark.parametrize("origin", ["http://chat.example", "https://any.example"])
async def test_no_page_is_granted_these_paths_even_where_all_origins_are_allowed(house: House, origin: str) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    async with house.client(EVERYTHING) as client:
        for path in ("/operator/presence", "/%6fperator/presence"):
            preflight = await client.options(path, headers={"Origin": origin, **asked})
            assert (preflight.status_code, code_of(preflight)) == (403, "origin-refused")
            answer = await client.get(path, headers={"Origin": origin, **bearer(TOKEN)})
            assert answer.status_code == 200
            assert "access-control-allow-origin" not in answer.headers


async def test_a_number_that_no_store_can_hold_is_the_askers_mistake_not_an_outage(house: House) -> None:
    async with house.client(EVERYTHING) as client:
        answer = await client.get("/operator/rooms", params={"before": 2**63}, headers=bearer(TOKEN))
    assert (answer.status_code, code_of(answer)) == (400, "bad-request")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "body must be JSON, in UTF-8."),
        (b'{"destination":"\\ud800","body":""}', "body must be JSON, in UTF-8."),
        (b"[]", "body must be an object."),
        (b'{"destination":"/topic/x","body":1}', "body parameter body must be a text."),
        (b'{"destination":"/topic/x","body":"","headers":[]}', "body parameter headers must be an object."),
        (b'{"destination":"/topic/x","body":"","header":{}}', "body parameter header is not known here."),
    ],
)
async def test_a_body_that_is_none_is_answered_with_what_was_expected(house: House, body: bytes, expected: str) -> None:
    async with house.client(EVERYTHING) as client:
        answer = await client.post("/operator/publish", content=body, headers=bearer(TOKEN))
    assert (answer.status_code, answer.json()["detail"]) == (400, expected)


async def test_the_document_shows_the_paths_and_what_they_take(house: House) -> None:
    async with house.client() as client:
        document = (await client.get("/openapi.json")).json()
    found = {path: set(item) for path, item in document["paths"].items() if path.startswith("/operator")}
    assert found == PATHS
    publication = document["paths"]["/operator/publish"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(publication["properties"]) == {"destination", "body", "headers"}


def test_the_sockets_application_has_the_same(house: House) -> None:
    paths = build_operator_app(house.parts, EVERYTHING).openapi()["paths"]
    assert {path for path in paths if path.startswith("/operator")} == set(PATHS)
