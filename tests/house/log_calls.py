"""What the program can log, read from its source: every call of ``_log`` with its text, level and fields."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import stompgate

PACKAGE = Path(stompgate.__file__).parent

_LEVELS = {name: name for name in ("debug", "info", "warning", "error", "critical")} | {"exception": "error"}
_NO_FIELDS = frozenset({"exc_info"})


@dataclass(frozen=True)
class LogCall:
    """One call. ``event`` is None where it is no constant text, and a field's name where it is not named at the call."""

    place: str
    event: str | None
    level: str
    fields: tuple[str | None, ...]


def log_calls() -> Iterator[LogCall]:
    """All of them, those that are handed on to be made later included."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield from _in_call(f"{path.relative_to(PACKAGE)}:{node.lineno}", node)


def _in_call(place: str, call: ast.Call) -> Iterator[LogCall]:
    fields = tuple(keyword.arg for keyword in call.keywords if keyword.arg not in _NO_FIELDS)
    level = _level(call.func)
    if level is not None:
        yield LogCall(place, _constant(call.args[0]) if call.args else None, level, fields)
    for handed, text in zip(call.args, call.args[1:], strict=False):  # as a callback, with its text behind it
        handed_level = _level(handed)
        if handed_level is not None:
            yield LogCall(place, _constant(text), handed_level, ())


def _level(node: ast.expr) -> str | None:
    match node:
        case ast.Attribute(value=ast.Name(id="_log"), attr=name):
            return _LEVELS[name]
    return None


def _constant(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
    return None
