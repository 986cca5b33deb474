"""What the service before this one answered over REST is answered still, but for the departures that the transcript names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from stompgate.model.sessions import Session

from .conftest import SERVER, House, code_of

TRANSCRIPT = Path(__file__).parent.parent / "legacy" / "transcript.json"
CASES: list[dict[str, Any]] = json.loads(TRANSCRIPT.read_text(encoding="utf-8"))
REST = [case for case in CASES if "answer" in case and not case["request"]["path"].startswith("/ws-stomp")]

COMPARED_HEADERS = ("content-type", "cache-control", "expires")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?")

Check = Callable[[httpx.Response, Any], None]


def room_of(case: str) -> str:
    """The room that the old service answered in the named case."""
    answer = next(found for found in REST if found["case"] == case)["answer"]
    return str(json.loads(answer["body"])[0]["room"]["roomUUID"])


OLD_ROOM = room_of("create a room")
OLD_DOUBLE = room_of("create the same room again")  # here the first room is answered again, so this one never comes to be


def masked(text: str) -> Any:
    """A body with ids and times replaced by what they are, ids numbered in the order they come, without the double room."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    if isinstance(value, list):
        value = [row for row in value if OLD_DOUBLE not in json.dumps(row)]
    numbers: dict[str, int] = {}
    plain = UUID.sub(lambda found: f"uuid{numbers.setdefault(found[0], len(numbers))}", json.dumps(value, ensure_ascii=False))
    return TIME.sub("time", plain)


def check_equal(answer: httpx.Response, old: Any) -> None:
    assert answer.status_code == old["status"]
    assert {name: answer.headers.get(name) for name in COMPARED_HEADERS} == {
        name: old["headers"].get(name) for name in COMPARED_HEADERS
    }
    assert masked(answer.text) == masked(old["body"])


def check_problem(status: int) -> Check:
    def check(answer: httpx.Response, old: Any) -> None:
        assert answer.status_code == status
        assert code_of(answer)
        assert answer.headers["cache-control"] == old["headers"]["cache-control"]

    return check


def check_problem_of_same_status(answer: httpx.Response, old: Any) -> None:
    check_problem(old["status"])(answer, old)


def check_existing_room(answer: httpx.Response, old: Any) -> None:
    assert answer.status_code == old["status"]
    assert answer.json()[0]["id"] == 1
    assert masked(answer.text) == masked(REST[0]["answer"]["body"])


def check_history(answer: httpx.Response, old: Any) -> None:
    assert answer.status_code == old["status"]
    assert answer.headers["content-type"] == old["headers"]["content-type"]
    entries, old_entries = answer.json(), json.loads(old["body"])
    assert len(entries) == len(old_entries) == 2
    for number, (entry, old_entry) in enumerate(zip(entries, old_entries, strict=True), 1):
        assert list(entry) == [*old_entry, "id", "seq", "position"]
        assert (entry["sender"], entry["content"], entry["seq"]) == (old_entry["sender"], old_entry["content"], number)
        assert TIME.fullmatch(entry["timestamp"])


def check_preflight(answer: httpx.Response, old: Any) -> None:
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "GET" in answer.headers["access-control-allow-methods"]


def check_success(answer: httpx.Response, old: Any) -> None:
    assert (answer.status_code, answer.text) == (200, "success")
    assert answer.headers["content-type"] == "text/plain;charset=UTF-8"


def check_no_rooms(answer: httpx.Response, old: Any) -> None:
    assert (answer.status_code, answer.json()) == (200, [])


DEPARTURES: Mapping[str, Check] = {
    "create the same room again": check_existing_room,
    "create without user header": check_problem_of_same_status,
    "create without name": check_problem_of_same_status,
    "my rooms without header": check_problem_of_same_status,
    "no such path": check_problem_of_same_status,
    "room as a stranger": check_problem(404),
    "unknown room": check_problem(404),
    "history of an unknown room": check_problem(404),
    "inquiry, bad JSON": check_problem(400),
    "preflight": check_preflight,
    "history": check_history,
    "delete": check_success,
    "delete again": check_problem(404),
    "my rooms at the end": check_no_rooms,
}

SESSION = Session("05f48d1a-aafb-5c98-6983-2c2e3b48469e", "buyer@x.kr", SERVER, "localhost", 8070, 1_700_000_000_049_069, 1)


def test_every_departure_is_named_by_the_transcript() -> None:
    assert {case["case"] for case in REST if not case["expected"].startswith("equal")} == set(DEPARTURES)


async def test_every_rest_case_of_the_transcript_is_answered_as_it_says(house: House) -> None:
    room = OLD_ROOM
    async with house.client() as client:
        for case in REST:
            if case["case"] == "sessions, one":
                house.sessions.opened(SESSION)
            if case["case"] == "history":
                house.sessions.closed(SESSION.id)
                await house.write(room, ["안녕", "안녕"])
            request = case["request"]
            answer = await client.request(
                request["method"],
                request["path"].replace(OLD_ROOM, room),
                headers=request["headers"],
                content=request["body"],
            )
            if case["case"] == "create a room":
                room = answer.json()[0]["room"]["roomUUID"]
            try:
                DEPARTURES.get(case["case"], check_equal)(answer, case["answer"])
            except AssertionError as error:
                error.add_note(f"case {case['case']!r}: {urlsplit(request['path']).path} answered {answer.text}")
                raise
