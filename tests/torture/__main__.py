"""``python -m tests.torture --kills 100 --drops 1000 --seed 1``: exits 1 if anything was lost, doubled or out of order."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import click

from .run import Plan, run


@click.command()
@click.option("--kills", default=100, show_default=True, help="How often the daemon is killed with -9.")
@click.option("--drops", default=0, show_default=True, help="How often a receiver's connection is cut.")
@click.option("--rooms", default=3, show_default=True)
@click.option("--every-ms", default=5.0, show_default=True, help="Milliseconds between the messages of a sender.")
@click.option("--seed", default=1, show_default=True)
def main(kills: int, drops: int, rooms: int, every_ms: float, seed: int) -> None:
    """Torture one server with SQLite, and say what became of every message."""
    plan = Plan(seed=seed, kills=kills, drops=drops, rooms=rooms, every_s=every_ms / 1000)
    with tempfile.TemporaryDirectory() as folder:
        record, wrong = asyncio.run(run(plan, Path(folder), click.echo))
    receipted = sum(len(room.receipted) for room in record.rooms.values())
    seen = sum(len(each) for room in record.rooms.values() for each in room.seen.values())
    click.echo(
        f"seed {seed}: {record.kills} kills, {record.drops} drops, {receipted} messages RECEIPTed, {record.resent} sent again, "
        f"{seen} deliveries, {record.recoveries} recoveries, {len(wrong)} complaints"
    )
    for sentence in wrong:
        click.echo(f"WRONG: {sentence}", err=True)
    raise SystemExit(1 if wrong else 0)


main()
