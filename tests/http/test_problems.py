"""Every error is a problem document in our own words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest
from starlette.exceptions import HTTPException

from stompgate.http.app import build_app
from stompgate.http.problems import problem
from stompgate.model.causes import Cause, Refusal
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

from .conftest import BUYER, LEGACY, House, code_of


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_its_problem_document(cause: Cause) -> None:
    answer = problem(Refusal(cause, "What was expected.", detail="secret of the log"))
    assert answer.status_code == cause.http_status
    assert answer.media_type == "application/problem+json"
    assert b"secret" not in bytes(answer.body)
    assert cause.code.encode() in bytes(answer.body)
    assert ("retry-after" in answer.headers) == (cause.retry and cause.http_status == 503)


async def test_an_unknown_path_and_an_unknown_method_are_told_apart(house: House) -> None:
    async with house.client() as client:
        nowhere = await client.get("/nowhere")
        assert (nowhere.status_code, code_of(nowhere)) == (404, "not-found")
        wrong = await client.post("/room/list")
        assert (wrong.status_code, code_of(wrong), wrong.headers["allow"]) == (405, "method-not-allowed", "GET")


@pytest.mark.parametrize(
    ("query", "field", "expected"),
    [
        ("limit=0", "query parameter limit", "must be 1 or more"),
        ("limit=1001", "query parameter limit", "must be 1000 or less"),
        ("limit=ten", "query parameter limit", "must be a whole number"),
        ("limit=", "query parameter limit", "must be a whole number"),
        ("before=1.5", "query parameter before", "must be a whole number"),
        ("before=9223372036854775808", "query parameter before", "must be 9223372036854775807 or less"),
        (f"before={'9' * 5000}", "query parameter before", "must be a whole number of ordinary size"),
    ],
)
async def test_a_wrong_number_is_answered_with_the_field_and_what_was_expected(
    house: House, query: str, field: str, expected: str
) -> None:
    room = (await house.make_room()).room.uuid
    async with house.client() as client:
        answer = await client.get(f"/chat/room/{room}?{query}")
        assert (answer.status_code, code_of(answer)) == (400, "bad-request")
        assert answer.json()["errors"] == [{"field": field, "expected": expected}]
        assert answer.json()["detail"] == f"{field} {expected}."


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreUnavailable("/var/lib/secret.db is gone"), 503, "store-unavailable"),
        (OutcomeUnknown("/var/lib/secret.db is gone"), 503, "outcome-unknown"),
        (Refusal(Cause.SERVER_STOPPING, detail="/var/lib/secret.db"), 503, "server-stopping"),
    ],
)
async def test_the_troubles_of_the_store_are_answered_without_its_words(
    house: House, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    monkeypatch.setattr(house.store, "rooms_of", failing(error))
    async with house.client() as client:
        answer = await client.get("/room/list", headers=BUYER)
        assert (answer.status_code, code_of(answer)) == (status, code)
        assert answer.headers["retry-after"] == "2"
        assert "secret" not in answer.text


@pytest.mark.parametrize(("status", "code"), [(418, "bad-request"), (500, "internal")])
async def test_what_else_the_framework_refuses_has_a_document_too(house: House, status: int, code: str) -> None:
    app = build_app(house.parts, LEGACY)

    @app.get("/refused")
    async def refused() -> None:
        raise HTTPException(status)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://chat.example") as client:
        assert code_of(await client.get("/refused")) == code


async def test_a_mistake_of_ours_shows_nothing_of_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.store, "rooms_of", failing(RuntimeError("secret")))
    async with house.client(raise_app_exceptions=False) as client:
        answer = await client.get("/room/list", headers=BUYER)
        assert (answer.status_code, code_of(answer)) == (500, "internal")
        assert "secret" not in answer.text


def failing(error: Exception) -> Callable[..., Awaitable[None]]:
    async def fail(*_: object) -> None:
        raise error

    return fail
