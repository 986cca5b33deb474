"""stomp.py by remote control, over TCP and WebSocket. It tells of a lost connection; its user connects and subscribes again."""

from __future__ import annotations

import json
import queue
import sys
import threading
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import stomp  # type: ignore[import-untyped]
from stomp.listener import ConnectionListener  # type: ignore[import-untyped]
from stomp.utils import Frame  # type: ignore[import-untyped]


def say(**line: Any) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Client(ConnectionListener):  # type: ignore[misc]
    """One user. The library's thread calls the ``on_`` methods, and may not connect again from there."""

    def __init__(self) -> None:
        self._stomp: Any = None
        self._headers: dict[str, str] = {}
        self._subscriptions: dict[str, dict[str, str]] = {}
        self._last: Frame | None = None
        self._receipts: queue.Queue[str] = queue.Queue()
        self._numbers = count(1)
        self._is_leaving = False

    def on_message(self, frame: Frame) -> None:
        self._last = frame
        say(event="message", headers=frame.headers, body=frame.body)

    def on_receipt(self, frame: Frame) -> None:
        self._receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame: Frame) -> None:
        say(event="error", headers=frame.headers)

    def on_disconnected(self) -> None:
        if not self._is_leaving:
            threading.Thread(target=self._open).start()

    def connect(self, url: str, user: str) -> None:
        address = urlsplit(url)
        place = [(address.hostname, address.port)]
        if address.scheme == "tcp":
            self._stomp = stomp.Connection12(place)
        else:
            self._stomp = stomp.WSStompConnection(place, ws_path=address.path)
        self._stomp.set_listener("", self)
        self._headers = {"sender": user}
        self._open()

    def subscribe(self, destination: str, headers: dict[str, str]) -> None:
        self._subscriptions[destination] = headers
        self._stomp.subscribe(destination, "s", ack=headers["ack"], headers=headers)

    def send(self, destination: str, headers: dict[str, str], body: str) -> None:
        receipt = f"r-{next(self._numbers)}"
        self._stomp.send(destination, body, headers={**headers, "receipt": receipt})
        while self._receipts.get() != receipt:
            pass

    def ack(self) -> None:
        assert self._last is not None
        if "ack" in self._last.headers:
            self._stomp.ack(self._last.headers["ack"])
        else:
            self._stomp.ack(self._last.headers["message-id"], self._last.headers["subscription"])

    def leave(self) -> None:
        self._is_leaving = True
        self._stomp.disconnect()

    def _open(self) -> None:
        self._stomp.connect(wait=True, headers=self._headers)
        say(event="connected")
        for destination, headers in self._subscriptions.items():
            self.subscribe(destination, headers)


def main() -> None:
    """Do what standard input says, until it ends."""
    client = Client()
    for line in sys.stdin:
        call = json.loads(line)
        getattr(client, call["name"])(**call["args"])
        say(id=call["id"], result=None)


if __name__ == "__main__":
    main()
