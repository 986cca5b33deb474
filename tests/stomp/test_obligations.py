"""Rows F1 to F17 of a server's obligations, as far as reading frames goes. Each sample is read whole, cut and doubled."""

from __future__ import annotations

import pytest

from stompgate.model.causes import Cause
from stompgate.stomp.frames import COMMANDS_WITH_BODY, Frame
from stompgate.stomp.parser import Limits
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version

from .samples import ALL_COMMANDS, SMALL, byte_by_byte, cause_of, frame_of, read

every_version = pytest.mark.parametrize("version", list(Version))
V1_0, V1_1, V1_2 = Version


@every_version
def test_f1_a_frame_is_command_headers_blank_line_body_and_nul(version: Version) -> None:
    frame = frame_of(b"SEND\ndestination:/a\nx:1\n\nhello\n\nworld\0", version)
    assert frame == Frame("SEND", {"destination": "/a", "x": "1"}, b"hello\n\nworld")


@every_version
def test_f1_lines_may_end_with_crlf(version: Version) -> None:
    assert frame_of(b"SEND\r\ndestination:/a\r\n\r\nhello\n\n\0", version) == Frame("SEND", {"destination": "/a"}, b"hello\n\n")
    assert frame_of(b"SEND\r\ndestination:/a\n\r\n\r\n\0", version) == Frame("SEND", {"destination": "/a"}, b"\r\n")
    assert frame_of(b"SEND\na:b\n\r\n\nx\0", version) == Frame("SEND", {"a": "b"}, b"\nx")
    assert frame_of(b"SEND\na:b\n\n\r\nx\0", version) == Frame("SEND", {"a": "b"}, b"\r\nx")
    assert frame_of(b"DISCONNECT\r\n\r\n\0", version) == Frame("DISCONNECT")


def test_f1_a_cr_elsewhere_is_text_in_1_0_and_1_1_and_refused_in_1_2() -> None:
    data = b"SEND\ndestination:/a\rb\n\n\0"
    assert frame_of(data, V1_0).headers == {"destination": "/a\rb"}
    assert frame_of(data, V1_1).headers == {"destination": "/a\rb"}
    assert cause_of(data, V1_2) is Cause.BAD_HEADER


@pytest.mark.parametrize("head", [b"SEND\ndestination:/a\0", b"DISCONNECT\0", b"SEND\n\0", b"\0", b"\n\0"])
def test_f1_a_frame_without_its_blank_line_is_refused_at_its_nul(head: bytes) -> None:
    assert cause_of(head) is Cause.BROKEN_FRAME


def test_f1_the_line_before_such_a_nul_is_read_for_its_receipt() -> None:
    for end in (b"", b"\r"):
        assert read([b"BEGIN\nreceipt:r-7" + end + b"\0"])[-1][2] == "r-7"  # type: ignore[index]
    assert cause_of(b"BEGIN\r\0") is Cause.BROKEN_FRAME
    assert cause_of(b"SEND\n" + b"a:b\n" * 64 + b"receipt:r\0") is Cause.BROKEN_FRAME


@every_version
def test_f2_line_ends_between_frames_are_passed_over(version: Version) -> None:
    disconnect = Frame("DISCONNECT")
    stream = b"\n\r\n\n\nDISCONNECT\n\n\0\n\r\n" + b"\n" * 1000 + b"DISCONNECT\n\n\0\n"
    assert read([stream], version) == read(byte_by_byte(stream), version) == [disconnect, disconnect]
    assert read([b"\n"] * 20, version) == []


def test_f2_a_cr_alone_between_frames_is_no_line_end() -> None:
    assert cause_of(b"\rDISCONNECT\n\n\0") is Cause.UNKNOWN_COMMAND


@pytest.mark.parametrize("command", [b"send", b"Send", b" SEND", b"SEND ", b"S\xc3\x89ND", b"\xff"])
def test_f3_commands_are_case_sensitive(command: bytes) -> None:
    assert cause_of(command + b"\ndestination:/a\n\n\0") is Cause.UNKNOWN_COMMAND


@every_version
def test_f3_header_names_are_case_sensitive_and_utf8(version: Version) -> None:
    headers = {"destination": "/방/é", "Destination": "/b", "한글": "값"}
    data = "SEND\ndestination:/방/é\nDestination:/b\n한글:값\n\n\0".encode()
    assert frame_of(data, version).headers == headers
    assert cause_of(b"SEND\ndestination:\xff\n\n\0", version) is Cause.NOT_UTF8
    assert cause_of(b"SEND\n\xc3:a\n\n\0", version) is Cause.NOT_UTF8


def test_f4_1_2_decodes_every_escape_in_names_and_values() -> None:
    assert frame_of(b"SEND\na\\cb\\\\:1\\r2\\n3\\c4\\\\n\n\n\0").headers == {"a:b\\": "1\r2\n3:4\\n"}


