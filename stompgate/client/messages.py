"""What a client is given: messages, and where they begin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stompgate.stomp.frames import Frame


@dataclass(frozen=True, slots=True)
class Message:
    """A MESSAGE. ``headers`` are all that it came with."""

    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, frame: Frame) -> Message:
        """Make it of its frame."""
        return cls(frame.headers, frame.body)

    @property
    def id(self) -> str:
        """The message's own id, the same for every receiver and every delivery."""
        return self.headers["message-id"]

    @property
    def destination(self) -> str:
        """Where it was sent to."""
        return self.headers["destination"]

    @property
    def position(self) -> str | None:
        """Where it stands in its room: what to come back with. None outside rooms."""
        return self.headers.get("position")

    @property
    def text(self) -> str:
        """The body as text. Raises ``UnicodeDecodeError``."""
        return self.body.decode()

    def json(self) -> Any:
        """The body's JSON. Raises ``ValueError``."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Joined:
    """A room is followed: what is sent from now on will come. ``position`` is to be kept like that of a message: what comes
    next comes after it.

    ``recovered`` is about what was sent since the last position: True: all of it comes next. False: none of it comes, it can be
    read over REST alone. None: there was no such position yet.
    """

    position: str | None
    recovered: bool | None
