"""``python -m tests.simulation --schedules 10000 --seed 1``: a long run, up to the first promise that is broken."""

from __future__ import annotations

import argparse
import faulthandler
import sys

from .schedule import Failure, run_schedule
from .world import Figures

_STUCK_S = 60.0
"""A schedule takes a fraction of a second; one that turns in a circle shows where."""


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    options.add_argument("--schedules", type=int, default=1000)
    options.add_argument("--seed", type=int, default=1, help="the first one; the others follow it")
    chosen = options.parse_args()
    total = Figures()
    for seed in range(chosen.seed, chosen.seed + chosen.schedules):
        faulthandler.dump_traceback_later(_STUCK_S, exit=True)
        try:
            total.add(run_schedule(seed))
        except Failure as failure:
            print(failure)
            return 1
        if total.schedules % 50 == 0:
            print(f"\r{total}; next {seed + 1}", end="", file=sys.stderr, flush=True)
    faulthandler.cancel_dump_traceback_later()
    print(f"\n{total}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
