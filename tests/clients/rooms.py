"""What the tests of client libraries share: texts that are easily broken on the way, and a room's history over REST."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.daemon_process import Daemon

BUYER, SELLER = "buyer@x.kr", "판매자"
HOSTILE_CONTENTS = (
    "안녕하세요, 자전거 아직 있나요? 🙂",
    "a:b\\c\nsecond line\r\n\tthird",
    'quotes " and \\u0000 as words, and a NUL escape: \\0',
    "<img src=x onerror=alert(1)><script>alert(1)</script>",
)
"""Contents that a careless peer would cut, unescape or run."""

HEADER_VALUES = {
    "1.0": "값:with \\ alone",
    "1.1": "값:with\\backslash\nand lines",
    "1.2": "값:with\\backslash\nand\rlines\r\n",
}
"""The most that a header value can carry in each version."""


def subscription_of(room: str) -> str:
    """Where a room's messages come from."""
    return f"/sub/chat/room/{room}"


def intake_of(room: str) -> str:
    """Where messages to a room are sent."""
    return f"/pub/room/{room}/message"


def chat_body(room: str, sender: str, content: str) -> str:
    """The body of a SEND to a room."""
    return json.dumps({"roomUUID": room, "sender": sender, "content": content}, ensure_ascii=False)


async def history(daemon: Daemon, room: str, user: str = BUYER) -> list[dict[str, Any]]:
    """Everything that was stored in a room, oldest first."""
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{daemon.url}/chat/room/{room}", headers=[(b"X-Auth-User", user.encode())])
    assert answer.status_code == 200, answer.text
    messages = answer.json()
    assert isinstance(messages, list)
    return messages
