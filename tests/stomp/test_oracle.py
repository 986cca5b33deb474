"""The parser and the oracle read every stream alike: the same frames, or both refuse after the same frames."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stompgate.stomp.frames import Frame
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version

from . import oracle
from .samples import ALL_COMMANDS, frames, pieces, read, streams, versions

EXAMPLES = 200


def as_read(cut: list[bytes], version: Version) -> oracle.Reading:
    """What the parser makes of a stream in pieces."""
    reading = oracle.Reading()
    for event in read(cut, version, commands=ALL_COMMANDS):
        if isinstance(event, Frame):
            reading.frames.append(oracle.Read(event.command, dict(event.headers), event.body))
        else:
            reading.is_refused = True
    return reading


def agree(cut: list[bytes], version: Version) -> oracle.Reading:
    """That both read the same; what that is."""
    expected = oracle.read(b"".join(cut), version.value, oracle.CLIENT | oracle.SERVER)
    assert as_read(cut, version) == expected
    return expected


@st.composite
def valid(draw: st.DrawFn, version: Version) -> bytes:
    """Frames as they are sent, with line ends between them."""
    sent = [serialize(frame, version) for frame in draw(st.lists(frames(version), min_size=1, max_size=4))]
    ends = st.text(st.sampled_from("\n"), max_size=3).map(str.encode) | st.just(b"\r\n")
    return draw(ends) + b"".join(frame + draw(ends) for frame in sent)


_SPECIAL = st.sampled_from(
    [b"\0", b"\n", b"\r", b"\r\n", b":", b"\\", b" ", b"\\t", b"\\r", b"\xff", b"\n\n", b"\n\r\n", b"1", b"x"]
)


@st.composite
def damaged(draw: st.DrawFn, version: Version) -> bytes:
    """Frames as they are sent, with octets lost, changed and added."""
    data = draw(valid(version))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(_SPECIAL | st.just(b"")) + data[at + draw(st.integers(0, 2)) :]
    return data


_MEANT = [b"a", b"a", b" a", b"a ", b"\\n", b"\\c", b"\\\\", b"\\r", b":", "é".encode(), b"a\rb"]
"""What one version or another takes in a value, each in its own way."""

_ODD_LINES = [b"", b"a", b":a", b" :a", b"a:\\t", b"a\\:b", b"\xff:a", b"a:\xff", b"a:\0", b"\\c:a", b"\\r:a", b" b : c"]
_ODD_LENGTHS = [b"0", b"2", b"-1", b" 1", b"1 ", b"+1", b"1" * 19, b"70000", b"x", b"", "٣".encode()]


@st.composite
def crafted(draw: st.DrawFn) -> bytes:
    """A frame of which one thing at the most is wrong in every version, and another frame behind it."""
    odd = draw(st.sampled_from(["command", "line", "length", "no blank line", "no NUL", "body", *["nothing"] * 6]))
    command = draw(st.sampled_from(["SEND", "SEND", *sorted(oracle.CLIENT | oracle.SERVER)]))
    body = draw(st.sampled_from([b"", b"x", b"x\n\ny"])) if command in oracle.WITH_BODY or odd == "body" else b""
    lines = [b"send" if odd == "command" else command.encode()]
    if command in oracle.VERSION_HEADERS and draw(st.booleans()):
        lines.append(b"%b:1.2" % oracle.VERSION_HEADERS[command].encode())
    lines += [draw(st.sampled_from([b"a:", b"b:"])) + draw(st.sampled_from(_MEANT)) for _ in range(draw(st.integers(0, 3)))]
    if odd == "line":
        lines.append(draw(st.sampled_from(_ODD_LINES)))
    if odd == "length" or draw(st.booleans()):
        lines.append(b"content-length:" + (draw(st.sampled_from(_ODD_LENGTHS)) if odd == "length" else b"%d" % len(body)))
    eols = st.sampled_from([b"\n", b"\n", b"\r\n"])
    head = b"".join(line + draw(eols) for line in lines) + (b"" if odd == "no blank line" else draw(eols))
    return head + body + (b"" if odd == "no NUL" else b"\0") + draw(st.sampled_from([b"", b"\n", b"\r\n"])) + b"BEGIN\n\n\0"


def comparisons(examples: int) -> dict[str, Callable[[], None]]:
    """The comparisons, each of so many streams."""
    often = settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])

    @often
    @given(data=st.data(), version=versions)
    def of_valid(data: st.DataObject, version: Version) -> None:
        reading = agree(data.draw(pieces(data.draw(valid(version)))), version)
        assert reading.frames
        assert not reading.is_refused

    @often
    @given(data=st.data(), version=versions)
    def of_damaged(data: st.DataObject, version: Version) -> None:
        agree(data.draw(pieces(data.draw(damaged(version)))), version)

    @often
    @given(data=st.data(), version=versions)
    def of_scraps(data: st.DataObject, version: Version) -> None:
        agree(data.draw(pieces(data.draw(streams))), version)

    @often
    @given(data=st.data(), version=versions)
    def of_crafted(data: st.DataObject, version: Version) -> None:
        agree(data.draw(pieces(data.draw(crafted()))), version)

    return {"valid": of_valid, "damaged": of_damaged, "crafted": of_crafted, "scraps": of_scraps}


@pytest.mark.parametrize("name", comparisons(1))
def test_both_read_alike(name: str) -> None:
    comparisons(EXAMPLES)[name]()


@pytest.mark.parametrize(
    ("stream", "version", "expected"),
    [
        (b"SEND\na:b\n\nx\0", "1.2", oracle.Reading([oracle.Read("SEND", {"a": "b"}, b"x")])),
        (b"SEND\r\na:b\\r\\c\r\n\r\nx\0\r\n", "1.2", oracle.Reading([oracle.Read("SEND", {"a": "b\r:"}, b"x")])),
        (b"SEND\na:b\\r\n\nx\0", "1.1", oracle.Reading([], is_refused=True)),
        (b"SEND\n a : b\\r \n\nx\0", "1.0", oracle.Reading([oracle.Read("SEND", {"a": "b\\r"}, b"x")])),
        (b"SEND\ncontent-length:3\n\nx\0y\0", "1.2", oracle.Reading([oracle.Read("SEND", {"content-length": "3"}, b"x\0y")])),
        (b"BEGIN\n\nx\0", "1.2", oracle.Reading([], is_refused=True)),
        (b"BEGIN\n\n\0BEGIN\n", "1.2", oracle.Reading([oracle.Read("BEGIN", {}, b"")])),
        (b"begin\n\n\0", "1.2", oracle.Reading([], is_refused=True)),
    ],
)
def test_the_oracle_itself_reads_what_the_text_says(stream: bytes, version: str, expected: oracle.Reading) -> None:
    assert oracle.read(stream, version) == expected
    assert agree([stream], Version(version)) == expected
