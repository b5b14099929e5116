"""`python -m tests.scenarios.chaos --seed 1 --from 20 --runs 15`: a piece of a soak, or one run of
it again.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.scenarios.chaos.draw import draw
from tests.scenarios.chaos.soak import Soak


def main() -> int:
    """Attack the runs that were asked for; 1 where anything was wrong."""
    top = argparse.ArgumentParser(prog="python -m tests.scenarios.chaos", description=__doc__)
    top.add_argument("--seed", type=int, default=1)
    top.add_argument("--from", type=int, default=1, dest="first", help="the first run, from 1")
    top.add_argument("--runs", type=int, default=200)
    top.add_argument(
        "--begin-within", type=float, metavar="S", help="begin no further run after so long"
    )
    top.add_argument("--keep", type=Path, help="where outputs and results stay")
    options = top.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    drawn = draw(options.seed, options.first + options.runs - 1)[options.first - 1 :]
    place = options.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    place.mkdir(parents=True, exist_ok=True)
    found = Soak(place, lambda text: print(text, flush=True)).carry_out(drawn, options.begin_within)
    wrong = {run: told for run, told in found.items() if told}
    print(f"\n{len(found)} runs of seed {options.seed}, {len(wrong)} with something wrong; {place}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
