"""The way of a command to a running server: HTTP over the operator's socket, or with a token over the network.

Whatever goes wrong is one sentence that says what was expected. The token must never be in it.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from stompgate.model.causes import Cause

PREFIX: Final = "/operator"
ANSWER_S: Final = 30.0
END_S: Final = 120.0
_LINE_LIMIT_BYTES: Final = 1024 * 1024
_ANSWER_LIMIT_BYTES: Final = 64 * 1024 * 1024
_CREDENTIALS: Final = struct.Struct("3i")
_UNKNOWN: Final = (Cause.OUTCOME_UNKNOWN.code, Cause.INTERNAL.code)


class NotDone(Exception):
    """What was asked is not done. The text is a sentence for the operator."""


class OutcomeUnknown(NotDone):
    """It was asked, and what came of it is not known: it may be done all the same."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a server is asked: at ``socket``, or at ``url`` with ``token``."""

    socket: Path | None = None
    url: str = ""
    token: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return str(self.socket) if self.socket is not None else self.url


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class ServerLink:
    """One connection to a server, kept for as many questions as are asked. Every method raises ``NotDone``."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._has_asked = False
        self._base = PREFIX
        self._headers = {"Accept": "application/json"}
        if way.socket is not None:
            self._connection: http.client.HTTPConnection = _LocalConnection(way.socket)
            return
        parts = urlsplit(way.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=ANSWER_S)
        self._base = parts.path.rstrip("/") + PREFIX
        self._headers["Authorization"] = f"Bearer {way.token}"

    def get(self, path: str, **query: object) -> Any:
        """What a path answers."""
        with self._speaking():
            return json.loads(self._ask("GET", path, query).read(_ANSWER_LIMIT_BYTES))

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """The same for a change."""
        with self._speaking():
            given = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
            return json.loads(self._ask("POST", path, {}, given).read(_ANSWER_LIMIT_BYTES))

    def lines(self, path: str, **query: object) -> Iterator[Any]:
        """Objects as they come, one a line, for as long as the server goes on."""
        with self._speaking():
            answer = self._ask("GET", path, query)
            assert self._connection.sock is not None
            # A room may be silent for hours; a host that is gone is noticed all the same.
            self._connection.sock.settimeout(None)
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            while (line := answer.readline(_LINE_LIMIT_BYTES)).endswith(b"\n"):
                yield json.loads(line)
            if line or answer.length:  # http.client says nothing where an answer is cut off
                raise ConnectionResetError

    def pid(self) -> int | None:
        """The process at the other end of the socket, as it is called here; None over a network."""
        if self._way.socket is None or self._connection.sock is None:
            return None
        raw = self._connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(raw)[0]) or None

    def _ask(self, method: str, path: str, query: Mapping[str, object], body: bytes | None = None) -> http.client.HTTPResponse:
        asked = {
            name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items() if value is not None
        }
        target = self._base + path + (f"?{urlencode(asked)}" if asked else "")
        if self._connection.sock is None:
            self._connection.connect()
        self._has_asked = True
        self._connection.request(method, target, body, self._headers)
        answer = self._connection.getresponse()
        if answer.status >= 300:
            raise _refusal(answer, self._way)
        return answer

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except PermissionError:
            raise NotDone(f"{self._way.name} may be opened by its server's user only") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotDone(f"no server listens at {self._way.name}") from None
        except TimeoutError:
            raise self._failed(f"the server at {self._way.name} does not answer within {ANSWER_S:g} s") from None
        except (http.client.HTTPException, ConnectionResetError, BrokenPipeError):
            raise self._failed(f"the server at {self._way.name} ended the connection") from None
        except OSError as error:
            raise self._failed(f"the server at {self._way.name} cannot be reached: {error.strerror or error}") from None
        except UnicodeEncodeError:
            raise  # it was not sent: a word of the command line is no text
        except ValueError:
            raise self._failed(f"what answers at {self._way.name} is no stompgate") from None

    def _failed(self, sentence: str) -> NotDone:
        return OutcomeUnknown(sentence) if self._has_asked else NotDone(sentence)


def wait_for_end(pid: int) -> bool:
    """Wait until a process of this machine has ended. Returns whether it has."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        return bool(poll.poll(END_S * 1000))
    finally:
        os.close(process)


def _refusal(answer: http.client.HTTPResponse, way: Way) -> NotDone:
    document = answer.read(_LINE_LIMIT_BYTES)
    if answer.headers.get_content_type() == "application/problem+json":
        problem = json.loads(document)
        sentence, is_unknown = str(problem["detail"]), problem["code"] in _UNKNOWN
    else:
        sentence = f"what answers at {way.name} is no stompgate, or has no operator's paths: status {answer.status}"
        is_unknown = answer.status >= 500  # a gateway that has lost the server's answer
    return OutcomeUnknown(sentence) if is_unknown else NotDone(sentence)
