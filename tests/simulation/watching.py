"""One subscription to a room as its client sees it, and the promises that it is measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from stompgate.model.messages import Position, mark_of
from stompgate.stomp.frames import Frame

from .violations import demand

if TYPE_CHECKING:
    from .world import World


class Watching:
    """``position`` is where the client is, None before it knows. ``last`` is the ``seq`` of that."""

    def __init__(self, world: World, user: str, room: str, since: str | None, *, has_receipt: bool) -> None:
        self.world = world
        self.user = user
        self.room = room
        self.since = Position.parse(since) if since is not None else None
        self.has_receipt = has_receipt
        self.is_begun = False
        self.position: str | None = None
        self.last: int | None = None
        self.is_ended = False
        self.has_hole = False
        self._was_whole = self._is_whole()
        self._last_seq_at_start = world.last_seq(room)

    def __repr__(self) -> str:
        return f"{self.user} in {self.room} since {self.since} at {self.last}"

    def take(self, frame: Frame) -> None:
        """A MESSAGE came."""
        fields = orjson.loads(frame.body)
        seq = fields["seq"]
        row = self.world.row(self.room, seq)
        demand(row is not None, "only stored messages are delivered", self, seq)
        assert row is not None
        stored = (row.message.id, row.message.sender, row.message.content, row.message.position)
        told = (frame.headers["message-id"], fields["sender"], fields["content"], frame.headers["position"])
        demand(stored == told, "a message is delivered as it is stored", self, stored, told)
        removed = self.world.rows.removals.get((self.room, self.user))
        demand(removed is None or row.number < removed, "nothing stored after a removal reaches who was removed", self, seq)
        if self.is_begun or self.last is not None:
            self._follows(self.last or 0, seq, "messages come in order, each once, none missing")
        elif self.has_receipt:
            demand(self.since is not None, "a subscription's messages follow its RECEIPT", self, seq)
            assert self.since is not None
            self._follows(self.since.seq, seq, "the messages missed begin after since")
        self.last, self.position = seq, frame.headers["position"]

    def _follows(self, last: int, seq: int, promise: str) -> None:
        """Nothing lies between the two numbers but what was pruned, and then it is no recovery."""
        demand(seq == last + 1 or (seq > last and self.world.is_pruned(self.room, seq - 1)), promise, self, seq)
        self.has_hole |= seq != last + 1

    def begun(self, frame: Frame) -> None:
        """The RECEIPT of its SUBSCRIBE came."""
        if "position" not in frame.headers:
            demand(self.is_ended, "only a SUBSCRIBE that was taken back is answered without a position", self)
            return
        position = Position.parse(frame.headers["position"])
        demand(position is not None, "a RECEIPT tells the position", self)
        assert position is not None
        last_seq = self.world.last_seq(self.room)
        demand(position.epoch == self.world.rows.epoch and position.seq <= last_seq, "a position is real", self, position)
        row = self.world.row(self.room, position.seq)
        mark = mark_of(row.message.id) if row is not None else ""
        if not self.world.is_deleted(self.room):
            is_gone = position.mark == "" and self.world.is_pruned(self.room, position.seq)
            demand(position.mark == mark or is_gone, "a position names its row", self, position, mark)
        recovered = frame.headers.get("recovered")
        self._judge(recovered, position)
        if recovered == "true":
            assert self.since is not None
            demand(not self.has_hole, "recovered is true only where nothing is missing", self)
            demand(
                position.seq == (self.since.seq if self.last is None else self.last),
                "the RECEIPT follows the replay",
                self,
                position,
            )
        elif not self.world.is_deleted(self.room):
            was_cut_off = self.since is not None and self.world.is_pruned(self.room, self.since.seq)
            demand(self.last is None or was_cut_off, "nothing is replayed to who is not recovered", self)
        self.is_begun = True
        self.last, self.position = position.seq, str(position)

    def refused(self, code: str) -> None:
        """An ERROR named its SUBSCRIBE."""
        was_member = self.world.is_member(self.room, self.user)
        demand(code != "no-such-room" or not was_member, "a member may subscribe", self)

    def end(self) -> None:
        self.is_ended = True

    def is_complete(self) -> bool:
        """Whether it has everything that is stored."""
        return self.last is None or self.last == self.world.last_seq(self.room)

    def _judge(self, recovered: str | None, position: Position) -> None:
        figures = self.world.figures
        demand((recovered is None) == (self.since is None), "recovered is said to who comes back", self, recovered)
        if recovered == "true":
            figures.recovered += 1
            demand(self._was_whole is not False, "recovered is true only where it is", self)
        if recovered == "false":
            figures.not_recovered += 1
            demand(
                self.world.is_deleted(self.room) or self._is_whole() is not True, "recovered is false only for a reason", self
            )

    def _is_whole(self) -> bool | None:
        """Whether everything after ``since`` can be had. None: it is for the server to say (the limit is near)."""
        if self.since is None:
            return None
        row = self.world.row(self.room, self.since.seq)
        if self.since.epoch != self.world.rows.epoch or self.since.seq > self.world.last_seq(self.room):
            return False
        if self.since.seq >= 0 and self.world.is_pruned(self.room, max(self.since.seq, 1)):
            return False  # the row that proves the position, or the first of all, is gone
        if self.since.seq < 0 or (row is not None and mark_of(row.message.id) != self.since.mark):
            return False
        return self.world.last_seq(self.room) - self.since.seq <= self.world.missed_limit
