"""``python -m tests.torture --minutes 2 --seed 1``: exits 1 if anything was lost, doubled, out of order, or did not recover."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import signal
import tempfile
from pathlib import Path

import click
import uvloop

from .cluster import keep_evidence
from .run import Plan, run


@click.command()
@click.option("--minutes", default=2.0, show_default=True, help="How long there are troubles.")
@click.option("--seed", type=int, help="What happens, and to whom. Without it another one each time.")
@click.option("--servers", default=2, show_default=True)
@click.option("--brokers", default=1, show_default=True, help="Of Kafka.")
@click.option("--store", type=click.Choice(["mysql", "sqlite"]), default="mysql", show_default=True, help="sqlite: one server.")
@click.option("--rooms", default=6, show_default=True)
@click.option("--every-ms", default=150.0, show_default=True, help="Milliseconds between the messages of a sender.")
@click.option("--trouble-every-s", default=1.0, show_default=True, help="Seconds between troubles.")
@click.option("--drop-every-s", default=0.5, show_default=True, help="Seconds between dropped clients.")
@click.option("--evidence", type=click.Path(path_type=Path), help="A folder for the record and the servers' logs.")
def main(
    minutes: float,
    seed: int | None,
    servers: int,
    brokers: int,
    store: str,
    rooms: int,
    every_ms: float,
    trouble_every_s: float,
    drop_every_s: float,
    evidence: Path | None,
) -> None:
    """Torture servers, with all that stands behind them, and say what became of every message."""
    plan = Plan(
        seed=random.randrange(1_000_000) if seed is None else seed,
        minutes=minutes,
        servers=servers if store == "mysql" else 0,
        brokers=brokers,
        rooms=rooms,
        send_every_s=every_ms / 1000,
        trouble_every_s=trouble_every_s,
        drop_every_s=drop_every_s,
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that Kafka is away is our own doing
    folder = Path(tempfile.mkdtemp(prefix="stompgate-torture-"))
    folder.chmod(0o711)  # MariaDB may run as a user of its own, who has to get there
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # whatever ends this ends its servers too
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            record = runner.run(run(plan, folder, click.echo))
        click.echo(f"seed {plan.seed}, {minutes:g} minutes: {record.figures()}")
        for sentence in record.complaints:
            click.echo(f"WRONG: {sentence}", err=True)
    finally:
        if evidence is not None:
            keep_evidence(folder, evidence)
        shutil.rmtree(folder)
    raise SystemExit(1 if record.complaints else 0)


main()
