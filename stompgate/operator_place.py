"""Where the operator's socket of a server lies, for the server that opens it and for whoever looks for it.

The folder is the authorisation's other half: it must belong to this user and be open to nobody else, or somebody could put a
socket of their own in the place.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .settings import SOCKET_LIMIT_BYTES

SERVICES: Final = Path("/run/stompgate")
"""Below it each service of ours has its folder, by the unit."""

_NAME: Final = "stompgate"


def chosen(server_id: str, environment: Mapping[str, str]) -> Path:
    """The socket of a server that was not told where: in the folder of its supervisor or session, or a temporary one."""
    if runtime := environment.get("RUNTIME_DIRECTORY"):
        folder = Path(runtime.partition(":")[0])
    elif runtime := environment.get("XDG_RUNTIME_DIR"):
        folder = Path(runtime, _NAME)
    else:
        folder = Path(tempfile.gettempdir(), f"{_NAME}-{os.getuid()}")
    return folder / f"{server_id}.sock"


def here(environment: Mapping[str, str]) -> Mapping[str, Path]:
    """The sockets that this user's servers and services have left in their places, by server id."""
    own = chosen("any", environment).parent
    places = [*sorted(SERVICES.glob("*/*.sock")), *sorted(own.glob("*.sock"))]
    return {place.stem: place for place in places if _is_socket(place)}


def _is_socket(place: Path) -> bool:
    try:
        return stat.S_ISSOCK(place.stat().st_mode)
    except OSError:  # it is not there, or not for this user
        return False


def objection(socket: Path) -> str:
    """Why a socket may not lie there, "" if it may. The folder may be missing."""
    folder = socket.parent
    if len(os.fsencode(socket)) > SOCKET_LIMIT_BYTES:
        return f"{socket} is longer than the {SOCKET_LIMIT_BYTES} bytes that the name of a socket may have"
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{folder} cannot be looked at: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is no folder"
    if found.st_uid != os.geteuid():
        return f"{folder} belongs to somebody else: user {found.st_uid}, not {os.geteuid()}"
    if found.st_mode & 0o077:
        return f"{folder} is open to others: expected mode 0700, not {stat.S_IMODE(found.st_mode):04o}"
    return ""
