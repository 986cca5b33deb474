"""A subscriber that never reads: what a phone in a tunnel is to a server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.uri import parse_uri

_RECEIVE_BYTES = 4096
_DEADLINE_S = 10.0


@contextmanager
def deaf_subscriber(port: int, destination: str) -> Iterator[None]:
    """Subscribe to a destination over WebSocket, and read nothing from then on."""
    protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/ws-stomp"))
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        deaf.settimeout(_DEADLINE_S)
        deaf.connect(("127.0.0.1", port))
        protocol.send_request(protocol.connect())
        deaf.sendall(b"".join(protocol.data_to_send()))
        while not any(isinstance(event, Response) for event in protocol.events_received()):
            protocol.receive_data(deaf.recv(_RECEIVE_BYTES))
        protocol.send_text(b"CONNECT\naccept-version:1.2\nsender:deaf\n\n\0")
        protocol.send_text(f"SUBSCRIBE\nid:sub-0\ndestination:{destination}\n\n\0".encode())
        deaf.sendall(b"".join(protocol.data_to_send()))
        yield