@pytest.mark.parametrize("command", [b"CONNECT", b"STOMP"])
def test_f4_the_handshake_is_never_unescaped(command: bytes) -> None:
    data = command + b"\naccept-version:1.2\npasscode:a\\nb\\t:c\\\nx\\c:y\n\n\0"
    assert frame_of(data).headers == {"accept-version": "1.2", "passcode": "a\\nb\\t:c\\", "x\\c": "y"}


def test_f4_connected_is_never_unescaped_either() -> None:
    data = b"CONNECTED\nversion:1.1\nserver:a\\nb:c\n\n\0"
    assert frame_of(data, commands=ALL_COMMANDS).headers == {"version": "1.1", "server": "a\\nb:c"}


@pytest.mark.parametrize("version", [V1_1, V1_2])
@pytest.mark.parametrize("escape", [b"\\t", b"\\", b"\\N", b"\\:", b"\\0", b"a\\\\\\", "\\é".encode()])
def test_f5_any_other_escape_is_fatal(version: Version, escape: bytes) -> None:
    assert cause_of(b"SEND\ndestination:" + escape + b"\n\n\0", version) is Cause.BAD_HEADER
    assert cause_of(b"SEND\n" + escape.replace(b":", b"") + b":x\n\n\0", version) is Cause.BAD_HEADER


def test_f6_1_1_knows_no_escape_for_cr() -> None:
    assert frame_of(b"SEND\na:\\n\\c\\\\\n\n\0", V1_1).headers == {"a": "\n:\\"}
    assert cause_of(b"SEND\na:\\r\n\n\0", V1_1) is Cause.BAD_HEADER


def test_f7_1_0_has_no_escapes_either_way() -> None:
    assert frame_of(b"SEND\na\\c:\\n\\c\\\\\\r\\t\\\n\n\0", V1_0).headers == {"a\\c": "\\n\\c\\\\\\r\\t\\"}
    assert serialize(Frame("SEND", {"a": "b:c\\d"}), V1_0) == b"SEND\na:b:c\\d\n\n\0"


@pytest.mark.parametrize("version", [V1_1, V1_2])
def test_f8_header_texts_are_never_trimmed(version: Version) -> None:
    assert frame_of(b"SEND\n a : b \t\n\n\0", version).headers == {" a ": " b \t"}
    data = b"CONNECT\naccept-version:1.1,1.2\nlogin: me \n\n\0"
    assert frame_of(data, version).headers == {"accept-version": "1.1,1.2", "login": " me "}


def test_f8_the_spacing_of_1_0_is_tolerated() -> None:
    assert frame_of(b"SEND\ndestination : /a b \ncontent-length: 1\n\nx\0", V1_0) == Frame(
        "SEND", {"destination": "/a b", "content-length": "1"}, b"x"
    )
    assert frame_of(b"CONNECT\nlogin: me\nlogin:you\npasscode: p\n\n\0").headers == {"login": "me", "passcode": "p"}
    assert cause_of(b"SEND\n :x\n\n\0", V1_0) is Cause.BAD_HEADER
    assert cause_of(b"CONNECT\n :x\n\n\0") is Cause.BAD_HEADER


@pytest.mark.parametrize("command", sorted(ALL_COMMANDS))
def test_f9_only_send_message_and_error_have_a_body(command: str) -> None:
    bare, counted = f"{command}\n\nx\0".encode(), f"{command}\ncontent-length:1\n\nx\0".encode()
    for data in (bare, counted):
        (event,) = read([data], commands=ALL_COMMANDS)
        assert event == read(byte_by_byte(data), commands=ALL_COMMANDS)[0]
        if command in COMMANDS_WITH_BODY:
            assert isinstance(event, Frame)
            assert event.body == b"x"
        else:
            assert isinstance(event, tuple)
            assert event[0] is Cause.BROKEN_FRAME
    empty = frame_of(f"{command}\ncontent-length:0\n\n\0".encode(), commands=ALL_COMMANDS)
    assert empty.body == b""


@every_version
def test_f10_content_length_counts_octets_and_nul_must_follow(version: Version) -> None:
    body = "\0é\n\0\0".encode()
    assert frame_of(b"SEND\ncontent-length:6\n\n" + body + b"\0", version).body == body
    for wrong in (b"5", b"7"):
        assert cause_of(b"SEND\ncontent-length:" + wrong + b"\n\n" + body + b"\0\n\n", version) is Cause.BROKEN_FRAME


@pytest.mark.parametrize("claim", ["-1", "+1", "1.0", "", " ", "1 ", "0x1", "١", "1" * 19, "a"])
def test_f10_a_content_length_is_digits_alone(claim: str) -> None:
    assert cause_of(f"SEND\ncontent-length:{claim}\n\nx\0".encode()) is Cause.BAD_HEADER


