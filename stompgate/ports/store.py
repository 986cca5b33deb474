"""Where rooms and messages are kept for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stompgate.model.causes import Cause
from stompgate.model.inquiries import Inquiry
from stompgate.model.messages import ChatMessage, Draft
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.model.rooms import Members, RoomHead, RoomSummary, RoomUser

from .part import Part


class StoreUnavailable(Exception):
    """The store did not do what was asked, and it is certain that nothing of it was done or ever will be."""


class OutcomeUnknown(Exception):
    """The store may or may not have done what was asked. The same call may be made again and takes what it finds."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A draft is stored. ``repeated``: it was already, by its id or its client id, and ``message`` is what is stored."""

    message: ChatMessage
    repeated: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """A draft is not stored and never will be by this call; its neighbours are not touched by that."""

    cause: Cause
    detail: str = ""


Outcome = Stored | Rejected

LEASE_S = 15.0
"""Seconds from the taking or renewal of a lease to its expiry."""

CLOCK_SLACK_S = 10.0
"""By so much further ahead than it can be may a lease or claim end and still be in force: a database takes for now the time at
which a statement began, and one that waited since sees what others have begun or renewed later."""

MAIL_CLAIM_S = 300.0
"""Seconds for which an inquiry that one server was given to mail is not given to another."""

PUT_OFF_LIMIT_S = 86_400.0
"""The longest time for which an inquiry may be put off. One that is put off for longer was so by a clock set back since."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a server id, and until when: microseconds since 1970 by the UTC clock of the database.

    An expiry further ahead than ``LEASE_S`` and ``CLOCK_SLACK_S`` was written by a clock that has been set back since, and
    counts as expired.
    """

    owner: str
    expires_at_us: int


