"""DISCONNECT's RECEIPT says that everything before it was done, so it is only given where that is true."""

from __future__ import annotations

import pytest

from stompgate.model.causes import Cause
from stompgate.ports.store import Rejected
from stompgate.stomp.frames import Frame

from .scene import Scene, stored
from .test_peer import chat, settle


@pytest.mark.parametrize("headers", [{}, {"receipt": "bye"}])
async def test_disconnect_after_a_refused_send_is_answered_by_its_error(headers: dict[str, str]) -> None:
    scene = Scene(sends_in_flight=10)
    _, link = scene.peer(chat(1), chat(2), Frame("DISCONNECT", headers))
    scene.intake.answer(Rejected(Cause.STORE_UNAVAILABLE))
    await settle()
    assert link.frames() == []
    scene.intake.answer(stored())
    await settle()
    answers = link.frames()
    assert [frame.command for frame in answers] == ["RECEIPT", "ERROR"]
    assert answers[1].headers["code"] == "store-unavailable"
    assert link.closes == [Cause.STORE_UNAVAILABLE]


async def test_disconnect_after_stored_sends_is_answered_after_them() -> None:
    scene = Scene(sends_in_flight=10)
    _, link = scene.peer(chat(1), Frame("DISCONNECT", {"receipt": "bye"}))
    await settle()
    assert link.frames() == []
    scene.intake.answer(stored())
    await settle()
    assert [frame.headers["receipt-id"] for frame in link.frames()][-1] == "bye"
