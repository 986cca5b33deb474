"""How a server finds out that its store went back: that a back-up was put back while it ran.

Pure. What was seen must be noted before the store is asked: an answer may be older than what came meanwhile, and only one
that is behind what was known when it was asked for shows that the store went back.
"""

from __future__ import annotations

from dataclasses import dataclass

from stompgate.model.rooms import RoomHead


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server has seen of a room: the last ``seq`` it let through, the ``members_version`` it read; 0 is nothing."""

    last_seq: int
    members_version: int

    def objection(self, head: RoomHead) -> str:
        """Return what to tell the operator if the room as it is stored is older than that, else "".

        The messages of a deleted room may be gone, so only its version counts.
        """
        if head.last_seq < self.last_seq and not head.deleted:
            what = f"its last message has number {head.last_seq}, and number {self.last_seq} was there before"
        elif head.members_version < self.members_version:
            what = f"its members have version {head.members_version}, and version {self.members_version} was there before"
        else:
            return ""
        return (
            f"the store went back: of room {head.room}, {what}. Was a back-up put back while servers ran?"
            " Stop all servers, put the back-up back, run `stompgate new-epoch`, and start them again"
        )
