"""The end of a run: all troubles are over, and everything must come right by itself, without anyone restarting anything.

What does not is a complaint; the next thing is looked at all the same, since each may say something about the others.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import httpx

from .clients import Receiver
from .cluster import NO_ANSWER, Cluster, owed
from .crowd import Crowd, Party
from .record import Record
from .troubles import flush_all

_SETTLE_S = 60.0
_LAST_WORD_S = 15.0
"""Less than the time between two comparisons with the store: it must come by the relay."""

_BLOW_S = 3.0
_POLL_S = 0.1
_ASK_S = 30.0
_FAR_BACK = 5_000
"""So many messages may lie between a probe's position and the end: within what a returning client is given."""

History = list[tuple[int, str]]


async def end(cluster: Cluster, crowd: Crowd, record: Record, chance: random.Random) -> None:
    """Wait until everything has come right, then compare all with what is stored. What is wrong is in the record."""
    await until(
        record, "every server has started", _SETTLE_S, lambda: _names([m.name for m in cluster.members if not m.is_ready])
    )
    await _last_blow(cluster, record)
    record.note("END")
    senders = [sender for party in crowd.parties for sender in party.senders]
    for sender in senders:
        sender.is_sending = False
    await until(record, "every server is ready", _SETTLE_S, lambda: _unready(cluster))
    await until(
        record, "every SEND is RECEIPTed", _SETTLE_S, lambda: _names([s.who for s in senders if not s.has_all_receipts])
    )
    await until(record, "the outbox is empty", _SETTLE_S, lambda: _owed(cluster))
    probes = [_probe(party, door, n, record, chance) for party in crowd.parties for n, door in enumerate(cluster.doors, 1)]
    tasks = [asyncio.create_task(probe.go_on(), name=probe.who) for _, probe in probes]
    try:
        await until(record, "every receiver has all", _SETTLE_S, lambda: _behind(cluster, crowd, probes))
        for sender in senders:
            sender.is_sending = True
            sender.say()
            sender.is_sending = False
        await until(
            record,
            "every last word is RECEIPTed",
            _LAST_WORD_S,
            lambda: _names([s.who for s in senders if not s.has_all_receipts]),
        )
        await until(record, "every receiver has the last word", _LAST_WORD_S, lambda: _behind(cluster, crowd, probes))
        await until(record, "everyone is seen as connected", _SETTLE_S, lambda: _unseen(cluster, crowd))
        if "sessions" in cluster.services:
            await flush_all(cluster.services["sessions"])
            await until(record, "everyone is seen again after a flush", _SETTLE_S, lambda: _unseen(cluster, crowd))
        await until(record, "the outbox is empty again", _SETTLE_S, lambda: _owed(cluster))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for member in cluster.members:
        member.check_log()
    await _judge(cluster, record)


async def _last_blow(cluster: Cluster, record: Record) -> None:
    """Take everything away from all servers, twice, and give it back. From here on no server is restarted to be well again."""
    record.note("LAST BLOW")
    links = [link for member in cluster.members for link in member.links.values()]
    await asyncio.gather(*(link.refuse() for link in links))
    await asyncio.sleep(_BLOW_S)
    await asyncio.gather(*(link.allow() for link in links))
    services = list(cluster.services.values())
    await asyncio.gather(*(asyncio.to_thread(service.kill) for service in services))
    await asyncio.sleep(_BLOW_S)
    await asyncio.gather(*(asyncio.to_thread(service.start) for service in services))


async def _judge(cluster: Cluster, record: Record) -> None:
    """Each room's history by each server: the same, and with all that it must have. A room that is gone has none."""
    histories: dict[str, History | None] = {}
    for room in record.rooms.values():
        told = [await history_of(member.url, room.uuid) for member in cluster.members]
        histories[room.uuid] = told[0]
        is_one = all(history == told[0] for history in told)
        if not is_one:
            record.complain(f"{room.uuid}: servers tell different histories")
        for history in told[:1] if is_one else told:
            if room.gone_s is not None:
                if history is not None:
                    record.complain(f"{room.uuid}: its removal was answered, and it still has a history")
            elif history is None:
                record.complain(f"{room.uuid}: nobody deleted it, and it has no history")
            else:
                record.judge(room, history)
    record.judge_transactions(histories)


