"""What the tests of the parser share: reading a stream in pieces, and making frames and streams at random."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from stompgate.model.causes import Cause
from stompgate.stomp.frames import (
    CLIENT_COMMANDS,
    COMMANDS_WITH_BODY,
    CONNECTING_COMMANDS,
    SERVER_COMMANDS,
    Frame,
    FrameRefusal,
)
from stompgate.stomp.parser import Limits, Parser
from stompgate.stomp.versions import Version

ALL_COMMANDS = CLIENT_COMMANDS | SERVER_COMMANDS
SMALL = Limits(frame_bytes=120, header_line_bytes=40, headers=4)

Refused = tuple[Cause, str, str | None]
Events = list[Frame | Refused]


def read(
    chunks: Iterable[bytes],
    version: Version = Version.V1_2,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
    commands: frozenset[str] = CLIENT_COMMANDS,
) -> Events:
    """Hand the chunks to a new parser, taking out what is there after each; a refusal is the last event."""
    parser = Parser(limits, commands)
    parser.version = version
    events: Events = []
    for chunk in chunks:
        parser.receive_bytes(chunk)
        try:
            while (frame := parser.next_frame()) is not None:
                events.append(frame)
        except FrameRefusal as refusal:
            events.append((refusal.cause, refusal.explanation, refusal.receipt))
    return events


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cause_of(data: bytes, version: Version = Version.V1_2, limits: Limits = Limits()) -> Cause:  # noqa: B008
    """The cause of the refusal that ends the stream, the same whole and byte by byte."""
    events = read([data], version, limits)
    assert events == read(byte_by_byte(data), version, limits)
    last = events[-1]
    assert isinstance(last, tuple)
    return last[0]


def frame_of(data: bytes, version: Version = Version.V1_2, commands: frozenset[str] = CLIENT_COMMANDS) -> Frame:
    """The one frame of the stream, the same whole, byte by byte, and with another frame right behind it."""
    events = read([data], version, commands=commands)
    assert events == read(byte_by_byte(data), version, commands=commands)
    assert read([data + data], version, commands=commands) == events * 2
    (frame,) = events
    assert isinstance(frame, Frame)
    return frame


versions = st.sampled_from(Version)

_WORDS = (
    b"SEND CONNECT STOMP SUBSCRIBE DISCONNECT NONSENSE a:b : destination:/topic/a receipt:r1 id:1 accept-version:1.2 body "
    b"content-length:3 content-length:0 content-length:999 content-length:x \\n \\r \\c \\\\ \\t \\"
).split()
_MARKS = [b"\n", b"\n", b"\n\n", b"\r\n", b"\r", b"\0", b"\0", b"\n\n\0", b"\n\n\0", b" ", "é한".encode(), b"\xff"]
_WHOLE = [b"SEND\ndestination:/topic/a\n\nhello\0", b"SEND\nreceipt:r2\ncontent-length:3\n\na\0b\0"]
_FRAGMENTS = _WORDS + _MARKS + _WHOLE
streams = st.one_of(st.lists(st.sampled_from(_FRAGMENTS), max_size=40).map(b"".join), st.binary(max_size=200))
"""Bytes that look like STOMP often enough to get deep into the parser."""


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes, cut at random."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


_any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_special_text = st.text(st.sampled_from("ab:\\\n\r \tcnré한"), max_size=8)
_texts = {
    # What a version has no way to say is left out here; the serializer's own tests say what becomes of it.
    Version.V1_0: st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r: "), max_size=12),
    Version.V1_1: st.one_of(_any_text, _special_text).map(lambda text: text.replace("\r", "")),
    Version.V1_2: st.one_of(_any_text, _special_text),
}


@st.composite
def frames(draw: st.DrawFn, version: Version) -> Frame:
    """Any frame that the version can express."""
    command = draw(st.sampled_from(sorted(ALL_COMMANDS)))
    texts = _texts[Version.V1_0 if command in CONNECTING_COMMANDS else version]
    names = texts.filter(lambda name: name not in ("", "content-length"))
    headers = draw(st.dictionaries(names, texts, max_size=6))
    body = draw(st.binary(max_size=60)) if command in COMMANDS_WITH_BODY else b""
    return Frame(command, headers, body)
