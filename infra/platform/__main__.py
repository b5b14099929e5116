"""`python -m infra.platform`: one instance of the reference platform.

Says on its standard output, in one JSON line, when it has its partitions and where its telemetry
is; logs go to standard error as JSON lines. SIGTERM finishes what is held, commits and ends with
0. Exit codes: 1 a partition had to stop, 2 something must be configured otherwise, 3 a server does
not answer.
"""

from __future__ import annotations

import os
import sys

from infra.platform.options import mistakes, parser
from infra.platform.service import run

if __name__ == "__main__":
    given = parser().parse_args()
    sys.exit(run(given, mistakes(given, os.environ)))
