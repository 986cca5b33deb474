"""The end of a restore: the data that was put back begins a life of its own.

Without it, positions that clients have from before would be taken for positions in what is said from now on.
"""

from __future__ import annotations

import asyncio

from stompgate.ports.part import SetupError
from stompgate.ports.store import OutcomeUnknown, Store, StoreUnavailable

from .backends import Kind, resolve
from .portions import backend_options
from .settings import Settings
from .system_clock import SystemClock


def begin(settings: Settings) -> tuple[str, str]:
    """Give the store a new epoch; return the old one and the new. Raises ``SetupError``, also while a server runs on it."""
    return asyncio.run(_begin(settings))


async def _begin(settings: Settings) -> tuple[str, str]:
    url = settings.store.get_secret_value()
    clock = SystemClock(asyncio.get_running_loop())
    options = backend_options(settings, url)
    store: Store = resolve(Kind.STORE, url)(url, server_id=settings.server_id, clock=clock, zone=settings.zone, options=options)
    await store.open()
    try:
        return store.epoch, await store.new_epoch()
    except StoreUnavailable as error:
        raise SetupError(f"the store was not given a new epoch: {error}") from error
    except OutcomeUnknown as error:
        raise SetupError(f"the store may have been given a new epoch or not, give it one more: {error}") from error
    finally:
        await store.close()