@every_version
def test_f11_every_body_is_sent_with_its_length(version: Version) -> None:
    for command in sorted(COMMANDS_WITH_BODY):
        assert b"\ncontent-length:4\n\na\0bc\0" in serialize(Frame(command, {"content-length": "1"}, b"a\0bc"), version)


def test_f12_a_missing_content_type_stays_missing() -> None:
    assert "content-type" not in frame_of(b"SEND\ndestination:/a\n\nx\0").headers


@every_version
def test_f13_the_first_of_repeated_headers_wins(version: Version) -> None:
    data = b"SEND\na:1\ncontent-length:1\na:2\ncontent-length:900\n\nx\0"
    assert frame_of(data, version) == Frame("SEND", {"a": "1", "content-length": "1"}, b"x")


FITS = [
    b"SEND\n" + b"a:b\n" * 4 + b"\n\0",
    b"SEND\n" + b"a:\\n\n" * 4 + b"\n\0",
    b"SEND\na:" + b"x" * 38 + b"\n\n\0",
    b"SEND\n\n" + b"x" * 114 + b"\0",
    b"SEND\ncontent-length:96\n\n" + b"x" * 94 + b"\0\0\0",
    b"\n" * 500 + b"SEND\n" + (b"a:" + b"x" * 30 + b"\n") * 3 + b"\n" + b"x" * 15 + b"\0",
    b"SEND\n" + (b"a:" + b"x" * 35 + b"\n") * 3 + b"\n\0",
]
PASSES = [
    b"SEND\n" + b"a:b\n" * 5 + b"\n\0",
    b"SEND\n" + b"a:b\n" * 5,
    b"SEND\na:" + b"x" * 39 + b"\n\n\0",
    b"x" * 41,
    b"SEND\n\n" + b"x" * 115 + b"\0",
    b"SEND\ncontent-length:97\n\n",
    b"SEND\n" + (b"a:" + b"x" * 36 + b"\n") * 2 + b"a:" + b"x" * 36,
    b"SEND\n" + (b"a:" + b"x" * 36 + b"\n") * 3 + b"\n\0",
]


@pytest.mark.parametrize("data", FITS)
def test_f14_what_just_fits_the_limits_is_taken(data: bytes) -> None:
    (event,) = read([data], limits=SMALL)
    assert isinstance(event, Frame)
    assert read(byte_by_byte(data), limits=SMALL) == [event]


@pytest.mark.parametrize("data", PASSES)
def test_f14_what_passes_a_limit_is_refused_also_when_unfinished(data: bytes) -> None:
    assert cause_of(data, limits=SMALL) is Cause.FRAME_TOO_LARGE


def test_f14_a_claimed_length_beyond_the_limit_fails_at_the_end_of_the_headers() -> None:
    assert cause_of(b"SEND\ncontent-length:999999999999999999\n\n") is Cause.FRAME_TOO_LARGE
    assert cause_of(b"SEND\ncontent-length:65536\n\n") is Cause.FRAME_TOO_LARGE
    large = Limits(frame_bytes=20_000_000)
    body = bytes(17_000_000)
    (event,) = read([b"SEND\ncontent-length:17000000\n\n", body, b"\0"], limits=large)
    assert isinstance(event, Frame)
    assert event.body == body


@pytest.mark.parametrize("data", [b"SEND\na\n\n\0", b"SEND\n:x\n\n\0", b"SEND\n:\n\n\0", b"SEND\na:b\n \n\n\0"])
@every_version
def test_a_header_line_needs_a_name_and_a_colon(data: bytes, version: Version) -> None:
    assert cause_of(data, version) is Cause.BAD_HEADER


@every_version
def test_f15_a_peer_that_leaves_within_a_frame_leaves_nothing_behind(version: Version) -> None:
    data = b"SEND\ndestination:/a\n\nhello"
    for end in range(len(data)):
        assert read([data[:end]], version) == []


def test_f17_an_unknown_command_is_refused_and_its_receipt_is_known() -> None:
    events = read([b"PUBLISH\ndestination:/a\nreceipt:r-7\n\n\0"])
    (refused,) = events
    assert isinstance(refused, tuple)
    assert refused[0] is Cause.UNKNOWN_COMMAND
    assert "SUBSCRIBE" in refused[1]
    assert refused[2] == "r-7"


def test_f17_a_server_takes_no_server_frames() -> None:
    assert cause_of(b"MESSAGE\nmessage-id:1\n\n\0") is Cause.UNKNOWN_COMMAND
    assert frame_of(b"MESSAGE\nmessage-id:1\n\n\0", commands=ALL_COMMANDS).command == "MESSAGE"