def _probe(party: Party, door: str, number: int, record: Record, chance: random.Random) -> tuple[Party, Receiver]:
    """A new device on one server that comes back from anywhere in the room's past."""
    room = party.room
    probe = Receiver([door], f"{party.buyer}/probe{number}", room, record, chance)
    if room.by_seq:
        probe.chain.came_from(room.by_seq[chance.choice([seq for seq in room.by_seq if seq > room.last_seen - _FAR_BACK])])
    return party, probe


# What is still wrong, as a sentence; "" if nothing is


async def _unready(cluster: Cluster) -> str:
    said = await cluster.healthy()
    return "; ".join(f"{name}: {text}" for name, text in said.items() if text)


async def _names(names: Sequence[str]) -> str:
    return ", ".join(names)


async def _owed(cluster: Cluster) -> str:
    rows = await asyncio.to_thread(owed, cluster.store)
    return f"{rows} rows are owed" if rows else ""


async def _behind(cluster: Cluster, crowd: Crowd, probes: Sequence[tuple[Party, Receiver]]) -> str:
    behind: list[str] = []
    for party in crowd.parties:
        newest = await _last_seq(cluster.members[0].url, party.room.uuid, party.buyer)
        receivers = [*party.receivers, *(probe for of, probe in probes if of is party)]
        behind += [
            f"{receiver.who} has {receiver.chain.last_seq} of {newest}"
            for receiver in receivers
            if not receiver.chain.has_begun or receiver.chain.last_seq != newest
        ]
    return ", ".join(behind)


async def _unseen(cluster: Cluster, crowd: Crowd) -> str:
    expected = sorted(crowd.users)
    wrong: list[str] = []
    async with httpx.AsyncClient(trust_env=False, timeout=_ASK_S) as http:
        for member in cluster.members:
            answer = await http.get(f"{member.url}/chat/debug/sessions")
            body = answer.json()
            seen = sorted({user for users in body.get("serverUsers", {}).values() for user in users})
            if seen != expected:
                wrong.append(f"{member.name} misses {set(expected) - set(seen)} and has too many: {set(seen) - set(expected)}")
    return "; ".join(wrong)


async def _last_seq(url: str, room: str, user: str) -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=_ASK_S) as http:
        answer = await http.get(f"{url}/chat/room/{room}", params={"limit": 1}, headers={"X-Auth-User": user})
    entries = answer.json() if answer.status_code == 200 else []
    return int(entries[-1]["seq"]) if entries else 0


async def history_of(url: str, room: str) -> History | None:
    """The whole history, as its reader of that room may read it; None if there is no such room."""
    async with httpx.AsyncClient(trust_env=False, timeout=_ASK_S) as http:
        users = await http.get(f"{url}/room/rooms")
        readers = [row["user"] for row in users.json() if row["room"]["roomUUID"] == room]
        if not readers:
            return None
        answer = await http.get(f"{url}/chat/room/{room}", headers={"X-Auth-User": readers[0]})
    if answer.status_code == 404:
        return None
    answer.raise_for_status()
    return [(entry["seq"], entry["content"]) for entry in answer.json()]


async def until(record: Record, what: str, seconds: float, still_wrong: Callable[[], Awaitable[str]]) -> None:
    """Wait until nothing is wrong any more. If that takes too long, it is a complaint."""
    loop = asyncio.get_running_loop()
    began_s, wrong = loop.time(), "nobody knows"
    while loop.time() < began_s + seconds:
        try:
            wrong = await still_wrong()
        except NO_ANSWER as error:
            wrong = repr(error)
        if not wrong:
            record.note(f"{what}, after {loop.time() - began_s:.1f} s")
            return
        await asyncio.sleep(_POLL_S)
    record.complain(f"not within {seconds:g} s: {what}; {wrong}")
