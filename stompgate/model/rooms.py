"""Rooms of one buyer and one seller, as the store keeps them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """A room. ``id`` is the number that answers show; everything else knows the room by ``uuid``."""

    id: int
    uuid: str
    product_name: str


@dataclass(frozen=True, slots=True)
class RoomUser:
    """One member's row of a room: who it is and whom they talk to."""

    id: int
    room: Room
    user: str
    other: str


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """A living room as a whole. ``last_seq`` is the number of its newest message."""

    room: Room
    buyer: str
    seller: str
    last_seq: int
    created_at_us: int


@dataclass(frozen=True, slots=True)
class Members:
    """Who may read and write in a room, read in one statement with its version.

    ``version`` rises with every change of the list; ``deleted`` is final. ``last_seq`` is the number of the newest
    message at that moment.
    """

    room: str
    users: frozenset[str]
    version: int
    deleted: bool
    last_seq: int


@dataclass(frozen=True, slots=True)
class RoomHead:
    """The numbers by which servers compare what they have seen of a room with what is stored."""

    room: str
    last_seq: int
    members_version: int
    deleted: bool