class Store(Part, Protocol):
    """Rooms, members, messages, inquiries.

    Every method raises ``StoreUnavailable`` (nothing was done; reads and writes) or ``OutcomeUnknown`` (writes only), and
    nothing else but cancellation. Every call has a deadline of its own. A write is durable, and seen by every later read
    on every server, when its call returns.
    """

    @property
    def epoch(self) -> str:
        """The name of this life of the data: another after a restored back-up. Fixed while the store is open."""

    async def new_epoch(self) -> str:
        """End a restore: name the data's next life, and return that name. It is in force from the next opening on.

        Refused (``StoreUnavailable``) while any server holds a valid lease. This store is only to be closed afterwards.
        """

    # Leases: one process at a time acts for a server id

    async def take_lease(self, owner: str) -> Lease:
        """Take or renew the lease of this server's id, unless another owner's is valid now; return what is in force then.

        It was granted if the answer's ``owner`` is this one. Who asks again before it expires keeps it for as long as it likes.
        A store that only one process can open is its own lease, and always grants.
        """

    async def release_lease(self, owner: str) -> None:
        """Let the lease go, so that the next owner need not wait. If it is not this owner's (any more), nothing is done."""

    # Messages

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Outcome]:
        """Store a group of messages in one transaction; one outcome per draft, in order.

        Atomic: all that is stored by the call is, or nothing. Per room ``seq`` goes up by one per message in the order of
        the drafts, without gaps, whatever else writes. A draft is rejected alone (unknown or deleted room, sender no
        member) with its neighbours stored; a sender who was checked against the room's present ``members_version`` is not
        looked up again. A draft whose ``id`` or, failing that, whose (room, sender, client id) is stored already, or stands
        earlier in the group, is answered with that message as ``repeated``. ``members_version`` of the stored message is
        the room's at that moment. Each new row carries this server as the one that owes its publication.
        Drafts of one ``transaction`` stand or fall together: where one is rejected, all of them are, and no others.
        Those of a room that another server holds for too long are rejected as STORE_UNAVAILABLE, their neighbours stored;
        but not while an earlier attempt at them may be under way.
        Not to be called again before it returned; the same drafts may be appended again after ``OutcomeUnknown``.
        """

    async def history(
        self, room: str, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[ChatMessage]:
        """Up to ``limit`` messages of a room in rising ``seq``.

        Without bounds, or with ``before``: the newest ones (with a ``seq`` below ``before``). With ``after``: the oldest
        ones with a ``seq`` above it. Of an unknown or deleted room: none.
        """

    async def message_at(self, room: str, seq: int) -> ChatMessage | None:
        """The message with that number, None if there is none (any more)."""

    async def heads(self, rooms: Sequence[str]) -> Sequence[RoomHead]:
        """The current numbers of the rooms, in one read. Unknown rooms are absent from the answer."""

    # The outbox: what is stored and the relay has not acknowledged yet

    async def unrelayed(self, limit: int) -> Sequence[ChatRecord | RoomChanged]:
        """Up to ``limit`` records to be published, oldest first, messages of a room in rising ``seq``.

        Those that this server owes, and those of every server without a valid lease: they would wait for its return, and to
        publish a record twice harms nobody. Changes of rooms come before messages. Messages of a deleted room are owed to
        nobody.
        """

    async def mark_relayed(self, records: Sequence[ChatRecord | RoomChanged]) -> None:
        """The relay has acknowledged these. Marking again, or a record that is gone, does nothing."""

    async def prune(self, before_us: int, limit: int, *, archive: bool) -> int:
        """Take away up to ``limit`` messages that were sent before ``before_us``; return how many. 0: there are no more.

        A room loses its oldest messages in rising ``seq`` up to the first that is younger, never its newest one (so that who
        has seen all can prove it) and none that is still owed to the relay. With ``archive`` they are moved to a table of
        their own, ``sg_archive``, in the same transaction. ``seq`` goes on as if nothing had happened.
        """

    # Rooms

    async def create_room(self, uuid: str, *, buyer: str, seller: str, product_name: str) -> tuple[RoomUser, RoomUser]:
        """The seller's row and the buyer's, of the room with that buyer, seller and product: made now, or before."""

    async def members(self, room: str) -> Members | None:
        """Members and their version in one statement; ``deleted`` rooms are answered, unknown ones are None."""

    async def room_user(self, room: str, user: str) -> RoomUser | None:
        """A member's row of a living room."""

    async def rooms_of(self, user: str) -> Sequence[RoomUser]:
        """A user's rows of all living rooms, in the order of their ids."""

    async def all_room_users(self) -> Sequence[RoomUser]:
        """Every row of every living room, in the order of their ids."""

    async def list_rooms(self, *, user: str | None = None, before: int | None = None, limit: int) -> Sequence[RoomSummary]:
        """Up to ``limit`` living rooms, the newest first: those of ``user`` if one is named, with an id below ``before``."""

    async def delete_room(self, room: str) -> RoomChanged | None:
        """Delete a room: nothing is stored in it any more once this returns. None if there is no living one.

        The change stays in the outbox until it is marked as relayed. Rows may be cleared away afterwards.
        """

    # Inquiries

    async def add_inquiry(self, inquiry: Inquiry) -> Inquiry:
        """Keep an inquiry to be mailed; the answer carries its id. One that waits word for word already is that one."""

    async def unmailed(self, limit: int) -> Sequence[Inquiry]:
        """Claim up to ``limit`` inquiries that wait to be mailed, oldest first; not those that are put off.

        They are this server's to mail for ``MAIL_CLAIM_S``: until then no other server is given them, and this one again.
        """

    async def mark_mailed(self, inquiry_id: int) -> None:
        """The inquiry's mail was handed over."""

    async def put_off_mail(self, delay_s: float, inquiry_id: int | None = None) -> None:
        """An inquiry could not be mailed: count that, give its claim back, and give it to nobody for ``delay_s``.

        Without ``inquiry_id``: none of those that wait could be. They are given out again at once then, whatever the delay, and
        only this server's claims are given back.
        """

    async def give_up_mail(self, failing_since_us: int, inquiry_id: int | None = None) -> Sequence[int]:
        """Give up inquiries that could not be mailed since that time or longer; return their ids, 100 at most.

        Nobody is given them any more; they stay. With ``inquiry_id``: this one alone, if it is such a one. Each is answered by
        one call, on one server.
        """
