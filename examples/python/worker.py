"""python worker.py tcp://localhost:61613 LOGIN PASSCODE: one of any number of workers that share a queue."""

import asyncio
import sys

from stompgate.client import connect


async def work(url: str, login: str, passcode: str) -> None:
    async with (
        connect(url, login=login, passcode=passcode) as stomp,
        stomp.subscribe("/queue/orders", ack="client-individual", headers={"prefetch-count": "4"}) as orders,
    ):
        await stomp.send("/queue/orders", "a first order, from the worker itself")  # returns when it is in the queue, for good
        async for order in orders:
            print(f"working on {order.text}", flush=True)
            await stomp.ack(order)  # only now: had this program died before, another worker would get the order


asyncio.run(work(*sys.argv[1:]))
