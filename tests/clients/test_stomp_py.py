"""stomp.py over WebSocket, in every version of the protocol: chat in a room, acknowledgements, a crash of the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from stomp.adapter.ws import WSTransport  # type: ignore[import-untyped]
from stomp.connect import BaseConnection  # type: ignore[import-untyped]
from stomp.listener import ConnectionListener  # type: ignore[import-untyped]
from stomp.protocol import Protocol10, Protocol11, Protocol12  # type: ignore[import-untyped]
from stomp.utils import Frame  # type: ignore[import-untyped]

from tests.daemon_process import Daemon, wait_until
from tests.wire_client import make_room

from .rooms import BUYER, HEADER_VALUES, HOSTILE_CONTENTS, SELLER, chat_body, history, intake_of, subscription_of

VERSIONS = ("1.0", "1.1", "1.2")
PROTOCOLS = {"1.0": Protocol10, "1.1": Protocol11, "1.2": Protocol12}
CONNECTIONS = {version: type("OverWebSocket", (protocol, BaseConnection), {}) for version, protocol in PROTOCOLS.items()}
ACK_MODES = {"1.0": "client", "1.1": "client-individual", "1.2": "client-individual"}


class Client(ConnectionListener):  # type: ignore[misc]
    """One user with stomp.py, whose thread calls the ``on_`` methods; whoever asks waits for what they have written down."""

    def __init__(self, daemon: Daemon, user: str, version: str) -> None:
        self.user, self.version = user, version
        self.messages: list[Frame] = []
        self.receipts: dict[str, Frame] = {}
        self.errors: list[Frame] = []
        self.ends = 0
        self._numbers = count(1)
        self.transport = WSTransport([("127.0.0.1", daemon.port)], ws_path="/ws-stomp")
        self.stomp = CONNECTIONS[version](self.transport)
        self.stomp.set_listener("", self)

    # What stomp.py calls

    def on_message(self, frame: Frame) -> None:
        self.messages.append(frame)

    def on_receipt(self, frame: Frame) -> None:
        self.receipts[frame.headers["receipt-id"]] = frame

    def on_error(self, frame: Frame) -> None:
        self.errors.append(frame)

    def on_disconnected(self) -> None:
        self.ends += 1

    # What a test asks for

    def connect(self) -> None:
        self.transport.start()
        self.stomp.connect(wait=True, headers={"sender": self.user})

    def ask(self, command: str, headers: dict[str, str], body: str = "") -> Frame:
        """Send a frame with a receipt, and return the RECEIPT."""
        receipt = f"{self.user}-{next(self._numbers)}"
        self.stomp.send_frame(command, {**headers, "receipt": receipt}, body)
        wait_until(lambda: receipt in self.receipts or bool(self.errors), f"the receipt of {command}")
        assert not self.errors, self.errors
        return self.receipts[receipt]

    def subscribe(self, destination: str, **headers: str) -> Frame:
        return self.ask("SUBSCRIBE", {"destination": destination, "id": "s", **headers})

    def send(self, room: str, content: str) -> None:
        headers = {"destination": intake_of(room), "content-type": "application/json"}
        self.ask("SEND", headers, chat_body(room, self.user, content))

    def acknowledge(self, message: Frame) -> None:
        named = {
            "1.0": lambda: {"message-id": message.headers["message-id"]},
            "1.1": lambda: {"message-id": message.headers["message-id"], "subscription": message.headers["subscription"]},
            "1.2": lambda: {"id": message.headers["ack"]},
        }
        self.ask("ACK", named[self.version]())

    def received(self, number: int) -> list[Any]:
        """Wait for so many messages in all; return their bodies."""
        wait_until(lambda: len(self.messages) >= number, f"{self.user} has {number} messages")
        return [json.loads(message.body) for message in self.messages]

    def disconnect(self) -> None:
        """DISCONNECT with a receipt, after which stomp.py closes."""
        before = self.ends
        self.stomp.disconnect()
        self.transport.stop()
        wait_until(lambda: self.ends > before, f"{self.user} is disconnected")


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pair(daemon: Daemon, version: str) -> Iterator[tuple[Client, Client]]:
    """A buyer and a seller, connected."""
    clients = Client(daemon, BUYER, version), Client(daemon, SELLER, version)
    for client in clients:
        client.connect()
    yield clients
    for client in clients:
        client.disconnect()
        assert client.errors == []


@pytest.fixture
def room(daemon: Daemon) -> str:
    return asyncio.run(make_room(daemon.url, BUYER, SELLER))


def test_two_chat_acknowledge_and_come_back_after_a_crash(
    daemon: Daemon, room: str, pair: tuple[Client, Client], version: str
) -> None:
    buyer, seller = pair
    for client in pair:
        client.subscribe(subscription_of(room), ack=ACK_MODES[version])
    for content in HOSTILE_CONTENTS:
        buyer.send(room, content)
        seller.send(room, content)
    said = [(user, content) for content in HOSTILE_CONTENTS for user in (BUYER, SELLER)]
    for client in pair:
        assert [(body["sender"], body["content"]) for body in client.received(len(said))] == said
        for message in client.messages:
            client.acknowledge(message)

    daemon.kill()
    for client in pair:
        wait_until(lambda client=client: client.ends == 1, "the crash is noticed")  # type: ignore[misc]
    daemon.start_again()

    last = seller.messages[-1].headers["position"]
    buyer.connect()
    for number in range(3):
        buyer.send(room, f"missed {number}")
    seller.connect()
    receipt = seller.subscribe(subscription_of(room), since=last)
    assert receipt.headers["recovered"] == "true"
    buyer.send(room, "live again")
    everything = [*said, *((BUYER, f"missed {number}") for number in range(3)), (BUYER, "live again")]
    assert [(body["sender"], body["content"]) for body in seller.received(len(everything))] == everything
    stored = asyncio.run(history(daemon, room))
    assert [(message["sender"], message["content"]) for message in stored] == everything


def test_header_values_of_every_kind_arrive(pair: tuple[Client, Client], version: str) -> None:
    buyer, seller = pair
    seller.subscribe("/topic/headers")
    buyer.ask("SEND", {"destination": "/topic/headers", "of-mine": HEADER_VALUES[version]}, "본문")
    wait_until(lambda: bool(seller.messages), "the message is here")
    (message,) = seller.messages
    assert (message.headers["of-mine"], message.body) == (HEADER_VALUES[version], "본문")
    assert "receipt" not in message.headers


def test_what_is_not_allowed_is_answered_by_an_error_and_a_close(daemon: Daemon, room: str, version: str) -> None:
    stranger = Client(daemon, "stranger", version)
    stranger.connect()
    stranger.stomp.send_frame("SUBSCRIBE", {"destination": subscription_of(room), "id": "s", "receipt": "r"})
    wait_until(lambda: bool(stranger.errors) and stranger.ends == 1, "the refusal")
    (error,) = stranger.errors
    assert (error.headers["code"], error.headers["receipt-id"]) == ("no-such-room", "r")
