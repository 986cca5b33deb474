"""The log: one stream, one form, and nothing in it that moves a cursor."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from stompgate.logs import configure
from stompgate.settings import Log

HOSTILE = "a\r\n\x1b[2Jb\x7f\x9b\u2028\u202e"
ESCAPED = "a\\x0d\\x0a\\x1b[2Jb\\x7f\\x9b\\u2028\\u202e"


class Terminal(io.StringIO):
    """A stream that people read."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def logged(settings: Log, stream: io.StringIO) -> str:
    configure(settings, stream)
    structlog.get_logger("stompgate.chat").info("message refused", room="r1", count=3)
    return stream.getvalue()


def test_off_a_terminal_each_line_is_a_json_object() -> None:
    event = json.loads(logged(Log(), io.StringIO()))
    time = event.pop("time")
    assert event == {"event": "message refused", "room": "r1", "count": 3, "level": "info", "logger": "stompgate.chat"}
    assert time.endswith("Z")


def test_on_a_terminal_it_is_readable() -> None:
    shown = logged(Log(), Terminal())
    assert "message refused" in shown
    assert not shown.startswith("{")


@pytest.mark.parametrize(("form", "is_json"), [("json", True), ("console", False)])
def test_the_form_may_be_chosen(form: str, is_json: bool) -> None:
    stream = Terminal() if is_json else io.StringIO()
    shown = logged(Log.model_validate({"format": form}), stream)
    assert shown.startswith("{") is is_json


def test_the_libraries_write_to_the_same_stream_in_the_same_form() -> None:
    stream = io.StringIO()
    configure(Log(), stream)
    logging.getLogger("uvicorn.error").error("Invalid %s received.", "request", extra={"peer": "::1"})
    event = json.loads(stream.getvalue())
    assert event["event"] == "Invalid request received."
    assert (event["level"], event["logger"], event["peer"]) == ("error", "uvicorn.error", "::1")


def test_the_libraries_do_not_write_what_any_peer_can_make_them_say() -> None:
    stream = io.StringIO()
    configure(Log(level="debug"), stream)
    logging.getLogger("websockets.server").info("connection open")
    logging.getLogger("websockets.server").debug("< TEXT a secret")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert stream.getvalue() == ""


def test_below_the_level_nothing_is_written() -> None:
    stream = io.StringIO()
    configure(Log(level="error"), stream)
    structlog.get_logger().warning("w")
    logging.getLogger("asyncio").warning("w")
    assert stream.getvalue() == ""
    structlog.get_logger().error("e")
    assert stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["json", "console"])
def test_no_control_character_reaches_the_stream(stream: io.StringIO) -> None:
    configure(Log(), stream)
    structlog.get_logger().info(
        HOSTILE, text=HOSTILE, held=[{HOSTILE: (HOSTILE, 1)}], error=ValueError(HOSTILE), **{HOSTILE: True}
    )
    logging.getLogger("other").info("said %s", HOSTILE)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    if isinstance(stream, Terminal):
        assert HOSTILE not in stream.getvalue()
        assert "\x1b[2J" not in stream.getvalue()
        assert ESCAPED in lines[0].replace("\\\\", "\\")
    else:
        event = json.loads(lines[0])
        assert event["event"] == event["text"] == event["error"] == ESCAPED
        assert event["held"] == [{ESCAPED: [ESCAPED, 1]}]
        assert event[ESCAPED] is True
        assert json.loads(lines[1])["event"] == f"said {ESCAPED}"


def test_no_text_from_outside_makes_a_long_line() -> None:
    stream = io.StringIO()
    configure(Log(text_limit_chars=100), stream)
    structlog.get_logger().info("refused", path="\0" * 15_000, held=["x" * 15_000], error=ValueError("x" * 15_000))
    event = json.loads(stream.getvalue())
    assert event["path"] == "\\x00" * 100 + "… (15000 characters)"
    assert event["held"] == [event["error"]] == ["x" * 100 + "… (15000 characters)"]


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["json", "console"])
def test_a_traceback_is_kept_without_what_moves_a_cursor(stream: io.StringIO) -> None:
    configure(Log(), stream)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        structlog.get_logger().exception("it broke")
    shown = stream.getvalue()
    assert "Traceback" in shown
    assert "\x1b[2J" not in shown
    assert "\\x1b[2J" in shown.replace("\\\\", "\\")
