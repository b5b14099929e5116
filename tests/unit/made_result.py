"""A result made of plain data; nothing of it has been measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cdc_users.measure.judgement.result import ArrivalTally, Result, StepResult, Verdict
from cdc_users.measure.latency.recorder import Recorder

STAGES_MS = {"commit": 2.0, "capture": 5.0, "fetch": 1.0, "queue": 1.0, "sink_write": 1.0}
COUNTS: dict[str, Any] = {
    "lost": 0,
    "duplicated": 0,
    "reordered": 0,
    "unseen": 0,
    "unknown": 0,
    "phantom": 0,
    "undeleted": 0,
    "resurrected": 0,
}


def recorder(**means_ms: float) -> Recorder:
    """Series of a thousand equal latencies each."""
    made = Recorder()
    for name, value in means_ms.items():
        made.record_many_us(name, np.full(1000, round(value * 1000), dtype=np.int64))
    return made


def step_result(name: str = "step-1", **changes: Any) -> StepResult:
    """What such a step came to."""
    series = recorder(
        end_to_end=10.0, **STAGES_MS, response=3.0, service=2.0, send_delay=1.0
    ).series
    made = StepResult(
        name=name,
        mode="paced",
        messages=1000,
        duration_s=10.0,
        throughput_per_s=100.0,
        bytes_per_s=36_000.0,
        arrivals=ArrivalTally(
            offered=1000, started=1000, completed=1000, failed=0, dropped=0, late=0
        ),
        latency_ms={name: histogram.summary_ms() for name, histogram in series.items()},
        ledger={"sent": 1000, "delivered": 1000, **COUNTS, "fences": "complete"},
    )
    return replace(made, **changes)


def result(verdict: Verdict = Verdict.PASS, reasons: Sequence[str] = (), **changes: Any) -> Result:
    """What such a run came to."""
    made = Result(
        scenario="throughput",
        run="abcd1234",
        verdict=verdict,
        reasons=list(reasons),
        steps=[step_result()],
        harness={
            "send_delay_p99_ms": 1.0,
            "loop_lag_p99_ms": 1.0,
            "cpu_cores": 0.5,
            "overhead_us_per_event": 10.0,
        },
        command="locust -f locustfiles/throughput.py --headless",
        options={"rows": [100], "sink": "counting"},
    )
    return replace(made, **changes)
