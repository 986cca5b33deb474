"""The states of a STOMP connection, as tables: what a peer may send when, and which headers it must bring.

Whether a destination, subscription or message exists is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from stompgate.model.causes import Cause, Refusal

from .frames import Command, Frame
from .versions import Version


class State(Enum):
    """How far a connection is."""

    AWAITING_CONNECT = auto()
    CONNECTED = auto()
    CLOSING = auto()  # after DISCONNECT or ERROR: what still comes is thrown away


# Each header that a frame needs; where there are several names, one of them is enough.
Needs = tuple[tuple[str, ...], ...]

_DESTINATION: Final[Needs] = (("destination",),)
_ID: Final[Needs] = (("id",),)
_TRANSACTION: Final[Needs] = (("transaction",),)

_SAME_IN_ALL: Final[dict[str, Needs]] = {
    Command.SEND: _DESTINATION,
    Command.BEGIN: _TRANSACTION,
    Command.COMMIT: _TRANSACTION,
    Command.ABORT: _TRANSACTION,
    Command.DISCONNECT: (),
}

WHEN_CONNECTED: Final[Mapping[Version, Mapping[str, Needs]]] = {
    Version.V1_0: _SAME_IN_ALL
    | {
        Command.SUBSCRIBE: _DESTINATION,
        Command.UNSUBSCRIBE: (("id", "destination"),),
        Command.ACK: (("message-id",),),
    },
    Version.V1_1: _SAME_IN_ALL
    | {
        Command.SUBSCRIBE: (("destination",), ("id",)),
        Command.UNSUBSCRIBE: _ID,
        Command.ACK: (("message-id",), ("subscription",)),
        Command.NACK: (("message-id",), ("subscription",)),
    },
    Version.V1_2: _SAME_IN_ALL
    | {
        Command.SUBSCRIBE: (("destination",), ("id",)),
        Command.UNSUBSCRIBE: _ID,
        Command.ACK: _ID,
        Command.NACK: _ID,
    },
}
"""The frames that a connected client may send, with the headers that each needs."""

ACK_MODES: Final = ("auto", "client", "client-individual")
"""What SUBSCRIBE's ``ack`` may say; absent means auto. 1.0 does not name the last, but its clients use it all the same."""


def check(state: State, version: Version, frame: Frame) -> State:
    """Return the state that the frame leads to once it has taken effect.

    CONNECT leads to CONNECTED, which holds only when the server has accepted it. When the state is CLOSING already, the
    frame is to be thrown away. Raises ``Refusal`` for a frame that may not come now or lacks a header.
    """
    if state is not State.CONNECTED:
        return _check_unconnected(state, frame.command)
    needs = WHEN_CONNECTED[version].get(frame.command)
    if needs is None:
        raise _not_now(frame.command, version)
    headers = frame.headers
    for names in needs:
        if names[0] not in headers and not any(name in headers for name in names):
            raise Refusal(Cause.MISSING_HEADER, f"{frame.command} needs the header {' or '.join(names)}.")
    if frame.command == Command.SUBSCRIBE and headers.get("ack", "auto") not in ACK_MODES:
        raise Refusal(Cause.BAD_HEADER, f"The ack header of SUBSCRIBE may be {', '.join(ACK_MODES)}.")
    return State.CLOSING if frame.command == Command.DISCONNECT else State.CONNECTED


def _check_unconnected(state: State, command: str) -> State:
    if state is State.CLOSING:
        return State.CLOSING
    if command not in {Command.CONNECT, Command.STOMP}:
        raise Refusal(Cause.NOT_CONNECTED)
    return State.CONNECTED


def _not_now(command: str, version: Version) -> Refusal:
    if command in {Command.CONNECT, Command.STOMP}:
        return Refusal(Cause.ALREADY_CONNECTED)
    return Refusal(Cause.UNKNOWN_COMMAND, f"There is no client frame {command} in STOMP {version.value}.")
