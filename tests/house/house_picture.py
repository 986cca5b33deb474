"""Draws the house from the floors that imports are held to, as docs/pictures/house.svg."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from tests.test_floors import FLOORS, PACKAGE, TOGETHER

WORDS = {
    "cli": ("the commands",),
    "client": ("a small client",),
    "testing": ("for users' tests",),
    "legacy": ("taking over from", "the old service"),
    "transports": ("WebSocket, TCP,", "SockJS, outboxes"),
    "http": ("REST, pages,", "health, metrics"),
    "stores": ("SQLite, MySQL",),
    "queues": ("queues in", "memory"),
    "relays": ("local, Kafka",),
    "sessions": ("memory, Redis",),
    "mail": ("log, SMTP",),
    "auth": ("users file",),
    "gateway": ("what a frame does, and what a stored or relayed message does",),
    "broker": ("destinations, subscriptions,", "queues, transactions"),
    "chat": ("rooms, intake, order,", "recovery, outbox, leases"),
    "access": ("who may do what",),
    "ports": ("what the inside needs", "from outside: contracts"),
    "stomp": ("frames, parser,", "heart-beats"),
    "sockjs": ("framing, sessions",),
    "timing": ("timer wheel,", "token buckets"),
    "model": ("rooms, messages, ids, positions, and the one table of errors",),
}
"""What is in a folder, in lines, and in which order the folders of a floor stand."""

LIFETIMES = ("settings, container, wiring, daemon, …: who is who, start, reload, drain, stop",)
PATHS = {"transports": "18", "stomp": "2", "gateway": "37", "chat": "4", "stores": "5", "relays": "6"}
STEPS = "bytes in|frames|what a frame does|a room's message|stored: RECEIPT|told to all servers|who receives it|bytes out"

WIDTH, LEFT, EDGE, GAP, HEIGHT, BETWEEN, TOP = 1080, 76, 20, 8, 64, 20, 48
STYLE = """
  svg { font-family: system-ui, -apple-system, "Segoe UI", sans-serif; --ground: #ffffff; --line: #cdd3e0; --box: #f3f5fa;
    --ink: #1b2030; --soft: #5c667d; --accent: #3b5bdb; --on-accent: #ffffff }
  @media (prefers-color-scheme: dark) { svg { --ground: #12161f; --line: #343c4f; --box: #1d2330; --ink: #e9ecf4;
    --soft: #9aa4ba; --accent: #5c7cfa; --on-accent: #0b1020 } }
  .ground { fill: var(--ground); stroke: var(--line) } .box { fill: var(--box); stroke: var(--line) }
  .name { fill: var(--ink); font-size: 14px; font-weight: 650 } .words { fill: var(--soft); font-size: 11.5px }
  .step { fill: var(--accent) } .digit { fill: var(--on-accent); font-size: 11px; font-weight: 700; text-anchor: middle }
  .arrow { stroke: var(--soft); fill: none; stroke-width: 1.5 }
"""


def page() -> str:
    """The picture."""
    there = {path.name for path in PACKAGE.iterdir()}
    rows = [_folders(floor, there) for floor in reversed(FLOORS)]
    height = TOP + len(rows) * (HEIGHT + BETWEEN) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The floors of stompgate, and the way of a message through them</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="12"/>',
        _text("words", EDGE, 28, "Imports go down, or stay in their folder. The numbers are the way of a message to a room."),
        f'<path class="arrow" d="M {EDGE + 8} {TOP + 26} V {height - 60} m -5 -8 l 5 8 l 5 -8"/>',
    ]
    for number, names in enumerate(rows):
        parts += _row(names, TOP + number * (HEIGHT + BETWEEN), len(rows) - 1 - number)
    return "\n".join([*parts, *_legend(height - 18), "</svg>", ""])


def _folders(floor: frozenset[str], there: set[str]) -> list[str]:
    """The boxes of a floor: its folders, and one for all modules that lie beside them."""
    folders = [name for name in WORDS if name in floor & there]
    assert floor & there <= WORDS.keys(), f"there are no words for {floor & there - WORDS.keys()}"
    return [*folders, *([""] if floor & TOGETHER else [])]


def _row(names: Sequence[str], y: int, floor: int) -> Iterator[str]:
    yield _text("words", EDGE + 28, y + HEIGHT // 2 + 4, str(floor))
    width = (WIDTH - LEFT - EDGE + GAP) / len(names) - GAP
    for place, name in enumerate(names):
        x = LEFT + place * (width + GAP)
        yield f'<rect class="box" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{HEIGHT}" rx="8"/>'
        yield _text("name", x + 10, y + 22, f"{name}/" if name else "settings to daemon")
        for line, words in enumerate(WORDS[name] if name else LIFETIMES):
            yield _text("words", x + 10, y + 41 + 15 * line, words)
        for place_of_step, digit in enumerate(reversed(PATHS.get(name, ""))):
            yield from _step(digit, x + width - 16 - 21 * place_of_step, y)


def _legend(y: int) -> Iterator[str]:
    steps = STEPS.split("|")
    x = float(LEFT)
    for number, words in enumerate(steps, 1):
        yield from _step(str(number), x + 8, y - 4)
        yield _text("words", x + 21, y, words)
        x += 40 + 6.2 * len(words)


def _step(digit: str, x: float, y: float) -> Iterator[str]:
    yield f'<circle class="step" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
    yield _text("digit", x, y + 4, digit)


def _text(kind: str, x: float, y: float, words: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


if __name__ == "__main__":
    print(page(), end="")
