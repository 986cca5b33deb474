"""A server that keeps messages for a day: who comes back is told the truth, and everything goes on."""

from __future__ import annotations

import sqlite3

import httpx

from tests.daemon_process import Launch
from tests.waiting import until
from tests.wire_client import connected, make_room

DAY_US = 86_400 * 1_000_000


async def test_who_comes_back_to_a_pruned_room_is_told_the_truth(launch: Launch) -> None:
    daemon = launch({"retention": {"days": 1, "every_s": 0.1, "pause_s": 0.0, "slice_messages": 2}})
    room = await make_room(daemon.url, "buyer", "seller")
    destination = f"/sub/chat/room/{room}"
    async with connected(daemon.ws_url, "buyer") as client:
        begun = await client.subscribe(destination)
        for number in range(6):
            await client.write(f'SEND\ndestination:/pub/room/{room}/message\n\n{{"content":"{number}"}}\0')
        positions = [begun.headers["position"], *[(await client.expect("MESSAGE")).headers["position"] for _ in range(6)]]
    database = sqlite3.connect(daemon.folder / "chat.db", timeout=10.0)
    with database:
        database.execute("UPDATE sg_message SET sent_at_us = sent_at_us - ? WHERE seq <= 4", (2 * DAY_US,))
    database.close()

    async with httpx.AsyncClient() as http:

        async def history() -> list[int]:
            answer = await http.get(f"{daemon.url}/chat/room/{room}?limit=100", headers={"X-Auth-User": "buyer"})
            return [entry["seq"] for entry in answer.json()]

        async def is_pruned() -> bool:
            return await history() == [5, 6]

        await until(is_pruned, "the old ones are gone, and the history ends where the messages end")

    for seen, position in enumerate(positions):
        async with connected(daemon.ws_url, "buyer") as client:
            begun = await client.subscribe(destination, since=position)
            is_whole = seen >= 5
            assert begun.headers["recovered"] == ("true" if is_whole else "false")
            assert begun.headers["position"] == positions[6]
            missed = positions[seen + 1 :] if is_whole else []
            assert [(await client.expect("MESSAGE")).headers["position"] for _ in missed] == missed
            await client.write("DISCONNECT\nreceipt:end\n\n\0")
            assert (await client.expect("RECEIPT")).headers["receipt-id"] == "end"  # and nothing else before it
    async with connected(daemon.ws_url, "buyer") as client:
        await client.subscribe(destination, since=positions[1])
        await client.write(f'SEND\ndestination:/pub/room/{room}/message\n\n{{"content":"live"}}\0')
        assert b'"seq":7' in (await client.expect("MESSAGE")).body
