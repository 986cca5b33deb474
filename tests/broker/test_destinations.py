"""There is one spelling of each destination; every other is refused before anything is decided by it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stompgate.broker.destinations import LENGTH_LIMIT_BYTES, read_destination, room_destination
from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Destination, Kind

ROOM = "8d1b0c3e-6f0a-4c1e-9f53-1c7a4f0f7d11"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"/pub/room/{ROOM}/message", Destination(f"/pub/room/{ROOM}/message", Kind.INTAKE, ROOM)),
        (f"/sub/chat/room/{ROOM}", Destination(f"/sub/chat/room/{ROOM}", Kind.ROOM, ROOM)),
        ("/sub/chat/room/방", Destination("/sub/chat/room/방", Kind.ROOM, "방")),
        ("/pub/room/message/message", Destination("/pub/room/message/message", Kind.INTAKE, "message")),
        ("/topic/news", Destination("/topic/news", Kind.BROADCAST)),
        ("/topic/공지 사항", Destination("/topic/공지 사항", Kind.BROADCAST)),
        ("/sub/chat/room", Destination("/sub/chat/room", Kind.BROADCAST)),
        ("/sub/chat/rooms/1", Destination("/sub/chat/rooms/1", Kind.BROADCAST)),
        ("/sub/**", Destination("/sub/**", Kind.BROADCAST, is_pattern=True)),
        ("/topic/{name}/x", Destination("/topic/{name}/x", Kind.BROADCAST, is_pattern=True)),
        ("/topic/a..b/...", Destination("/topic/a..b/...", Kind.BROADCAST)),
    ],
)
def test_a_destination_of_ours_is_read(text: str, expected: Destination) -> None:
    assert read_destination(text) == expected


def test_what_is_read_from_a_rooms_destination_is_the_room() -> None:
    assert read_destination(room_destination(ROOM)).room == ROOM


REFUSED = [
    "",
    "/",
    "topic/a",
    "a",
    "/nowhere/a",
    "/topic",
    "/topic/",
    "/topic//a",
    "//topic/a",
    "/topic/a/",
    "/topic/./a",
    "/topic/../a",
    "/topic/a/..",
    "/topic/..",
    "/sub/x/../chat/room/" + ROOM,
    "/topic/a%2fb",
    "/topic/a%2Fb",
    "/topic/a\\b",
    "/topic/a\nb",
    "/topic/a\0b",
    "/topic/a\x7fb",
    "/topic/a\u2028b",
    "/topic/a\u202eb",
    "/topic/a\ud800b",
    "/TOPIC/a",
    " /topic/a",
    "/pub/room/message",
    "/pub/room//message",
    "/pub/room/a/b/message",
    "/pub/room/*/message",
    "/pub/room/**/message",
    "/pub/room/{room}/message",
    "/pub/room/a",
    "/pub/room/a/messages",
    "/sub/chat/room/",
    "/sub/chat/room/*",
    "/sub/chat/room/a?",
    "/sub/chat/room/{room}",
    "/sub/chat/room/a/b",
    "/sub/chat/room/a/**",
    "/topic/{",
    "/topic/a{b}",
    "/topic/" + "a" * (LENGTH_LIMIT_BYTES - 6),
    "/topic/" + "가" * 83,
    "/topic/" + "a" * 100_000,
]


@pytest.mark.parametrize("text", REFUSED)
def test_every_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_destination(text)
    assert refused.value.cause is Cause.BAD_DESTINATION


@pytest.mark.parametrize("text", ["/topic/" + "a" * (LENGTH_LIMIT_BYTES - 7), "/topic/" + "가" * 82 + "ab"])
def test_the_longest_destination_is_taken(text: str) -> None:
    assert len(text.encode()) == LENGTH_LIMIT_BYTES
    assert read_destination(text).name == text


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from(["/", "sub", "chat", "room", "pub", "message", "*", "..", "%2f", "x"])).map("".join)
)
@example("/sub/chat/room/*")
def test_whatever_is_read_names_one_place_and_no_room_by_a_pattern(text: str) -> None:
    try:
        read = read_destination(text)
    except Refusal:
        return
    assert read.name == text
    assert not {"", ".", ".."} & set(text[1:].split("/"))
    assert (read.kind is Kind.BROADCAST) is (read.room == "")
    assert not read.is_pattern or read.kind is Kind.BROADCAST
    if read.kind is not Kind.BROADCAST:
        assert not set(read.room) & set("/*?{}")
