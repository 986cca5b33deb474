"""python chat.py ws://localhost:8070/ws-stomp USER ROOM [TEXT…]: sends the texts, and shows what is said until Ctrl-C."""

import asyncio
import sys
from contextlib import suppress

from stompgate.client import ChatClient, Joined, Message


async def chat(url: str, user: str, room: str, *texts: str) -> None:
    async with ChatClient(url, user=user) as client, client.follow(room) as events:
        async for event in events:
            match event:
                case Joined(recovered=None):
                    print("-- connected", flush=True)
                    for text in texts:
                        await client.send(room, text)  # returns when it is stored, over however many connections
                case Joined(recovered=True):
                    print("-- connected again, nothing was missed", flush=True)
                case Joined(recovered=False):
                    print("-- something is missing here", flush=True)
                case Message():
                    print("{sender}: {content}".format(**event.json()), flush=True)


with suppress(KeyboardInterrupt):
    asyncio.run(chat(*sys.argv[1:]))
