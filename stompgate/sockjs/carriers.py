"""How SockJS frames are carried in the body of an HTTP response, one row for each way there is.

A callback's name comes from a stranger and goes into a script, and so does every message: neither may end the script.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from .paths import Endpoint

SCRIPT_TYPE: Final = "application/javascript;charset=UTF-8"

_CALLBACK: Final = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_XHR_PRELUDE: Final = b"h" * 2048 + b"\n"
_HTMLFILE_LEAST_BYTES: Final = 1024
_HTMLFILE: Final = """<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.%s;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""


class BadCallback(Exception):
    """The name of a callback is missing or not one. The text is for the client."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A way to carry frames. ``streams``: one response takes many, up to a limit, else one.

    ``prelude`` and ``wrap`` are given the callback's name, "" where ``takes_callback`` is false.
    """

    content_type: str
    prelude: Callable[[str], bytes]
    wrap: Callable[[bytes, str], bytes]
    streams: bool = False
    takes_callback: bool = False


def check_callback(name: str | None) -> str:
    """Return a callback's name that may stand in a script. Raises ``BadCallback``."""
    if not name:
        raise BadCallback('"callback" parameter required')
    if not _CALLBACK.fullmatch(name):
        raise BadCallback('invalid "callback" parameter')
    return name


def _nothing(_: str) -> bytes:
    return b""


def _line(frame: bytes, _: str) -> bytes:
    return frame + b"\n"


def _event(frame: bytes, _: str) -> bytes:
    return b"data: %b\r\n\r\n" % frame


def _script(frame: bytes, _: str) -> bytes:
    return b"<script>\np(%b);\n</script>\r\n" % _as_text(frame)


def _call(frame: bytes, callback: str) -> bytes:
    return b"%b(%b);\r\n" % (callback.encode(), _as_text(frame))


def _htmlfile(callback: str) -> bytes:
    page = (_HTMLFILE % callback).encode()
    return page.ljust(_HTMLFILE_LEAST_BYTES) + b"\r\n\r\n"


def _as_text(frame: bytes) -> bytes:
    """A frame as a string of JavaScript, in which no ``</script>`` or ``<!--`` shows."""
    return json.dumps(frame.decode(), ensure_ascii=False).replace("<", "\\u003c").encode()


CARRIERS: Final[Mapping[Endpoint, Carrier]] = {
    Endpoint.XHR: Carrier(SCRIPT_TYPE, _nothing, _line),
    Endpoint.XHR_STREAMING: Carrier(SCRIPT_TYPE, lambda _: _XHR_PRELUDE, _line, streams=True),
    Endpoint.EVENTSOURCE: Carrier("text/event-stream;charset=UTF-8", lambda _: b"\r\n", _event, streams=True),
    Endpoint.HTMLFILE: Carrier("text/html;charset=UTF-8", _htmlfile, _script, streams=True, takes_callback=True),
    Endpoint.JSONP: Carrier(SCRIPT_TYPE, _nothing, _call, takes_callback=True),
}
