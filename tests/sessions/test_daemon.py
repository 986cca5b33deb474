"""Whole servers with presence in Redis: what the service before this one wrote there, and what operators see of the group."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx

from tests.daemon_process import Launch
from tests.waiting import until
from tests.wire_client import connected

from .conftest import View

TRANSCRIPT = Path(__file__).parent.parent / "legacy" / "transcript.json"
CASES: list[dict[str, Any]] = json.loads(TRANSCRIPT.read_text(encoding="utf-8"))
REDIS = {case["case"]: case["redis"] for case in CASES if "redis" in case}
SERVER = "chat-server-1"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?")


def masked(text: str, port: int = 8070) -> str:
    """Without ids, times, and the port that a test takes."""
    return TIME.sub("time", UUID.sub("uuid", text)).replace(str(port), "port")


def lying_in(view: View) -> dict[str, dict[str, Any]]:
    """The keys that other programs read, as the recorder wrote them down."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in view.of_the_contract().items():
        kind = "set" if isinstance(value, set) else "string"
        ttl_s = view.redis.ttl(view.prefix + key)
        found[key] = {"type": kind, "ttl": str(ttl_s), "value": sorted(value) if isinstance(value, set) else value}
    return found


async def test_redis_looks_as_it_did_of_old(launch: Launch, url: str, view: View) -> None:
    daemon = launch({"profile": "legacy", "server_id": SERVER, "sessions": url})
    (user,) = REDIS["redis while connected"][f"server:users:{SERVER}"]["value"]
    async with connected(daemon.ws_url, None, sender=user) as client:
        await until(lambda: len(view.of_the_contract()) == 3, "it is told")
        now, old = lying_in(view), REDIS["redis while connected"]
        (session_id,) = [key.removeprefix("session:user:") for key in now if key.startswith("session:user:")]
        assert json.loads(now[f"user:session:{user}"]["value"])["sessionId"] == session_id
        assert {masked(key) for key in now} == {masked(key) for key in old}
        for key, value in old.items():
            here = next(found for name, found in now.items() if masked(name) == masked(key))
            assert here["type"] == value["type"]
            assert abs(int(here["ttl"]) - int(value["ttl"])) <= 60
            assert masked(json.dumps(here["value"]), daemon.port) == masked(json.dumps(value["value"]))
        await client.write("DISCONNECT\nreceipt:bye\n\n\0")
        assert (await client.expect("RECEIPT")).headers["receipt-id"] == "bye"
    await until(lambda: lying_in(view) == REDIS["redis after DISCONNECT"], "it is told")


async def test_operators_see_the_whole_group_and_a_killed_servers_users_vanish(launch: Launch, url: str, view: View) -> None:
    settings = {"sessions": url, "redis": {"lease_s": 3.0}}
    one = launch({"server_id": "one", **settings})
    two = launch({"server_id": "two", **settings})
    async with httpx.AsyncClient() as client:

        async def shown(path: str = "") -> Any:
            return (await client.get(f"{one.url}/chat/debug/sessions{path}")).json()

        async def users() -> Any:
            return {server: sorted(names) for server, names in (await shown())["serverUsers"].items()}

        async with connected(one.ws_url, "anna"), connected(two.ws_url, "bela"), connected(two.ws_url, "anna"):

            async def are_all_there() -> bool:
                return bool(await users() == {"one": ["anna"], "two": ["anna", "bela"]})

            await until(are_all_there, "all are shown")
            everyone = await shown()
            assert everyone["currentServerUsers"] == ["anna"]
            assert {user: details["serverId"] for user, details in everyone["userDetails"].items()} == {
                "anna": "two",
                "bela": "two",
            }
            bela = await shown("/bela")
            assert (bela["isOnThisServer"], bela["serverUrl"]) == (False, two.ws_url.replace("127.0.0.1", "localhost"))
            await asyncio.to_thread(two.kill)

            async def are_gone() -> bool:
                return bool(await users() == {"one": ["anna"]})

            await until(are_gone, "the users of the dead server are gone")
            assert (await shown("/anna"))["isOnThisServer"] is True
            assert await shown("/bela") == {"error": "User session not found"}
    await asyncio.to_thread(one.stop)
    assert view.keys() == set()


async def test_while_redis_is_away_the_server_is_degraded_and_serves(launch: Launch) -> None:
    daemon = launch({"sessions": "redis://127.0.0.1:9/0"})  # a port that nobody listens on
    daemon.expected_log.add("presence is away")
    async with httpx.AsyncClient() as client, connected(daemon.ws_url, "anna"):
        ready = await client.get(f"{daemon.url}/health/ready")
        assert ready.status_code == 200
        assert "Redis: Error 111" in ready.text
        everyone = (await client.get(f"{daemon.url}/chat/debug/sessions")).json()
        assert (everyone["presence"], everyone["currentServerUsers"]) == ("unknown", ["anna"])
        one = (await client.get(f"{daemon.url}/chat/debug/sessions/anna")).json()
        assert one == {"presence": "unknown", "isOnThisServer": True}
