"""`python -m infra.platform`: one instance of the reference platform.

Once it has its partitions, it writes one JSON line to standard output with the address of its
telemetry; logs go to standard error as JSON lines. On SIGTERM it writes the events it holds,
commits and ends with 0. Exit codes: 1 a partition had to stop, 2 the configuration must change, 3 a
server does not answer.
"""

from __future__ import annotations

import os
import sys

from infra.platform.options import mistakes, parser
from infra.platform.service import run

if __name__ == "__main__":
    given = parser().parse_args()
    sys.exit(run(given, mistakes(given, os.environ)))
