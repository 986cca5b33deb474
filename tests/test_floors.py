"""The tree tells the truth: every import goes down, or stays in its own folder (folder = floor)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import stompgate

PACKAGE = Path(stompgate.__file__).parent

# A folder, or a module at the top, by floor. Names that share a line never import each other, but for the top modules of
# floor 5, which are one room: wiring needs the container, the daemon needs wiring.
TOGETHER = frozenset(
    {
        *("settings", "config", "backends", "container", "portions", "wiring"),
        *("daemon", "listening", "stopping", "reloading", "notify", "terminal", "new_life"),
        *("logs", "bursts", "statistics", "system_clock"),
        *("operator_door", "operator_place"),
    }
)
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"model"}),
    frozenset({"ports", "stomp", "sockjs", "timing"}),
    frozenset({"broker", "chat", "access"}),
    frozenset({"gateway"}),
    frozenset({"transports", "http", "stores", "queues", "relays", "sessions", "mail", "auth"}),
    TOGETHER | {"legacy"},
    frozenset({"cli", "client", "testing", "__main__"}),
)
# client and testing are what the commands share; __main__ is the door to them.
DOWN_WITHIN_A_FLOOR = {("cli", "client"), ("testing", "client"), ("__main__", "cli")}

# No I/O, no clock, no event loop, no log: what these do depends on their arguments alone.
PURE = ("model", "stomp", "sockjs", "timing", "broker")
IMPURE_MODULES = frozenset(
    {"asyncio", "logging", "structlog", "socket", "selectors", "threading", "concurrent", "subprocess", "time", "os", "uvloop"}
)

FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}


def place_of(module: str) -> str:
    """``stompgate.stomp.parser`` stands in ``stomp``; the package itself in ````, below everything."""
    return module.split(".")[1] if "." in module else ""


def imports_of(source: str, module: str, *, is_package: bool = False) -> Iterator[str]:
    """Yield the full names of all that a module imports, wherever in it, relative ones resolved."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=named, names=names, level=0) if named is not None:
                yield from (f"{named}.{alias.name}" if named == "stompgate" else named for alias in names)
            case ast.ImportFrom(module=named, names=names, level=level):
                origin = ".".join(package.split(".")[: len(package.split(".")) - level + 1])
                yield from ([f"{origin}.{named}"] if named else [f"{origin}.{alias.name}" for alias in names])
            case _:
                pass


def objections(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Return a sentence per import of ``module`` that the design does not allow."""
    here = place_of(module)
    found = []
    for target in imports_of(source, module, is_package=is_package):
        top = target.split(".")[0]
        there = place_of(target)
        if here in PURE and top in IMPURE_MODULES:
            found.append(f"{module} imports {target}: {here} is pure")
        elif top == "stompgate" and there in FLOOR_OF and not may_import(here, there):
            found.append(f"{module} (floor {FLOOR_OF[here]}) imports {target} (floor {FLOOR_OF[there]})")
    return found


def may_import(here: str, there: str) -> bool:
    below = FLOOR_OF[there] < FLOOR_OF[here]
    together = here in TOGETHER and there in TOGETHER
    return below or here == there or together or (here, there) in DOWN_WITHIN_A_FLOOR


def modules() -> Iterator[tuple[Path, str]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        yield file, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_import_goes_down_or_stays_in_its_folder() -> None:
    found = []
    for file, module in modules():
        if module != "stompgate":
            found += objections(file.read_text(), module, is_package=file.name == "__init__.py")
    assert not found, "\n".join(found)


def test_every_folder_and_module_has_its_floor() -> None:
    places = {place_of(module) for _, module in modules()} - {""}
    assert places <= FLOOR_OF.keys(), f"no floor is given for {sorted(places - FLOOR_OF.keys())}"
    assert {"model", "ports", "stomp", "broker", "chat", "gateway", "transports", "cli"} <= places, "the walk found the tree"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("stompgate.model.rooms", "import stompgate.ports.store"),
        ("stompgate.chat.rooms", "from stompgate.broker.router import Router"),
        ("stompgate.stomp.parser", "from stompgate.timing.wheel import Wheel"),
        ("stompgate.gateway.frames", "def f():\n    from stompgate.transports.outbox import Outbox"),
        ("stompgate.http.app", "from stompgate import config"),
        ("stompgate.stores.sqlite", "from ..relays import local"),
        ("stompgate.stores.sqlite", "from .. import relays"),
        ("stompgate.container", "from stompgate.cli.main import main"),
        ("stompgate.container", "from stompgate.legacy.imports import run"),
        ("stompgate.client.stream", "from stompgate.cli.main import main"),
        ("stompgate.broker.router", "import asyncio"),
        ("stompgate.stomp.parser", "from logging import getLogger"),
        ("stompgate.timing.wheel", "if True:\n    from time import monotonic"),
        ("stompgate.model.ids", "import concurrent.futures"),
    ],
)
def test_a_forbidden_import_is_caught(module: str, source: str) -> None:
    assert len(objections(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("stompgate.chat.rooms", "from stompgate.ports.store import Store\nfrom .wire import Wire"),
        ("stompgate.chat.rooms", "import asyncio, json"),
        ("stompgate.daemon", "from .wiring import wire\nfrom stompgate.http.app import app"),
        ("stompgate.cli.main", "from stompgate import __version__\nfrom stompgate.daemon import run"),
        ("stompgate.__main__", "from stompgate.cli.main import main"),
        ("stompgate.gateway", "from .frames import handle"),
    ],
)
def test_an_allowed_import_is_no_objection(module: str, source: str) -> None:
    assert not objections(source, module, is_package=module == "stompgate.gateway")
