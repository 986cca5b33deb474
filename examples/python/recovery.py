"""python recovery.py ws://localhost:8070/ws-stomp USER ROOM: what ``ChatClient.follow`` does, in the open."""

import asyncio
import random
import sys

from stompgate.client import Failure, connect


async def follow(url: str, user: str, room: str, position: str | None = None) -> None:
    pause_s = 0.5
    while True:
        try:
            async with connect(url, user=user) as stomp, stomp.subscribe(f"/sub/chat/room/{room}", since=position) as messages:
                print("-- something is missing here" if messages.recovered is False else "-- connected", flush=True)
                if not messages.recovered:  # else what was missed has come, and is still to be dealt with
                    position = messages.position
                pause_s = 0.5
                async for message in messages:
                    print("{sender}: {content}".format(**message.json()), flush=True)
                    position = message.position
        except Failure as failure:
            if not failure.retry:
                raise
            await asyncio.sleep(random.uniform(0.5, 1) * pause_s)
            pause_s = min(2 * pause_s, 20)


asyncio.run(follow(*sys.argv[1:]))
